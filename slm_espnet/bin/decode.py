"""Stage 5: decode data directories by a trained adapter, or its two bounds by the frozen LLM alone.

    # one job of four; `--merge true` joins them afterwards (a single job merges by itself)
    python -m slm_espnet.bin.decode --config conf/decode.yaml --data_dir data/test --model_dir exp/slm_asr \
        --encodings_dir dump/encodings/mini/test --output_dir exp/slm_asr/decode_greedy/test --job 1 --num_jobs 4
    # from audio, with the same result
    python -m slm_espnet.bin.decode --data_dir data/test --foundation conf/foundation/mini.yaml --model_dir exp/slm …
    # the cascade (CTC hypothesis → LLM) and the bound (true transcript → LLM)
    python -m slm_espnet.bin.decode --input ctc --foundation conf/foundation/mini.yaml --encodings_dir … …
    python -m slm_espnet.bin.decode --input transcript --foundation conf/foundation/mini.yaml …

Several data directories may be given, with as many encodings and outputs. Writes hypotheses.jsonl, text, score,
left_out.tsv and summary.json. A killed job goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from slm_espnet.bin.config_file import add_config_option, parse_with_config, str2bool
from slm_espnet.decoding.types import DRAFT_CHOICES, DecodingOptions
from slm_espnet.errors import UserError, run_main

INPUTS = ("speech", "ctc", "transcript")
BIASING = ("none", "prompt", "retrieve", "place")
RETRIEVERS = ("ctc", "embedding")
SILENCE = ("empty", "ask")
SEARCH_HELP = {
    "beam_size": "Beams per utterance; 1 is greedy",
    "max_length": "Most tokens of an answer, EOS counted",
    "max_length_ratio": "Recognition: most tokens of an answer per token of the CTC hypothesis; 0: no such bound. "
    "Answers of other tasks have --max_length alone",
    "max_length_offset": "Added to that bound",
    "length_penalty": "Beam search ranks by log-probability / length ** this",
    "loop_ngram": "A loop is a repetition over this many tokens times --loop_repeats",
    "loop_repeats": "and at least this often; 0: loops are not looked for",
    "ctc_draft": "CTC's hypothesis as a draft that the LLM checks in one pass (greedy search). exact: same answers, "
    "faster; accept: not quite the same, faster still: hypotheses of which CTC is sure are taken without the LLM, and "
    "draft tokens that it holds nearly as likely as its own are kept",
    "ctc_draft_source": "Whose CTC: the adapter's own over the LLM's tokens (where it has none, there are no drafts), "
    "or the encoder's text, of which less is accepted: slower than none on a CPU where it is often wrong",
    "ctc_draft_tasks": "Tasks that have drafts, separated by commas or spaces; all: every task; empty: recognition",
    "ctc_draft_case": "Case of the encoder's text as a draft: as the targets that the adapter was trained on",
    "ctc_draft_entropy": "accept: a hypothesis is taken up to this mean entropy (nats) of its frames; 0: none is",
    "ctc_draft_ratio": "accept: a draft token is kept from this share of the likeliest token's probability on",
    "ctc_draft_top_k": "accept: it is also kept among so many of the likeliest",
    "batch_tokens": "Most input positions in one batch",
    "batch_size": "Most utterances x beams in one batch",
}


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_config_option(parser)
    group = parser.add_argument_group("what is decoded")
    group.add_argument("--data_dir", type=Path, nargs="+", required=True, help="Data directories")
    group.add_argument(
        "--encodings_dir", type=Path, nargs="+", help="Encodings of each (stage 2); without them audio is encoded here"
    )
    group.add_argument("--foundation", type=Path, help="YAML of the frozen pair: needed without encodings or model")
    group.add_argument("--model_dir", type=Path, help="Directory of the trained model (config.yaml, adapter)")
    group.add_argument("--adapter_file", type=Path, help="Adapter weights; default adapter.safetensors of the model")
    group.add_argument("--input", choices=INPUTS, default="speech", help="What the LLM is given")
    group.add_argument("--tasks", default="", help="Only these tasks, separated by commas or spaces; empty: all")
    group.add_argument(
        "--tasks_config",
        type=Path,
        help="YAML of the tasks, which says which are recognition (default: the model's, else asr and asr_biasing)",
    )
    group.add_argument("--output_dir", type=Path, nargs="+", required=True, help="Where the results of each go")
    add_search_options(parser)
    group = parser.add_argument_group("context phrases")
    group.add_argument(
        "--biasing",
        choices=BIASING,
        default="prompt",
        help="none: phrases are not used; prompt: all of a list are put in the prompt, as in training; retrieve: the "
        "best few are; place: those that are heard are put in the prompt and in place of what was heard",
    )
    group.add_argument(
        "--biasing_list", type=Path, help="One list for all utterances (a phrase a line) in place of the rows' own"
    )
    group.add_argument("--biasing_config", type=Path, help="YAML written by tune_biasing (threshold, max_phrases)")
    group.add_argument("--biasing_threshold", type=float, help="Lowest score of a phrase; goes before the YAML")
    group.add_argument(
        "--biasing_retriever", choices=RETRIEVERS, default="ctc",
        help="ctc: by the encoder's CTC posteriors; embedding: by the adapter's output in the LLM's embedding space",
    )  # fmt: skip
    group.add_argument("--biasing_prompt_phrases", type=int, default=10, help="Phrases in the prompt with retrieve")
    add_silence_option(parser)
    add_running_options(parser)
    return parser


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """The fields of DecodingOptions."""
    group = parser.add_argument_group("search")
    for option in fields(DecodingOptions):
        kind = {"int": int, "float": float, "str": str}[option.type]
        choices = DRAFT_CHOICES.get(option.name)
        group.add_argument(
            f"--{option.name}", type=kind, default=option.default, choices=choices, help=SEARCH_HELP[option.name]
        )


def add_silence_option(parser: argparse.ArgumentParser) -> None:
    """What becomes of recordings without speech."""
    parser.add_argument(
        "--silence", choices=SILENCE, default=SILENCE[0],
        help="Recognition of recordings that hold no speech, but silence or steady noise. empty: nothing is answered; "
        "ask: the model is asked all the same",
    )  # fmt: skip


def add_running_options(parser: argparse.ArgumentParser) -> None:
    """Jobs and devices."""
    group = parser.add_argument_group("running")
    group.add_argument("--job", type=int, default=1, help="This job, from 1")
    group.add_argument("--num_jobs", type=int, default=1, help="Number of jobs")
    group.add_argument("--merge", type=str2bool, nargs="?", const=True, default=False, help="Join the finished jobs")
    group.add_argument("--overwrite", type=str2bool, nargs="?", const=True, default=False, help="Decode afresh")
    group.add_argument(
        "--when_changed",
        choices=("refuse", "remake"),
        default="refuse",
        help="What to do with results of other settings, another model or other data: an error, or decode afresh",
    )
    group.add_argument("--max_failed", type=float, default=0.01, help="More than this share left out is an error")
    group.add_argument("--ngpu", type=int, default=0, help="GPUs; more than 1 where the LLM does not fit on one")
    group.add_argument("--num_threads", type=int, default=1, help="CPU threads")
    group.add_argument("--dtype", default="", help="dtype of the LLM instead of the configured one")
    group.add_argument("--log_interval", type=float, default=10.0, help="Seconds between progress lines")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when too much is left out, after everything is written."""
    args = parse_with_config(get_parser(), argv)
    check_arguments(args)
    from slm_espnet.decoding.merging import merge
    from slm_espnet.decoding.run import DecodingRun, SetDecoding

    run = DecodingRun(args)
    encodings = args.encodings_dir or [None] * len(args.data_dir)
    status, empty = 0, []
    for data_dir, encodings_dir, output_dir in zip(args.data_dir, encodings, args.output_dir, strict=True):
        decoding = SetDecoding(run, data_dir, encodings_dir, output_dir)
        if not decoding.rows:
            print(f"{data_dir}: no rows of the chosen task(s), nothing to decode")
            empty.append(data_dir)
            continue
        if (not args.overwrite or args.merge) and is_decoded(args, output_dir, decoding.settings):
            print(f"{output_dir}: already decoded")
            put_together(data_dir, output_dir)
            continue
        if not args.merge:
            decoding.decode()
        if args.merge or args.num_jobs == 1:
            summary = merge(output_dir, args.num_jobs, decoding.ids(), decoding.settings, args.max_failed)
            status |= report(summary, output_dir, args.max_failed)
            put_together(data_dir, output_dir)
    if len(empty) == len(args.data_dir):
        raise UserError(f"--tasks {args.tasks}: no rows of them in {', '.join(map(str, empty))}")
    return status


def is_decoded(args: argparse.Namespace, output_dir: Path, settings: Mapping[str, Any]) -> bool:
    """Whether results are complete; those of other settings are refused, or said to be made again (--when_changed).

    Jobs leave such results where they are; merging replaces them.
    """
    from slm_espnet.decoding.results import difference, is_merged

    merged = output_dir / "settings.json"
    if args.when_changed == "refuse" or not (different := difference(merged, settings)):
        return is_merged(output_dir, settings)
    print(f"{output_dir}: made again, for something has changed ({different})", flush=True)
    if args.merge or args.num_jobs == 1:
        merged.unlink(missing_ok=True)
    return False


def put_together(data_dir: Path, output_dir: Path) -> None:
    """Of a directory of pieces (slm_espnet.bin.segment), also write the texts of the whole recordings."""
    from slm_espnet.long_audio.datadir import is_pieces
    from slm_espnet.long_audio.decoded import merge_decoded

    if is_pieces(data_dir):
        summary = merge_decoded(data_dir, output_dir)
        print(f"{output_dir / 'whole'}: {summary['decoded']} recordings, {summary['incomplete']} of them incomplete")


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse combinations that cannot work, before anything is loaded."""
    if not 1 <= args.job <= args.num_jobs:
        raise UserError(f"--job must be from 1 to --num_jobs {args.num_jobs}, not {args.job}")
    if args.input == "speech" and args.model_dir is None:
        raise UserError("--input speech needs --model_dir, the directory of a trained adapter")
    if args.input != "speech" and args.model_dir is None and args.foundation is None:
        raise UserError(f"--input {args.input} needs --foundation (or --model_dir), which names the LLM and the prompt")
    if args.input != "transcript" and args.encodings_dir is None and args.foundation is None:
        raise UserError("give --encodings_dir, or --foundation to encode the audio here")
    for name, values in (("encodings_dir", args.encodings_dir), ("output_dir", args.output_dir)):
        if values is not None and len(values) != len(args.data_dir):
            given = f"{len(values)} for {len(args.data_dir)} --data_dir"
            raise UserError(f"--{name}: {given}; give as many of each")
    if args.biasing_list is not None and args.biasing == "none":
        raise UserError("--biasing_list has no effect with --biasing none; use prompt, retrieve or place")
    if args.biasing_prompt_phrases < 1:
        raise UserError(f"--biasing_prompt_phrases must be at least 1, not {args.biasing_prompt_phrases}")


def report(summary: dict, output_dir: Path, max_failed: float) -> int:
    """Say what came out; 1 when too much did not."""
    decoded, total = summary["decoded"], summary["utterances"]
    share = 100 / max(1, decoded)
    print(
        f"{output_dir}: {decoded} of {total} utterances decoded, "
        f"{summary['truncated']} ({summary['truncated'] * share:.2f} %) truncated, "
        f"{summary['looped'] * share:.2f} % looped"
    )
    if summary["draft_tokens"] or summary["from_ctc"]:
        tokens = max(1, summary["tokens"])
        print(
            f"{output_dir}: {100 * summary['draft_accepted'] / tokens:.1f} % of the tokens come from drafts, "
            f"{summary['passes'] / tokens:.2f} passes of the LLM's decoder for a token, "
            f"{summary['from_ctc'] * share:.2f} % of the utterances are taken from CTC"
        )
    if summary.get("silent"):
        print(f"{output_dir}: {summary['silent']} recordings hold no speech: their answer is empty (--silence ask)")
    for reason, count in summary["left_out"].items():
        print(f"left out: {count} {reason}")
    if total - decoded > max_failed * total:
        print(
            f"error: {100 * (1 - decoded / total):.1f} % of the utterances are left out, more than --max_failed "
            f"{max_failed}; see {output_dir / 'left_out.tsv'}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
