"""Lay out a recipe's folder: everything to run it, and yours to edit.

    slm-espnet recipe --list                 the corpora that there are recipes for
    slm-espnet recipe librispeech my_dir     then: cd my_dir && ./run.sh
    slm-espnet recipe new my_dir             an empty one, for a corpus of your own

run.sh, cmd.sh, db.sh, conf/ and local/ are copies. slm.sh, path.sh and utils/ are links through `toolkit`, a link to
where the toolkit lies; where that is moved, `ln -sfn PLACE toolkit` mends them all.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from slm_espnet.errors import UserError, run_main
from slm_espnet.toolkit import FOLDER, TEMPLATE, recipe_names, toolkit_root

NEW = "new"
LINKED = ("slm.sh", "path.sh")  # of the template
COPIED = ("run.sh", "cmd.sh", "db.sh", "README.md", "conf", "local")
MADE = shutil.ignore_patterns("__pycache__")
TO_TOP = re.compile(r"(?:\.\./){3,4}(?=(?:conf|egs2|utils)/)")  # a path up to the top of the toolkit
TO_NEIGHBOUR = re.compile(r"(?<![\w./])\.\./(?=(?:asr1|lm1)/)")  # the mini recipe's other folders


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("name", nargs="?", help=f"A corpus of --list, or {NEW}")
    parser.add_argument("folder", nargs="?", type=Path, help="Where the recipe goes; a folder that does not exist yet")
    parser.add_argument("--list", action="store_true", help="Print the corpora")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = get_parser().parse_args(argv)
    root = toolkit_root()
    if args.list or args.name is None:
        print("\n".join(f"{name:<20} {_title(root / 'egs2' / name / FOLDER)}" for name in recipe_names()))
        return 0
    if args.folder is None:
        raise UserError(f"where is it to go? slm-espnet recipe {args.name} my_dir")
    if args.folder.exists() and any(args.folder.iterdir()):
        raise UserError(f"{args.folder} is there and not empty; give a folder that does not exist yet")
    if args.name == NEW:
        command = [root / "egs2" / TEMPLATE / FOLDER / "setup.sh", args.folder]
        return subprocess.run(list(map(str, command)), check=False).returncode
    if args.name not in recipe_names():
        cure = f"slm-espnet recipe --list names all, `{NEW}` makes an empty one"
        raise UserError(f"there is no recipe {args.name!r}; {cure}")
    lay_out(root, root / "egs2" / args.name / FOLDER, args.folder)
    print(f"{args.folder}: cd {args.folder} && ./run.sh; README.md says what it does and what it needs")
    return 0


def lay_out(root: Path, recipe: Path, folder: Path) -> None:
    """Make the folder of a recipe, whose paths lead to the toolkit through the link `toolkit`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toolkit").symlink_to(root)
    for name in LINKED:
        (folder / name).symlink_to(Path("toolkit", "egs2", TEMPLATE, FOLDER, name))
    (folder / "utils").symlink_to(Path("toolkit", "utils"))
    for name in COPIED:
        source = recipe / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=MADE)
        elif source.exists():
            shutil.copy(source, folder / name)
    for path in (folder / "run.sh", *folder.glob("conf/**/*.yaml")):
        up = "../" * (len(path.relative_to(folder).parts) - 1)
        text = TO_TOP.sub(f"{up}toolkit/", path.read_text(encoding="utf-8"))
        neighbours = f"{up}toolkit/egs2/{recipe.parent.name}/"
        path.write_text(TO_NEIGHBOUR.sub(neighbours, text), encoding="utf-8")


def _title(recipe: Path) -> str:
    """The first line of a recipe's README."""
    lines = (recipe / "README.md").read_text(encoding="utf-8").splitlines() if (recipe / "README.md").is_file() else []
    return lines[0].lstrip("# ").removeprefix(f"{recipe.parent.name}: ") if lines else ""


if __name__ == "__main__":
    run_main(main)
