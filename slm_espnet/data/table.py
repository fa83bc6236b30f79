"""Kaldi tables: text files of `<id> <value>` lines, sorted by id, and their joint reading.

Everything streams: a sorted table of millions of lines is read in one pass and constant memory. Lines that are not
right are kept as lines with a `problem`, so that a strict reader can stop at the first and a checking one can go on.
Ids and order are those of `LC_ALL=C sort`, which for UTF-8 is the order of Python strings.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write, discard, temporary_beside

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")  # with which spreadsheets begin what they call Unicode text
NOT_UTF_8 = "convert the file (iconv -f WINDOWS-1252 -t UTF-8, or whatever it was written in)"
UNDECODED = re.compile("[\ud800-\udfff]")  # what `surrogateescape` leaves of a byte that is not UTF-8


class Problem(NamedTuple):
    """What is wrong with one line or one utterance."""

    reason: str  # a few words, the same for every case of its kind: counted in reports
    where: str  # file, or file:line
    message: str  # what exactly is wrong, with the cure

    def error(self) -> UserError:
        """The problem as an error for the user."""
        return UserError(f"{self.where}: {self.message}")


class Line(NamedTuple):
    """One line of a table; with a problem, the value may be empty."""

    where: str  # file:line
    key: str  # the id
    value: str  # the rest of the line without surrounding white space
    problem: Problem | None = None


def read_lines(path: Path) -> Iterator[Line]:
    """Lines of a table in the order of the file; empty lines and a byte order mark are skipped.

    Raises:
        UserError: the file is UTF-16.
    """
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            if number == 1:
                if raw.startswith(UTF_16_MARKS):
                    raise UserError(f"{path}: is UTF-16; convert it (iconv -f UTF-16 -t UTF-8)")
                raw = raw.removeprefix(BYTE_ORDER_MARK)
            parts = raw.split(None, 1)
            if not parts:
                continue
            where = f"{path}:{number}"
            try:
                key = parts[0].decode("utf-8")
                value = parts[1].rstrip().decode("utf-8") if len(parts) == 2 else ""
            except UnicodeDecodeError:
                yield _undecodable(where, raw, parts[0])
            else:
                yield Line(where, key, value)


def sorted_lines(path: Path) -> Iterator[Line]:
    """Lines with strictly increasing ids.

    Raises:
        UserError: where an id is out of order or occurs twice (names file, line and cure).
    """
    previous = None
    for line in read_lines(path):
        if previous is not None and line.key <= previous:
            fault = "occurs twice" if line.key == previous else f"comes after {previous!r}: the file is not sorted"
            raise UserError(f"{line.where}: id {line.key!r} {fault}; run utils/fix_data_dir.sh {path.parent}")
        previous = line.key
        yield line


def repaired_lines(path: Path, repairs: Counter[str]) -> Iterator[Line]:
    """Lines with strictly increasing ids whatever the order of the file; what was put in order is counted in `repairs`.

    A line that is repeated word for word is taken once. An id with different values becomes one line with a problem,
    because nobody can tell which value is right. An unsorted table is read into memory, a sorted one streams.
    """
    if _is_sorted(path):
        lines: Iterable[Line] = read_lines(path)
    else:
        repairs["unsorted table"] += 1
        lines = sorted(read_lines(path), key=lambda line: line.key)
    for key, group in itertools.groupby(lines, key=lambda line: line.key):
        first, *others = group
        differing = [line for line in others if line.value != first.value]
        repairs["repeated line"] += len(others) - len(differing)
        if differing and first.problem is None:
            message = f"id {key!r} has another value at {differing[0].where}; keep one of the two lines"
            first = first._replace(problem=Problem("duplicate id", first.where, message))
        yield first


def join(tables: Mapping[str, Iterator[Line]]) -> Iterator[tuple[str, dict[str, Line]]]:
    """Walk through sorted tables together: every id with its lines by table name, in the order of ids."""
    heads: dict[str, Line] = {}
    for name, lines in tables.items():
        first = next(lines, None)
        if first is not None:
            heads[name] = first
    while heads:
        key = min(line.key for line in heads.values())
        found = {name: line for name, line in heads.items() if line.key == key}
        yield key, found
        for name in found:
            following = next(tables[name], None)
            if following is None:
                del heads[name]
            else:
                heads[name] = following


def write_table(path: Path, rows: Iterable[tuple[str, str]]) -> int:
    """Write `<id> <value>` lines and put the file in place at once; returns the number of lines.

    Raises:
        UserError: the file cannot be written, for instance because the disk is full.
    """
    temporary = temporary_beside(path)
    count = 0
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            for key, value in rows:
                file.write(f"{key} {value}\n" if value else f"{key}\n")
                count += 1
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        discard(temporary)
    return count


def _is_sorted(path: Path) -> bool:
    keys = (line.key for line in read_lines(path))
    return all(first <= second for first, second in itertools.pairwise(keys))


def _undecodable(where: str, raw: bytes, key: bytes) -> Line:
    """A line that is not UTF-8; its id is kept when that part is."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        position, byte = error.start, raw[error.start]
    else:
        position, byte = 0, raw[0]
    message = f"not UTF-8: byte 0x{byte:02x} at column {position + 1}; {NOT_UTF_8}"
    return Line(where, key.decode("utf-8", "backslashreplace"), "", Problem("not UTF-8", where, message))
