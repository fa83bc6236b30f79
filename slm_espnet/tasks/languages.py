"""Names of languages by code, and which of them are written without spaces; the table is languages.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import yaml

from slm_espnet.errors import UserError

TABLE = Path(__file__).with_name("languages.yaml")


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, str], frozenset[str]]:
    values = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return values["names"], frozenset(values["without_spaces"])


def language_names() -> dict[str, str]:
    """English names of all languages of the table by code, in the order of the names."""
    return dict(sorted(_table()[0].items(), key=lambda item: item[1]))


def primary(code: str) -> str:
    """The language of a code without script and region: `zh-CN` → zh, `cmn_hans_cn` → cmn."""
    return code.replace("_", "-").partition("-")[0].lower()


def language_name(code: str) -> str:
    """English name of a language.

    Raises:
        UserError: the table does not have it.
    """
    names, _ = _table()
    name = names.get(code.replace("_", "-").lower()) or names.get(primary(code))
    if name is None:
        raise UserError(
            f"language {code!r} has no name: give an ISO 639 code, or name it under `languages` in the tasks file "
            f"(codes known without that are in {TABLE})"
        )
    return name


def has_spaces(code: str) -> bool:
    """Whether a language puts spaces between words; without them only character error rates mean anything."""
    return primary(code) not in _table()[1]


def by_language(values: Mapping[str, str], code: str, otherwise: str) -> str:
    """The value for a language: that of the whole code, of the language alone, of `default`, else the given one."""
    for key in (code, primary(code), "default"):
        if key in values:
            return values[key]
    return otherwise
