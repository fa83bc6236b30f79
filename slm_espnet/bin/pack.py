"""Stage 7: one folder with everything that a trained adapter needs elsewhere, and a model card.

    python -m slm_espnet.bin.pack --exp_dir exp/slm_mini --foundation conf/foundation/mini.yaml \
        --tasks_config conf/tasks.yaml --output_dir exp/slm_mini/package --license apache-2.0

The package has the adapter, its configuration, the tasks, the scores, where it comes from, and the names, revisions and
hashes of the two frozen models; the models themselves only with --pack_foundations. Packing again changes what differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.bin.config_file import str2bool
from slm_espnet.errors import run_main
from slm_espnet.options import split_names


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    group = parser.add_argument_group("what is packed")
    group.add_argument("--exp_dir", type=Path, required=True, help="Experiment, with its results.json")
    group.add_argument("--model_dir", type=Path, help="Where the adapter is, where that is another directory")
    group.add_argument("--output_dir", type=Path, required=True, help="The package")
    group.add_argument("--foundation", type=Path, required=True, help="YAML of the frozen pair")
    group.add_argument("--tasks_config", type=Path, required=True, help="YAML of the tasks")
    group.add_argument("--inference_config", type=Path, help="YAML of the decoding that goes with it")
    group.add_argument("--biasing_config", type=Path, help="YAML written by tune_biasing")
    group.add_argument("--inference_tag", help="Decoding whose scores go on the card; needed where there are several")
    group.add_argument("--pack_foundations", type=str2bool, default=False, help="Also pack the two frozen models")
    group = parser.add_argument_group("what only you can say")
    group.add_argument("--name", default="", help="Of the model; without it that of the experiment")
    group.add_argument("--license", default="", help="The adapter's, as the Hub writes it: apache-2.0, cc-by-4.0, …")
    group.add_argument("--languages", default="", help="Codes; without it those that were trained and scored")
    group.add_argument("--datasets", default="", help="Hub ids of the training data")
    group.add_argument("--speech_encoder_name", default="", help="Hub id (@revision) of an encoder used from a folder")
    group.add_argument("--llm_name", default="", help="Hub id (@revision) of a language model used from a folder")
    group.add_argument("--task", default="", help="Task of a call without instruction; without it recognition")
    group.add_argument("--language", default="", help="Language of such a call; without it the one most trained on")
    group.add_argument("--command", default="", help="How the recipe was called")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    from slm_espnet.hub.package import PackRequest, pack

    values = {**vars(args), "model_dir": args.model_dir or args.exp_dir}
    values["languages"], values["datasets"] = tuple(split_names(args.languages)), tuple(split_names(args.datasets))
    sizes = pack(PackRequest(**values))
    print(f"{args.output_dir}: {len(sizes)} files, {sum(sizes.values()) / 2**20:.1f} MiB; README.md is the model card")
    if not args.license:
        print("no licence is stated: give --license, others may not use the adapter without one")


if __name__ == "__main__":
    run_main(main)
