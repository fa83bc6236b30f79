"""Options of commands whose value is a list of names."""

from __future__ import annotations

from collections.abc import Iterable

from slm_espnet.errors import UserError


def split_names(value: str) -> list[str]:
    """Names separated by commas or white space, in their order."""
    return value.replace(",", " ").split()


def chosen(value: str, known: Iterable[str], what: str) -> list[str]:
    """The names of an option's value, each once, in its order; `all` is all that are known.

    Args:
        value: of the option.
        known: possible names.
        what: the option, for the error: "--languages".

    Raises:
        UserError: a name is unknown, or there is none.
    """
    known = list(known)
    names = list(dict.fromkeys(split_names(value)))
    if names == ["all"]:
        names = known
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise UserError(f"{what}: {' '.join(unknown) or 'nothing'} is not among {' '.join(known) or 'what is there'}")
    return names
