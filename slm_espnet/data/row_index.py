"""Where each row of a data directory lies in its tables: a few numbers per row, made once, kept beside the tables.

Kaldi tables stay what users write and read. A directory with large ones also gets a folder `.rows`:

    index.json            what it was made from: size and sha256 of each table, and the values of the columns below
    ids.npy keys.npy      ids in their order; key of each row's audio (`AudioSource.key`)
    <table>.npy           begin and length of each row's line, of tables that have one for every row
    <table>.part.npy      the same with the row's number, of tables in which rows may be missing
    <table>.code.npy      of columns with few different values: the number of each row's value

Where the tables have changed in any byte it is made again; where the folder cannot be written, in a temporary one.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from slm_espnet.data.datadir import COMPLETE_TABLES, is_span, iter_data_dir, make_builder, present_tables
from slm_espnet.data.table import BYTE_ORDER_MARK
from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write
from slm_espnet.locks import Lock

FORMAT = 1  # version of what is described here
FOLDER = ".rows"
KEPT_BYTES = 32 << 20  # of tables; smaller ones are indexed each time, which is faster than it sounds
CHUNK = 100_000  # lines at a time
CODED = ("utt2task", "utt2lang", "utt2target_lang")  # columns with few different values
SPAN = np.dtype([("begin", np.int64), ("size", np.int32)])
PART = np.dtype([("row", np.int64), ("begin", np.int64), ("size", np.int32)])
HEADER_BYTES = 512  # of each .npy file
NO_CODE = 65535  # of a row without a line


def open_index(directory: Path) -> tuple[Path, tempfile.TemporaryDirectory | None]:
    """The folder with the index of a data directory, made where there is none of these very tables.

    Returns:
        The folder, and what keeps it there where it is a temporary one.

    Raises:
        UserError: the directory is not right; names file and line.
    """
    tables = present_tables(directory)
    stamp = stamp_of(directory, tables)
    folder = directory / FOLDER
    if _is_of(folder, stamp):
        return folder, None
    if sum(size for size, _ in stamp["tables"].values()) < KEPT_BYTES:
        return _temporary(directory, tables, stamp)
    try:
        lock = Lock(directory / f"{FOLDER}.lock", "the index of rows", wait=True)
    except UserError:
        print(f"{directory}: cannot be written, so that each process reads the tables anew", flush=True)
        return _temporary(directory, tables, stamp)
    with lock:
        if not _is_of(folder, stamp):
            print(f"{directory}: indexing the tables, once", flush=True)
            _replace(folder, directory, tables, stamp)
    return folder, None


def stamp_of(directory: Path, tables: list[str]) -> dict[str, Any]:
    """What an index is of: sizes and hashes of the tables."""
    names = dict.fromkeys([*tables, "wav.scp"])
    found = {}
    for name in names:
        with open(directory / name, "rb") as file:
            found[name] = [os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()]
    return {"format": FORMAT, "tables": found}


def _is_of(folder: Path, stamp: dict[str, Any]) -> bool:
    try:
        found = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return False
    sizes = found.pop("sizes", {})
    return found.get("stamp") == stamp and all(
        (folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items()
    )


def _temporary(
    directory: Path, tables: list[str], stamp: dict[str, Any]
) -> tuple[Path, tempfile.TemporaryDirectory]:
    holder = tempfile.TemporaryDirectory(prefix="rows")
    _build(Path(holder.name), directory, tables, stamp)
    return Path(holder.name), holder


def _replace(folder: Path, directory: Path, tables: list[str], stamp: dict[str, Any]) -> None:
    """Make the index beside its place, and put it there when it is whole."""
    new = directory / f"{FOLDER}.new"
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        _build(new, directory, tables, stamp)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(new, folder)
    except OSError as error:
        raise cannot_write(Path(error.filename or folder), error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _build(folder: Path, directory: Path, tables: list[str], stamp: dict[str, Any]) -> None:
    values: dict[str, list[str]] = {}
    try:
        ids = _audio_table(folder, directory, tables)
        for name in tables[1:]:
            whole = _complete_table if name in COMPLETE_TABLES else _partial_table
            values |= whole(folder, directory, name, ids)
    except (_Irregular, ValueError, IndexError):
        collections.deque(iter_data_dir(directory, ("wav.scp",)), maxlen=0)  # says exactly what is wrong
        raise UserError(f"{directory}: tables cannot be read; run utils/validate_data_dir.sh {directory}") from None
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    text = json.dumps({"stamp": stamp, "values": values, "sizes": sizes})
    (folder / "index.json").write_text(text, encoding="utf-8")


class _Irregular(Exception):
    """A table is not what a strict reader takes."""


def _lines(path: Path) -> Iterator[tuple[list[bytes], np.ndarray, np.ndarray]]:
    """Lines in chunks that are not empty, their ids, and begin and size of each (SPAN)."""
    begin = 0
    with open(path, "rb") as file:
        if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK:
            begin = len(BYTE_ORDER_MARK)
        file.seek(begin)
        while lines := list(itertools.islice(file, CHUNK)):
            spans = np.zeros(len(lines), SPAN)
            spans["size"] = np.fromiter(map(len, lines), np.int64, len(lines))
            spans["begin"] = begin + np.cumsum(spans["size"], dtype=np.int64) - spans["size"]
            begin = int(spans["begin"][-1] + spans["size"][-1])
            try:
                ids = [line.split(None, 1)[0] for line in lines]  # no list of lists: it would keep the collector busy
            except IndexError:  # an empty line
                there = np.array([bool(line.split()) for line in lines])
                lines, spans = [line for line in lines if line.split()], spans[there]
                ids = [line.split(None, 1)[0] for line in lines]
            if lines:
                yield lines, np.array(ids), spans


def _value(line: bytes) -> bytes:
    """What comes after the id."""
    return b"".join(line.split(None, 1)[1:]).rstrip()


def _audio_table(folder: Path, directory: Path, tables: list[str]) -> np.ndarray:
    """Ids, keys and lines of wav.scp or segments; the ids, memory-mapped."""
    key_of = _key_of_path if tables[0] == "wav.scp" else _segment_keys(directory, tables)
    chunks: list[np.ndarray] = []
    last = b""
    with _Column(folder / "keys.npy", np.dtype("S20")) as keys, _Column(folder / f"{tables[0]}.npy", SPAN) as spans:
        for lines, ids, found in _lines(directory / tables[0]):
            if ids[0] <= last or (ids[1:] <= ids[:-1]).any():
                raise _Irregular
            last = bytes(ids[-1])
            chunks.append(ids)
            keys.add(np.array([key_of(_value(line)) for line in lines], "S20"))
            spans.add(found)
    if not chunks:
        raise UserError(f"{directory}: no utterance in wav.scp; is the data preparation (stage 1) complete?")
    dtype = np.dtype(f"S{max(ids.dtype.itemsize for ids in chunks)}")
    with _Column(folder / "ids.npy", dtype) as column:
        while chunks:
            column.add(chunks.pop(0).astype(dtype))
    return np.load(folder / "ids.npy", mmap_mode="r")


def _key_of_path(path: bytes) -> bytes:
    """AudioSource(path).key"""
    if not path:
        raise _Irregular
    return hashlib.sha1(path + b"|None|None").hexdigest()[:20].encode()


def _segment_keys(directory: Path, tables: list[str]):
    """Function: value of a line of segments → key."""
    recordings = make_builder(directory, tables).recordings or {}

    def key_of(value: bytes) -> bytes:
        recording, start, stop = value.split()[:3]
        first, last = float(start), float(stop)
        if not is_span(first, None if last == -1 else last):
            raise _Irregular
        try:
            path = recordings[recording.decode()].value
        except (KeyError, UnicodeDecodeError):
            raise _Irregular from None
        text = f"{path}|{first}|{None if last == -1 else last}"
        return hashlib.sha1(text.encode()).hexdigest()[:20].encode()

    return key_of


def _complete_table(folder: Path, directory: Path, name: str, ids: np.ndarray) -> dict[str, list[str]]:
    """Lines of a table that has one for every row."""
    codes, done = _Codes(), 0
    with _Column(folder / f"{name}.npy", SPAN) as spans, _Column(folder / f"{name}.code.npy", np.dtype("u2")) as coded:
        for lines, found_ids, found in _lines(directory / name):
            part = ids[done : done + len(lines)]
            if len(part) < len(lines) or (part != found_ids).any():
                raise _Irregular
            done += len(lines)
            spans.add(found)
            if name in CODED:
                coded.add(codes.of(lines))
    if done < len(ids):
        raise _Irregular
    return {name: codes.names()} if name in CODED else {}


def _partial_table(folder: Path, directory: Path, name: str, ids: np.ndarray) -> dict[str, list[str]]:
    """Lines of a table in which rows may be missing."""
    codes = _Codes()
    all_codes = np.full(len(ids) if name in CODED else 0, NO_CODE, np.uint16)
    with _Column(folder / f"{name}.part.npy", PART) as column:
        last = -1
        for lines, wanted, found in _lines(directory / name):
            rows = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
            if (ids[rows] != wanted).any() or rows[0] <= last or (np.diff(rows) <= 0).any():
                raise _Irregular
            last = int(rows[-1])
            part = np.zeros(len(rows), PART)
            part["row"], part["begin"], part["size"] = rows, found["begin"], found["size"]
            column.add(part)
            if name in CODED:
                all_codes[rows] = codes.of(lines)
    if name not in CODED:
        return {}
    with _Column(folder / f"{name}.code.npy", np.dtype("u2")) as coded:
        coded.add(all_codes)
    return {name: codes.names()}


class _Codes:
    """Numbers of the different values of a column."""

    def __init__(self) -> None:
        self._codes: dict[bytes, int] = {}

    def of(self, lines: list[bytes]) -> np.ndarray:
        """Numbers of the values of some lines."""
        codes = self._codes
        found = [codes.setdefault(_value(line), len(codes)) for line in lines]
        if len(codes) >= NO_CODE:
            raise _Irregular
        return np.array(found, np.uint16)

    def names(self) -> list[str]:
        """The values, by number."""
        return [value.decode() for value in self._codes]


class _Column:
    """Writes a .npy file of one dimension, whose length is known at the end; a context manager."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self._path, self._dtype, self._length = path, dtype, 0
        self._file: BinaryIO = open(path, "wb")
        self._header()

    def _header(self) -> None:
        """Padded, so that it has the same size for every length."""
        text = repr({"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False,
                     "shape": (self._length,)}).encode()  # fmt: skip
        magic, left = np.lib.format.magic(1, 0), HEADER_BYTES - 10
        self._file.write(magic + left.to_bytes(2, "little") + text.ljust(left - 1) + b"\n")

    def add(self, values: np.ndarray) -> None:
        """Append values."""
        self._file.write(np.ascontiguousarray(values, self._dtype).tobytes())
        self._length += len(values)

    def __enter__(self) -> _Column:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()
