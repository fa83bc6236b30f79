"""Get a package from the Hub and check it; prints its folder.

    python -m slm_espnet.bin.download --model user/name@revision
    python -m slm_espnet.bin.download --model user/name --with_foundations true --output_dir models/name

A folder that is given in place of a name is checked and printed, too. --with_foundations also puts the two frozen
models into the Hub client's cache, where a machine without network finds them (HF_HUB_OFFLINE=1).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.bin.config_file import str2bool
from slm_espnet.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", required=True, help="user/name, user/name@revision, or a folder")
    parser.add_argument("--output_dir", type=Path, help="Copy it to this folder; without it, it stays in the cache")
    parser.add_argument("--with_foundations", type=str2bool, default=False, help="Also fetch the two frozen models")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    from slm_espnet.hub.download import copy_package, locate
    from slm_espnet.hub.manifest import ADAPTER, MANIFEST, check_package

    folder = locate(args.model)
    if (folder / MANIFEST).is_file():
        check_package(folder)
    elif not (folder / ADAPTER).is_file():
        raise UserError(f"{folder} holds no {ADAPTER}: it is neither a package nor the directory of a trained model")
    if args.with_foundations:
        from slm_espnet.foundation import load_foundation
        from slm_espnet.hub.frozen import fetch_foundations

        for role, directory in fetch_foundations(load_foundation(folder / "foundation.yaml")).items():
            print(f"{role}: {directory}", file=sys.stderr)
    if args.output_dir is not None:
        copy_package(folder, args.output_dir)
        folder = args.output_dir
    print(folder)


if __name__ == "__main__":
    run_main(main)
