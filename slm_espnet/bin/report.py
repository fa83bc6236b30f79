"""The report page of an experiment: one HTML file that needs no network and nothing beside it.

    python -m slm_espnet.bin.report --exp_dir exp/slm_asr --inference_tag greedy
    python -m slm_espnet.bin.report --exp_dir exp/slm_asr --worst 10 --audio_kb 0

Stage 6 writes it already; this makes it again, with other settings, from what scoring left in
<exp_dir>/decode_<inference_tag> (scoring.json says where data and baselines are, relative to the folder where scoring
ran: run it there). Writes report.html beside the results. What cannot be found any more is said on the page.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.errors import UserError, run_main
from slm_espnet.report.options import add_page_options, page_options


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--exp_dir", type=Path, required=True, help="Experiment")
    parser.add_argument("--inference_tag", help="Which decoding; needed where several were scored")
    add_page_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    options = page_options(args)
    from slm_espnet.report.build import read_inputs, write_report
    from slm_espnet.scoring.record import read_record
    from slm_espnet.tasks import load_tasks

    directory = decoding_of(args.exp_dir, args.inference_tag)
    record = read_record(directory)
    inputs, missing = read_inputs(record)
    tasks = {}
    if inputs:
        try:
            tasks = load_tasks(record.tasks_config)
        except UserError as error:
            inputs, missing = [], [*missing, f"single utterances: {error}"]
    print(f"written: {write_report(directory, record, tasks, inputs, options, missing)}")
    return 0


def decoding_of(exp_dir: Path, inference_tag: str | None) -> Path:
    """The directory of the decoding; UserError where there is none, or a choice is needed."""
    if inference_tag is not None:
        return exp_dir / f"decode_{inference_tag}"
    scored = sorted(path.parent for path in exp_dir.glob("decode_*/scoring.json"))
    if not scored:
        raise UserError(f"{exp_dir}: no decoding was scored here (decode_*/scoring.json); run stage 6 (scoring) first")
    if len(scored) > 1:
        tags = ", ".join(path.name.removeprefix("decode_") for path in scored)
        raise UserError(f"{exp_dir} has several decodings ({tags}); choose one by --inference_tag")
    return scored[0]


if __name__ == "__main__":
    run_main(main)
