"""Tables of corpus publishers: one record per line, fields parted by a character, in three ways of quoting.

    plain      nothing is quoted; a quotation mark is a letter like others (Common Voice, MLS, FLEURS)
    backslash  the character after a backslash is meant as it is, tabs, line ends and quotation marks too (CoVoST 2)
    csv        fields in double quotation marks, with doubled ones inside (VoxPopuli)

A record that is not right becomes a `Problem`; those after it are read on. Files may be gzipped, or lie in a tar.gz.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from slm_espnet.data.table import NOT_UTF_8, UNDECODED, UTF_16_MARKS, Problem
from slm_espnet.errors import UserError

CSV_OPTIONS = {
    "backslash": {"quoting": csv.QUOTE_NONE, "escapechar": "\\"},
    "csv": {"quoting": csv.QUOTE_MINIMAL, "strict": True},
}
ENDS_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\\Z")  # an odd number of backslashes at the end


class Record(NamedTuple):
    """One line's fields by column."""

    where: str  # file:line
    values: dict[str, str]


def read_delimited(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    required: Iterable[str] = (),
    delimiter: str = "\t",
    quoting: str = "plain",
) -> Iterator[Record | Problem]:
    """Records of a table in the order of the file, streaming; empty lines are skipped.

    Args:
        path: a text file in UTF-8, or in UTF-16 with a byte order mark; that file gzipped (.gz), or a tar.gz archive
            with that file as `path` less `.tar.gz`.
        columns: names of the columns of a table without heading; None: the first line is the heading.
        required: columns that the heading must have; there may be others.
        delimiter: what parts the fields.
        quoting: plain, backslash or csv.

    Raises:
        UserError: the file is missing or damaged, has no heading, or its heading lacks a column.
    """
    with _open(path) as file:
        records = _records(path, file, delimiter, quoting)
        if columns is None:
            columns = _heading(path, records, required)
        for where, fields in records:
            if isinstance(fields, Problem):
                yield fields
            elif len(fields) != len(columns):
                message = f"{len(fields)} columns, expected {len(columns)} ({', '.join(columns)}); correct or remove it"
                yield Problem("wrong column count", where, message)
            elif any(UNDECODED.search(field) for field in fields):
                bad = next(name for name, field in zip(columns, fields, strict=True) if UNDECODED.search(field))
                message = f"column {bad} is not UTF-8; {NOT_UTF_8}"
                yield Problem("not UTF-8", where, message)
            else:
                yield Record(where, dict(zip(columns, fields, strict=True)))


def unquote(text: str) -> str:
    """A field of Common Voice without the CSV quotation that some of its sentences kept: `\"""Yes,"" she said."`.

    A field that merely begins with a quotation mark, or has single ones inside, is not quoted and stays as it is.
    """
    inner = text[1:-1]
    if len(text) < 2 or text[0] != '"' or text[-1] != '"' or '"' in inner.replace('""', ""):
        return text
    return inner.replace('""', '"')


def _records(path: Path, file: TextIO, delimiter: str, quoting: str) -> Iterator[tuple[str, list[str] | Problem]]:
    """Fields of each record with its place. Lines are parsed one by one: an unclosed quotation spoils its own only."""
    numbered = enumerate(_whole_lines(path, file), 1)
    for number, line in numbered:
        where = f"{path}:{number}"
        while quoting == "backslash" and ENDS_ESCAPED.search(line):  # the line end belongs to the text
            line += "\n" + next(numbered, (0, ""))[1]
        if not line:
            continue
        if quoting == "plain":
            yield where, line.split(delimiter)
            continue
        try:
            yield where, next(csv.reader([line], delimiter=delimiter, **CSV_OPTIONS[quoting]))
        except csv.Error as error:
            yield where, Problem("broken line", where, f"cannot be parted into fields ({error}); correct or remove it")


def _whole_lines(path: Path, file: TextIO) -> Iterator[str]:
    try:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged, it ends in the middle ({error}); copy it again") from error


def _heading(path: Path, records: Iterator[tuple[str, list[str] | Problem]], required: Iterable[str]) -> list[str]:
    where, names = next(records, (f"{path}:1", []))
    if isinstance(names, Problem):
        raise names.error()
    names = [name.strip() for name in names]
    missing = [name for name in required if name not in names]
    if missing:
        found = ", ".join(names[:12]) or "nothing"
        raise UserError(f"{where}: the heading has no {', '.join(missing)}, but {found}; is it the right file?")
    return names


@contextlib.contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """The table as text; lines end at line feeds alone, and bytes that are not UTF-8 are kept as lone surrogates."""
    with contextlib.ExitStack() as stack:
        try:
            if path.name.endswith((".tar.gz", ".tgz")):
                binary = stack.enter_context(_member(stack.enter_context(tarfile.open(path, "r:gz")), path))
            elif path.suffix == ".gz":
                binary = stack.enter_context(gzip.open(path, "rb"))
            else:
                binary = stack.enter_context(open(path, "rb"))
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: not a whole tar.gz archive ({error}); copy it again") from error
        except OSError as error:
            raise UserError(f"{path}: cannot read it ({error.strerror or error}); check the path") from error
        yield _lines(binary)


def _member(archive: tarfile.TarFile, path: Path):
    wanted = path.name.removesuffix(".tar.gz").removesuffix(".tgz")
    for member in archive:
        if member.isfile() and Path(member.name).name == wanted:
            return archive.extractfile(member)
    raise UserError(f"{path}: holds no file {wanted}; copy it again")


def _lines(binary) -> TextIO:
    encoding = "utf-16" if binary.peek(2).startswith(UTF_16_MARKS) else "utf-8-sig"
    return io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="\n")
