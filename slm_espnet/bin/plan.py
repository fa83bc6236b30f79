"""What a pair of models needs before anything is downloaded: parameters, trained share, memory on one GPU.

    python -m slm_espnet.bin.plan --foundation conf/foundation/whisper_qwen3_8b.yaml
    python -m slm_espnet.bin.plan --foundation conf/foundation/*.yaml --format table     # doc/FOUNDATIONS.md
    python -m slm_espnet.bin.plan --foundation pair.yaml --config conf/train.yaml --llm_conf quantization=4bit

Sizes come from the models' own config.json (ESPnet: config.yaml) where they are here, else from speech_encoder_config
and llm_config of the foundation. Memory is that of one step of the models' own code run on tensors without data, with
weights, optimizer, KV cache and 1 GiB for CUDA itself; a batch of your own is described by the options.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_espnet.errors import UserError, run_main
from slm_espnet.files import read_yaml
from slm_espnet.planning.workload import Workload

if TYPE_CHECKING:
    from slm_espnet.foundation import Foundation
    from slm_espnet.planning.plan import Plan

# The paper's adapter: two transformer layers, linear into the LLM's embedding space (conf/train_large_linear.yaml).
ADAPTER = {
    "adapter": "transformer",
    "adapter_conf": {"layers": 2, "size": 1024, "heads": 16, "positions": "rotary"},
    "adapter_output": "linear",
}
ADAPTER_KEYS = ("adapter", "adapter_output", "length_reduction")
WORKLOAD_HELP = {
    "seconds": "length of an utterance",
    "batch_seconds": "audio in a batch of stage 2",
    "batch_size": "utterances in a batch of the training",
    "prompt_tokens": "tokens of instruction, context and template",
    "target_tokens": "tokens of an answer",
    "decoding_batch_size": "utterances x beams decoded together",
}


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--foundation", type=Path, nargs="+", required=True, help="YAML of the pair, or of several")
    parser.add_argument("--config", type=Path, help="YAML of a training, for its adapter (default: the paper's)")
    parser.add_argument("--adapter", help="kind of adapter instead")
    parser.add_argument("--adapter_conf", nargs="*", default=[], metavar="KEY=VALUE", help="and its settings")
    parser.add_argument("--adapter_output", help="kind of output instead: linear or embedding_mixture")
    parser.add_argument(
        "--llm_conf", nargs="*", default=[], metavar="KEY=VALUE", help="over the foundation's: dtype, quantization"
    )
    parser.add_argument(
        "--data_dir", type=Path, nargs="+", default=[], help="say which letters of these texts the LLM cannot write"
    )
    parser.add_argument("--format", choices=("text", "table", "json"), default="text", help="how it is printed")
    for option in fields(Workload):
        message = f"{WORKLOAD_HELP[option.name]} (default {option.default:g})"
        parser.add_argument(f"--{option.name}", type=type(option.default), default=option.default, help=message)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    for name in WORKLOAD_HELP:
        if vars(args)[name] <= 0:
            raise UserError(f"--{name} must be above 0, not {vars(args)[name]:g}")
    training = adapter_settings(args)
    changes = key_values(args.llm_conf, "--llm_conf")
    from slm_espnet.foundation import load_foundation
    from slm_espnet.llm.build import read_conf
    from slm_espnet.planning.plan import make_plan

    workload = Workload(**{name: vars(args)[name] for name in WORKLOAD_HELP})
    rows, texts = list(TABLE_HEAD), read_texts(args.data_dir)
    for path in args.foundation:
        foundation = load_foundation(path)
        foundation = replace(foundation, llm_conf={**foundation.llm_conf, **changes})
        read_conf(foundation.llm, foundation.llm_conf)
        plan = make_plan(foundation, training, workload)
        if args.format == "json":
            values = {"foundation": str(path), **asdict(plan), "trained_share": plan.trained_share}
            print(json.dumps(values | (unwritable(foundation, texts) if texts else {})))
        elif args.format == "table":
            rows.append(table_row(path.stem, foundation, plan))
        else:
            print(*describe(path, foundation, plan, args), *text_lines(foundation, texts), sep="\n", flush=True)
    if args.format == "table":
        print(*rows, sep="\n")
    return 0


def adapter_settings(args: argparse.Namespace) -> dict[str, Any]:
    """adapter, adapter_output, length_reduction and their settings: of --config or the default, then of the options."""
    settings = dict(ADAPTER)
    if args.config is not None:
        settings = {"adapter": "transformer", "adapter_output": "embedding_mixture", **read_training(args.config)}
    if args.adapter is not None and args.adapter != settings["adapter"]:
        settings |= {"adapter": args.adapter, "adapter_conf": {}}
    if args.adapter_output is not None and args.adapter_output != settings["adapter_output"]:
        settings |= {"adapter_output": args.adapter_output, "adapter_output_conf": {}}
    given = key_values(args.adapter_conf, "--adapter_conf")
    return {**settings, "adapter_conf": {**(settings.get("adapter_conf") or {}), **given}}


def read_training(path: Path) -> dict[str, Any]:
    """What a training's YAML says of the adapter; UserError where it is none."""
    values = read_yaml(path, "the training's configuration")
    if not isinstance(values, dict):
        raise UserError(f"--config {path} must have the training's option names as keys, such as `adapter: mlp`")
    names = [name for key in ADAPTER_KEYS for name in (key, f"{key}_conf")]
    return {name: values[name] for name in names if values.get(name) is not None}


def key_values(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """`key=value` words, values as in YAML."""
    import yaml

    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise UserError(f"{option} takes key=value, not {wrong[0]!r}")
    return {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in pairs)}


def describe(path: Path, foundation: Foundation, plan: Plan, args: argparse.Namespace) -> list[str]:
    """Lines for a person."""
    conf = foundation.llm_conf
    weights = f"{conf.get('dtype', 'float32')}{', ' + conf['quantization'] if conf.get('quantization') else ''}"
    encoder, llm = (part.get("model") for part in (foundation.speech_encoder_conf, conf))
    training = f"{args.batch_size} utterances of {args.seconds:g} s"
    decoding = f"{args.decoding_batch_size} at once, answers of {args.target_tokens} tokens"
    return [
        f"{path}",
        f"  speech encoder  {encoder}: {millions(plan.encoder_parameters)} parameters, frozen",
        f"  language model  {llm}: {millions(plan.llm_parameters)} parameters, frozen, {weights}",
        f"  adapter         {millions(plan.adapter_parameters)} parameters, {plan.trained_share:.2%} of all, trained",
        f"  an utterance    {args.seconds:g} s of speech become {plan.positions} embeddings",
        f"  one GPU needs   {gib(plan.encoding)} GiB to encode ({args.batch_seconds:g} s at once)",
        f"                  {gib(plan.training)} GiB to train ({training}), {gib(plan.llm_weights)} of them the LLM",
        f"                  {gib(plan.decoding)} GiB to decode ({decoding})",
    ]


def read_texts(data_dirs: Sequence[Path]) -> list[str]:
    """Targets of all rows."""
    from slm_espnet.data.row_table import RowTable

    return [row.text for data_dir in data_dirs for row in RowTable(data_dir, require=("text",))]


def unwritable(foundation: Foundation, texts: Sequence[str]) -> dict[str, Any]:
    """Number of texts with letters that the LLM cannot write, and those letters with their numbers of texts."""
    from slm_espnet.llm.build import build_tokenizer
    from slm_espnet.training.unwritable import count_lost

    rows, letters = count_lost(build_tokenizer(foundation.llm, foundation.llm_conf), texts)
    return {"unwritable_rows": rows, "unwritable": letters}


def text_lines(foundation: Foundation, texts: Sequence[str]) -> list[str]:
    """What of the texts cannot be written, for a person; nothing where no texts are given."""
    if not texts:
        return []
    from slm_espnet.training.unwritable import describe as describe_lost

    found = unwritable(foundation, texts)
    said = describe_lost(*found.values()) if found["unwritable_rows"] else "this LLM can write every letter"
    return [f"  {len(texts)} texts{'':{max(1, 9 - len(str(len(texts))))}}{said}"]


TABLE_HEAD = (
    "| foundation | speech encoder | language model | weights | adapter, trained share | encode | train | decode |",
    "|---|---|---|---|---|---|---|---|",
)


def table_row(name: str, foundation: Foundation, plan: Plan) -> str:
    """One row of Markdown; memory in GiB."""
    conf = foundation.llm_conf
    cells = [
        f"`{name}`",
        f"{_short(foundation.speech_encoder_conf)} ({millions(plan.encoder_parameters)})",
        f"{_short(conf)} ({millions(plan.llm_parameters)})",
        ", ".join(filter(None, (conf.get("dtype", "float32"), conf.get("quantization")))),
        f"{millions(plan.adapter_parameters)}, {plan.trained_share:.2%}",
        *(gib(size) for size in (plan.encoding, plan.training, plan.decoding)),
    ]
    return f"| {' | '.join(cells)} |"


def _short(conf: dict[str, Any]) -> str:
    model = str(conf.get("model"))
    return "/".join(Path(model).parts[-3:]) if Path(model).is_absolute() else model


def millions(count: int) -> str:
    """A number of parameters: 1.2 G, 34 M, 0.5 M."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} G"
    return f"{count / 1e6:.0f} M" if count >= 1e7 else f"{count / 1e6:.2f} M"


def gib(size: int) -> str:
    """Bytes in GiB with one digit."""
    return f"{size / 2**30:.1f}"


if __name__ == "__main__":
    run_main(main)
