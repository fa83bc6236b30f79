"""WER, U-WER and B-WER of one system on a contextual biasing benchmark (is21_deep_bias, Le et al. 2021).

    python -m slm_espnet.bin.score_biasing --refs test-clean.biasing_100.tsv --hyps test-clean.my_system.tsv

References: id, text, JSON list of its rare words (B), and optionally the JSON list that is offered, tab-separated.
Hypotheses: id and text, separated by a tab; a `text` file of decoding (id, a space, text) works with --separator space.
Files may be gzipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.bin.config_file import str2bool
from slm_espnet.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--refs", type=Path, required=True, help="References (TSV)")
    parser.add_argument("--hyps", type=Path, required=True, help="Hypotheses")
    parser.add_argument("--separator", choices=("tab", "space"), default="tab", help="Between id and text of --hyps")
    parser.add_argument(
        "--lenient", type=str2bool, nargs="?", const=True, default=False,
        help="Leave out utterances without a hypothesis instead of stopping",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    from slm_espnet.scoring.biasing import read_hypotheses, read_references, score

    references = read_references(args.refs)
    hypotheses = read_hypotheses(args.hyps, "\t" if args.separator == "tab" else " ")
    missing = [utt_id for utt_id in references if utt_id not in hypotheses]
    if missing and not args.lenient:
        raise UserError(
            f"{args.hyps} has no hypothesis for {len(missing)} of {len(references)} utterances, such as {missing[0]}; "
            "add them (with an empty text), or leave them out by --lenient true"
        )
    for name, rate in score(references, hypotheses).items():
        print(
            f"{name}: error_rate={rate.percent}, ref_words={rate.words}, "
            f"subs={rate.substituted}, ins={rate.inserted}, dels={rate.deleted}"
        )
    if missing:
        print(f"left out: {len(missing)} of {len(references)} utterances have no hypothesis")
    return 0


if __name__ == "__main__":
    run_main(main)
