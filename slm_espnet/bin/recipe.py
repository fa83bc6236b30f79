"""Make a folder in which a recipe runs, without a clone of the toolkit.

    python -m slm_espnet.bin.recipe                          # lists the recipes
    python -m slm_espnet.bin.recipe librispeech my_dir       # then: cd my_dir; ./run.sh --help
    python -m slm_espnet.bin.recipe my_corpus my_dir --new   # a recipe for a corpus of your own, to be filled in

The scripts that all recipes share are links to the installed toolkit; settings, the preparation of the data and run.sh
are yours to edit. In a folder that has a recipe already, your files stay as they are and the links are renewed.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence
from pathlib import Path

from slm_espnet import recipes
from slm_espnet.errors import UserError, run_main


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("recipe", nargs="?", help="Name of the corpus; without it the recipes are listed")
    parser.add_argument("folder", nargs="?", type=Path, help="Where the recipe goes")
    parser.add_argument("--new", action="store_true", help="Begin a recipe for another corpus")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write the folder."""
    args = get_parser().parse_args(argv)
    if args.recipe is None:
        print("\n".join(recipes.names()))
        return 0
    if args.folder is None:
        raise UserError(f"say where the recipe goes: recipe {args.recipe} my_dir")
    if args.new:
        script = recipes.ROOT / "egs2" / "TEMPLATE" / recipes.KIND / "setup.sh"
        return subprocess.run(["bash", str(script), str(args.folder)], check=False).returncode
    written, kept = recipes.lay_out(args.recipe, args.folder)
    if kept:
        print(f"left as they were: {' '.join(kept)}")
    print(f"{args.folder}: {len(written)} files written; next: its README.md, the corpus' folder in db.sh, ./run.sh")
    return 0


if __name__ == "__main__":
    run_main(main)
