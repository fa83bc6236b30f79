"""Where recipes, shared settings and helpers lie: at the top of a clone, or in a folder of an installed package."""

from __future__ import annotations

from pathlib import Path

from slm_espnet.errors import UserError

SHARE = Path(__file__).resolve().parent / "share"  # in a clone: links to egs2, conf and utils
TEMPLATE = "TEMPLATE"
FOLDER = "slm1"  # of every recipe


def toolkit_root() -> Path:
    """The folder that has egs2/, conf/ and utils/.

    Raises:
        UserError: the package was installed without them.
    """
    root = (SHARE / "egs2").resolve().parent
    if not (root / "egs2" / TEMPLATE).is_dir():
        raise UserError(f"{SHARE} has no recipes: this installation is not complete; install the package again")
    return root


def recipe_names() -> list[str]:
    """The corpora that there are recipes for, sorted."""
    found = sorted(path.parent.parent.name for path in (toolkit_root() / "egs2").glob(f"*/{FOLDER}/run.sh"))
    return [name for name in found if name != TEMPLATE]
