"""The recipes, and a folder of one's own with one of them.

`egs2`, `conf` and `utils` are links here to the folders at the top of the repository; the wheel holds their files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically

ROOT = Path(__file__).parent
KIND = "slm1"  # egs2/<corpus>/slm1
TOOLKIT = "toolkit"  # link in a recipe folder to ROOT
SHARED = {  # links of a recipe folder
    "slm.sh": f"{TOOLKIT}/egs2/TEMPLATE/{KIND}/slm.sh",
    "path.sh": f"{TOOLKIT}/egs2/TEMPLATE/{KIND}/path.sh",
    "utils": f"{TOOLKIT}/utils",
}
WRITTEN = {"data", "downloads", "dump", "exp", "log", "__pycache__"}  # what recipes write, in a working tree
TEXTS = {".sh", ".yaml", ".md"}
UPWARDS = re.compile(r"(?<![\w.}/-])((?:\.\./)+)")  # ../../../ at the beginning of a path


def names() -> list[str]:
    """Corpora that have a recipe."""
    return sorted(path.parent.parent.name for path in (ROOT / "egs2").glob(f"*/{KIND}/run.sh"))


def lay_out(corpus: str, folder: Path) -> tuple[list[str], list[str]]:
    """Make a folder in which a corpus' recipe runs; what all recipes share is a link to the toolkit.

    Files that are there already stay as they are; links to the toolkit are renewed, for an environment that has moved.

    Args:
        corpus: one of `names()`.
        folder: of the recipe; made where it is missing.

    Returns:
        Names of the files written, and of those that were there.

    Raises:
        UserError: there is no such recipe, or something else is where a link belongs.
    """
    if corpus not in names():
        raise UserError(f"there is no recipe {corpus!r}; there are {' '.join(names())}")
    source = ROOT / "egs2" / corpus / KIND
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in {TOOLKIT: str(ROOT), **SHARED}.items():
        _link(folder / name, target)
    written, kept = [], []
    for path in _files(source):
        name = path.relative_to(source)
        if os.path.lexists(folder / name):
            kept.append(str(name))
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        write_atomically(folder / name, _from_here(text, corpus, name) if path.suffix in TEXTS else text)
        (folder / name).chmod(0o644 | path.stat().st_mode & 0o111)
        written.append(str(name))
    return written, kept


def _files(source: Path) -> Iterator[Path]:
    for path in sorted(source.iterdir()):
        if path.name in WRITTEN or path.name in SHARED or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _link(path: Path, target: str) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        raise UserError(f"{path} is in the way: a link belongs there; move it, or choose another folder")
    path.symlink_to(target)


def _from_here(text: str, corpus: str, name: Path) -> str:
    """A file's text, its paths by way of the link: scripts run in the recipe's folder, YAML has paths from itself."""
    depth = len(name.parts) - 1 if name.suffix != ".sh" else 0
    place = {1: f"{TOOLKIT}/egs2/{corpus}/", 2: f"{TOOLKIT}/egs2/", 3: f"{TOOLKIT}/"}

    def by_link(match: re.Match[str]) -> str:
        beyond = len(match[1]) // 3 - depth
        return "../" * depth + place[beyond] if beyond in place else match[1]

    return UPWARDS.sub(by_link, text)
