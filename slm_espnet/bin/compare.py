"""Several experiments side by side, mean and deviation over seeds, as one Markdown table and as a page with drawings.

    python -m slm_espnet.bin.compare exp/slm_asr_seed1 exp/slm_asr_seed2 exp/linear_seed1 --html all.html
    python -m slm_espnet.bin.compare exp/*_seed? --output all.md
    python -m slm_espnet.bin.compare "both tasks=exp/a" "both tasks=exp/b" --metrics "wer bleu accuracy"

Reads the results.json that scoring wrote. Directories that differ only in `_seed<N>` are one configuration.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.errors import run_main
from slm_espnet.files import write_atomically
from slm_espnet.options import split_names


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("experiments", nargs="+", help="Experiment directories, or label=directory")
    parser.add_argument("--inference_tag", help="Which decoding, where an experiment has several")
    parser.add_argument("--metrics", default="", help="Only these metrics, separated by spaces or commas; empty: all")
    parser.add_argument("--output", type=Path, help="Markdown file to write; default: standard output")
    parser.add_argument("--html", type=Path, help="HTML page to write: the table, drawings, training curves")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    from slm_espnet.scoring.collect import collect, comparison

    rows = collect(args.experiments, args.inference_tag)
    text = "\n".join(comparison(rows, split_names(args.metrics))) + "\n"
    if args.html is not None:
        from slm_espnet.report.side_by_side import write_comparison

        args.html.parent.mkdir(parents=True, exist_ok=True)
        write_comparison(args.html, args.experiments, rows, split_names(args.metrics))
        print(f"written: {args.html}")
    if args.output is None:
        if args.html is None:
            print(text, end="")
    else:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(args.output, text)
        print(f"written: {args.output}")
    return 0


if __name__ == "__main__":
    run_main(main)
