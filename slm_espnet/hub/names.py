"""Names of models: on the Hub, of the Hub client's cache, and of a folder that only one machine has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.errors import UserError

HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)
SNAPSHOT = re.compile(r".*/models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})/?")


@dataclass(frozen=True)
class ModelName:
    """What a frozen model is called where a package travels."""

    name: str  # a Hub id, or the name of a folder that has none
    revision: str = ""  # commit, branch or tag of a Hub id
    on_hub: bool = False


def split_revision(text: str) -> tuple[str, str]:
    """`user/name@revision` → both; the revision is empty where there is none."""
    name, _, revision = text.partition("@")
    return name, revision


def hub_name(text: str) -> tuple[str, str]:
    """A name on the Hub and a revision.

    Raises:
        UserError: it is not of the form user/name or user/name@revision.
    """
    name, revision = split_revision(text)
    if not HUB_NAME.fullmatch(name) or ("@" in text and not revision):
        raise UserError(f"{text} is neither a folder here nor a name on the Hub (user/name or user/name@revision)")
    return name, revision


def travelling_name(model: str, revision: str, given: str) -> ModelName:
    """What to call a model in a package.

    Args:
        model: as it was found: a Hub id, or a directory, perhaps of the Hub client's cache.
        revision: the commit that was used, where it is known.
        given: the Hub id that its maker gives, with or without @revision; goes before what is found.
    """
    if given:
        return ModelName(*hub_name(given), on_hub=True)
    cached = SNAPSHOT.fullmatch(str(Path(model).expanduser()))
    if cached:
        return ModelName(f"{cached[1]}/{cached[2]}", cached[3], on_hub=True)
    is_name = HUB_NAME.fullmatch(model) or re.fullmatch("[0-9a-f]{40}", revision)  # gpt2 and such have no user
    if Path(model).is_dir() or not is_name:
        return ModelName(Path(model).name)
    return ModelName(model, revision, on_hub=True)
