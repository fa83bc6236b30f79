"""Check data directories and, with --fix true, write what can be used.

    python -m slm_espnet.bin.check_data data/train data/test
    python -m slm_espnet.bin.check_data --fix true --max_failed 0.01 data/train

Prints for each directory how many utterances are kept and how many are left out, by reason, with examples. Exit status
2 when more than --max_failed of a directory cannot be used, or, without --fix, when tables have to be put in order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.errors import UserError, run_main
from slm_espnet.options import split_names


def get_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fix", choices=("true", "false"), default="false", help="write the usable rows, in order")
    parser.add_argument("--output_dir", type=Path, help="where --fix writes (default: in place, with a .backup folder)")
    parser.add_argument("--max_failed", type=float, default=0.01, help="largest share left out (default 0.01)")
    parser.add_argument("--require", default="wav.scp text", help="files that must exist (default: wav.scp text)")
    parser.add_argument(
        "--audio",
        choices=("none", "header", "full"),
        default="header",
        help="how far recordings are looked at: not at all, header (default), or all samples",
    )
    parser.add_argument(
        "--allow_empty_text", choices=("true", "false"), default="false", help="keep rows without a target"
    )
    parser.add_argument("data_dirs", type=Path, nargs="+")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = get_parser().parse_args(argv)
    if options.output_dir is not None and (options.fix != "true" or len(options.data_dirs) > 1):
        raise UserError("--output_dir goes with --fix true and one data directory")
    failures = []
    for directory in options.data_dirs:
        try:
            _check(directory, options)
        except UserError as error:  # the other directories are looked at all the same
            failures.append(str(error))
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 2 if failures else 0


def _check(directory: Path, options: argparse.Namespace) -> None:
    from slm_espnet.data.validate import fix, validate

    require = tuple(split_names(options.require))
    empty = options.allow_empty_text == "true"
    checks = {"require": require, "audio": options.audio, "allow_empty_text": empty}
    if options.fix == "true":
        report = fix(directory, options.output_dir, max_failed=options.max_failed, **checks)
    else:
        report = validate(directory, **checks)
    print(report.table(), flush=True)
    report.check_share(options.max_failed)
    if options.fix == "false" and report.repairs.total():
        raise UserError(f"{directory}: tables have to be put in order; run utils/fix_data_dir.sh {directory}")


if __name__ == "__main__":
    run_main(main)
