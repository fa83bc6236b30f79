"""What a corpus needs on 8 to 512 GPUs, before anything is encoded: hours, bytes, files, start of jobs.

    python -m slm_espnet.bin.scale --foundation conf/foundation/owsm_ctc_mt0_xxl.yaml            # doc/scale.md
    python -m slm_espnet.bin.scale --foundation pair.yaml --gpus 16 \
        --corpus mine 12000 9000000 40 25000 --encoder_rtf 1500      # hours and utterances to train on, and to decode

Rates of GPUs are assumptions, and options: put in what the logs of your first jobs say. The rest is computed from the
layout of encodings, or measured (slm_espnet/planning/scale.py names each).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.errors import UserError, run_main
from slm_espnet.planning.scale import GIB, TIB, Corpus, Frames, Rates, Scale, scale

if TYPE_CHECKING:
    from slm_espnet.foundation import Foundation

CORPORA = (  # rounded
    Corpus("LibriSpeech-960", 960, 281_241, 21, 11_123),
    Corpus("CoVoST 2, 21 directions into English", 860, 650_000, 130, 95_000),
    Corpus("100,000 hours, 15 s each", 100_000, 24_000_000, 100, 50_000),
)
GPUS = (8, 64, 512)
RATE_HELP = {
    "encoder_rtf": "hours of audio that a GPU encodes in an hour",
    "decoding_rtf": "hours of audio that a GPU decodes in an hour",
    "load_seconds": "seconds until a job has loaded its models",
    "job_hours": "longest job of an array, hours",
    "read_mib": "MiB/s that the storage gives",
}


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--foundation", type=Path, required=True, help="YAML of the frozen pair")
    parser.add_argument(
        "--corpus",
        nargs=5,
        action="append",
        metavar=("NAME", "HOURS", "UTTERANCES", "TEST_HOURS", "TEST_UTTERANCES"),
        help="a corpus of your own, also several times (default: three known sizes)",
    )
    parser.add_argument("--gpus", type=int, nargs="+", default=list(GPUS), help="numbers of GPUs (default: 8 64 512)")
    parser.add_argument("--storage_dtype", choices=("float16", "float32"), default="float16", help="of frames on disk")
    parser.add_argument("--kept", type=float, help="share of frames that the reduction leaves (default: the plan's)")
    for option in fields(Rates):
        message = f"{RATE_HELP[option.name]} (assumed: {option.default:g})"
        parser.add_argument(f"--{option.name}", type=float, default=option.default, help=message)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    for name in (*RATE_HELP, "kept"):
        if vars(args)[name] is not None and vars(args)[name] <= 0:
            raise UserError(f"--{name} must be above 0, not {vars(args)[name]:g}")
    if min(args.gpus) < 1:
        raise UserError("--gpus must be at least 1")
    corpora = CORPORA if args.corpus is None else [read_corpus(values) for values in args.corpus]
    from slm_espnet.foundation import load_foundation

    frames = frames_of(load_foundation(args.foundation), args)
    rates = Rates(**{name: vars(args)[name] for name in RATE_HELP})
    print(
        f"{args.foundation.stem}: frames of {frames.dim} {args.storage_dtype} values, {frames.kept:.0%} of those every "
        f"{1000 * frames.frame_shift:.0f} ms: {frames.bytes_per_hour / 2**20:.0f} MiB an hour\n"
    )
    print(*table([scale(corpus, gpus, frames, rates) for corpus in corpora for gpus in args.gpus]), sep="\n")
    return 0


def read_corpus(values: Sequence[str]) -> Corpus:
    """A corpus of the command line; UserError where a number is none, or not above 0."""
    name, *numbers = values
    try:
        hours, utterances, test_hours, test_utterances = map(float, numbers)
    except ValueError:
        raise UserError(f"--corpus {name}: hours and utterances are numbers, not {' '.join(numbers)}") from None
    if not min(hours, utterances, test_hours, test_utterances) > 0:
        raise UserError(f"--corpus {name}: hours and utterances must be above 0")
    return Corpus(name, hours, int(utterances), test_hours, int(test_utterances))


def frames_of(foundation: Foundation, args: argparse.Namespace) -> Frames:
    """What encodings of a foundation hold."""
    from slm_espnet.planning.models import encoder_on_paper
    from slm_espnet.planning.plan import reduced

    encoder = encoder_on_paper(foundation)
    width, an_hour = reduced(foundation, encoder, 3600.0)
    kept = args.kept or an_hour * encoder.frame_shift / 3600
    value_bytes = 2 if args.storage_dtype == "float16" else 4
    return Frames(width, value_bytes, encoder.frame_shift, kept, encoder.vocab_size)


def table(scales: Sequence[Scale]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        "| corpus | GPUs | encoding | jobs | encodings | index | files | tables, once | training starts in, with | "
        "reading all once | decoding array | decoding | a job starts in |",
        "|" + "---|" * 13,
    ]
    for one in scales:
        cells = (
            one.corpus.name,
            str(one.gpus),
            duration(3600 * one.encoding_hours),
            str(one.encoding_jobs),
            size(one.storage),
            size(one.index),
            f"{one.files:,}",
            duration(one.indexing),
            f"{duration(one.start_training)}, {size(one.memory)}",
            duration(3600 * one.epoch_read_hours),
            f"{one.decoding_jobs} x {one.per_decoding_job:,}",
            duration(3600 * one.decoding_hours),
            duration(one.start_decoding),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def size(count: float) -> str:
    """Bytes."""
    if count < GIB:
        return f"{count / 2**20:.0f} MiB"
    return f"{count / TIB:.1f} TiB" if count >= TIB else f"{count / GIB:.1f} GiB"


def duration(seconds: float) -> str:
    """Of a few digits."""
    if seconds < 1:
        return "< 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    run_main(main)
