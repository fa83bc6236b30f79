"""JSON and JSON lines as corpora ship them: what is not right is named, what is right beside it is not lost.

Bytes that are not UTF-8 do not spoil a file: the records that have them become problems.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from slm_espnet.data.table import BYTE_ORDER_MARK, NOT_UTF_8, UNDECODED, UTF_16_MARKS, Problem
from slm_espnet.errors import UserError


class JsonRecord(NamedTuple):
    """One object of a list, or of a line."""

    where: str  # file:line, or file and number
    values: dict[str, Any]


def read_json(path: Path) -> Any:
    """The content of a JSON file; bytes that are not UTF-8 are kept as lone surrogates.

    Raises:
        UserError: missing, truncated or no JSON; names the line.
    """
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        message = f"not valid JSON ({error.msg}, column {error.colno}): is it whole? copy it again"
        raise UserError(f"{path}:{error.lineno}: {message}") from error


def read_json_list(path: Path) -> Iterator[JsonRecord | Problem]:
    """The objects of a file that holds a list of them; `where` counts from 1.

    Raises:
        UserError: as `read_json`, or it is no list.
    """
    values = read_json(path)
    if not isinstance(values, list):
        raise UserError(f"{path}: holds {_kind(values)}, expected a list of objects; is it the right file?")
    for number, value in enumerate(values, 1):
        yield _record(f"{path}, record {number}", value)


def read_json_lines(path: Path) -> Iterator[JsonRecord | Problem]:
    """The objects of a file that holds one on each line; empty lines are skipped.

    Raises:
        UserError: the file is missing.
    """
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            yield Problem("not JSON", where, f"{error.msg}, column {error.colno}; correct or remove the line")
        else:
            yield _record(where, value)


def has_undecoded(value: Any) -> bool:
    """Whether some text in a JSON value was not UTF-8."""
    if isinstance(value, str):
        return UNDECODED.search(value) is not None
    if isinstance(value, dict):
        return any(map(has_undecoded, value)) or any(map(has_undecoded, value.values()))
    return isinstance(value, list) and any(map(has_undecoded, value))


def _record(where: str, value: Any) -> JsonRecord | Problem:
    if not isinstance(value, dict):
        return Problem("malformed record", where, f"{_kind(value)}, expected an object with names and values")
    if has_undecoded(value):
        return Problem("not UTF-8", where, f"a text is not UTF-8; {NOT_UTF_8}")
    return JsonRecord(where, value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data.startswith(UTF_16_MARKS):
            return data.decode("utf-16", "surrogateescape")
        return data.removeprefix(BYTE_ORDER_MARK).decode("utf-8", "surrogateescape")
    except OSError as error:
        cure = "is the corpus complete, and the path right?"
        raise UserError(f"{path}: cannot be read ({error.strerror}); {cure}") from error
