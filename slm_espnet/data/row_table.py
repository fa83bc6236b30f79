"""The rows of a data directory without reading them: by number or by id, tens of millions in little memory.

    rows = RowTable("data/train")
    len(rows), rows[3], rows.find(["utt7"])

A row is read from the tables when it is asked for, at the place that the index (row_index.py) names.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from slm_espnet.data.datadir import (
    COMPLETE_TABLES,
    DEFAULT_TASK,
    SAME_AUDIO,
    Row,
    make_builder,
    present_tables,
)
from slm_espnet.data.row_index import HEADER_BYTES, NO_CODE, SPAN, open_index
from slm_espnet.data.table import Line, Problem
from slm_espnet.errors import UserError

__all__ = ["SAME_AUDIO", "RowTable"]


class RowTable(Sequence[Row]):
    """Rows of a data directory sorted by id. Holds file mappings and open files alone, which forked workers share."""

    def __init__(self, directory: str | Path, require: Sequence[str] = ("wav.scp", "text")) -> None:
        """Open a directory, indexing its tables where that was not done.

        Args:
            directory: the data directory.
            require: files that must exist.

        Raises:
            UserError: not a data directory, or tables that are not right; names file, line and cure.
        """
        self.directory, self._require = Path(directory), tuple(require)
        self._tables = present_tables(self.directory, require)
        self._folder, self._holder = open_index(self.directory)
        index = json.loads((self._folder / "index.json").read_text(encoding="utf-8"))
        self._stamp, self._values = index["stamp"]["tables"], index["values"]
        self.ids, self.keys = self._array("ids"), self._array("keys")  # (N,) bytes: utterance ids; keys of the audio
        self._whole = [name for name in self._tables if self._is_whole(name)]
        self._parts = {name: self._array(f"{name}.part") for name in self._tables if not self._is_whole(name)}
        self._builder = make_builder(self.directory, self._tables)
        self._files: dict[Path, BinaryIO] = {}

    def __reduce__(self) -> tuple[type, tuple[Path, tuple[str, ...]]]:
        return type(self), (self.directory, self._require)

    def _is_whole(self, name: str) -> bool:
        return name == self._tables[0] or name in COMPLETE_TABLES

    @cached_property
    def with_several(self) -> np.ndarray:
        """Numbers of the rows that may have more than one recording, sorted."""
        parts = [self._parts[name]["row"] for name in ("further_audio", "history") if name in self._parts]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def release(self) -> None:
        """Map ids and keys anew: what was looked at of them counts as this process's memory no more."""
        self.ids, self.keys = self._array("ids"), self._array("keys")

    def _array(self, name: str) -> np.ndarray:
        return np.load(self._folder / f"{name}.npy", mmap_mode="r" if self._holder is None else None)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> Row:
        """The row of that number; UserError where its lines are not right, or have changed since they were indexed."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        utt_id = self._read("ids.npy", number, self.ids.dtype).rstrip(b"\0")
        lines = {}
        for name in self._whole:
            span = np.frombuffer(self._read(f"{name}.npy", number, SPAN), SPAN)[0]
            lines[name] = self._line(name, number, span, utt_id)
        for name, part in self._parts.items():
            at = int(np.searchsorted(part["row"], number))
            if at < len(part) and part["row"][at] == number:
                lines[name] = self._line(name, number, part[at], utt_id)
        row = self._builder.build(utt_id.decode(), lines)
        if isinstance(row, Problem):
            raise row.error()
        return row

    def _opened(self, path: Path) -> int:
        """A file descriptor. Reading leaves memory as it is; of a mapping, whole neighbourhoods would come with it."""
        if path not in self._files:
            self._files[path] = open(path, "rb", buffering=0)
        return self._files[path].fileno()

    def _read(self, name: str, number: int, dtype: np.dtype) -> bytes:
        """The bytes of one entry of the index."""
        return os.pread(self._opened(self._folder / name), dtype.itemsize, HEADER_BYTES + number * dtype.itemsize)

    def _line(self, name: str, number: int, span: np.void, utt_id: bytes) -> Line:
        path = self.directory / name
        raw = os.pread(self._opened(path), int(span["size"]), int(span["begin"]))
        parts = raw.split(None, 1)
        if not parts or parts[0] != utt_id:
            raise UserError(f"{path}: was changed while it was in use (at {utt_id.decode()}); run it again")
        where = f"{path}:{number + 1}" if name in self._whole else str(path)
        try:
            return Line(where, parts[0].decode(), parts[1].rstrip().decode() if len(parts) == 2 else "")
        except UnicodeDecodeError:
            raise UserError(f"{where}: not UTF-8; run utils/validate_data_dir.sh {self.directory}") from None

    def __iter__(self) -> Iterator[Row]:
        return (self[number] for number in range(len(self)))

    def find(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Numbers of the rows with these ids (strings, or an array of bytes), -1 where there is none."""
        wanted = ids if isinstance(ids, np.ndarray) else np.array([utt_id.encode() for utt_id in ids], "S")
        if not len(wanted):
            return np.zeros(0, np.int64)
        rows = np.minimum(np.searchsorted(self.ids, wanted), len(self) - 1)
        return np.where(self.ids[rows] == wanted, rows, -1)

    def groups(self, rows: np.ndarray) -> tuple[np.ndarray, list[tuple[str, str]]]:
        """Task and languages (`Row.languages`) of some rows.

        Returns:
            For each row the number of its pair, and the pairs.
        """
        tasks, task_names = self._column("utt2task", rows, DEFAULT_TASK)
        spoken, spoken_names = self._column("utt2lang", rows, "")
        targets, target_names = self._column("utt2target_lang", rows, None)
        joint = (tasks.astype(np.int64) << 32) | (spoken.astype(np.int64) << 16) | targets
        different, numbers = np.unique(joint, return_inverse=True)
        pairs = []
        for code in different.tolist():
            task, language, target = code >> 32, spoken_names[code >> 16 & 0xFFFF], target_names.get(code & 0xFFFF)
            pairs.append((task_names[task], language if target is None else f"{language}_{target}"))
        names = sorted(set(pairs))  # one name may have had several codes
        place = np.array([names.index(pair) for pair in pairs])
        return place[numbers.reshape(-1)], names

    def tasks(self, rows: np.ndarray | None = None) -> list[str]:
        """The different tasks of some rows, or of all, sorted."""
        codes, names = self._column("utt2task", slice(None) if rows is None else rows, DEFAULT_TASK)
        return sorted({names[code] for code in np.unique(codes).tolist()})

    def with_tasks(self, wanted: Sequence[str]) -> np.ndarray:
        """Numbers of the rows of some tasks; of all where none is named."""
        if not wanted:
            return np.arange(len(self))
        codes, names = self._column("utt2task", slice(None), DEFAULT_TASK)
        return np.flatnonzero(np.isin(codes, [code for code, name in names.items() if name in wanted]))

    def _column(self, name: str, rows: Any, default: Any) -> tuple[np.ndarray, dict[int, Any]]:
        if name not in self._values:
            count = len(self) if isinstance(rows, slice) else len(rows)
            return np.full(count, NO_CODE, np.uint16), {NO_CODE: default}
        names = {NO_CODE: default, **dict(enumerate(self._values[name]))}
        return self._array(f"{name}.code")[rows], names

    def digest(self, tables: Sequence[str]) -> str:
        """A short name for the content of some tables, as far as they are there: 20 hexadecimal digits."""
        found = {name: self._stamp[name] for name in tables if name in self._stamp}
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:20]


class ChosenRows(Sequence[Row]):
    """Some rows of a table, as a sequence that reads them when they are asked for."""

    def __init__(self, table: RowTable, numbers: np.ndarray) -> None:
        """numbers: of the rows."""
        self.table, self.numbers = table, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index):
        """A row, or a part of them."""
        if isinstance(index, slice):
            return ChosenRows(self.table, self.numbers[index])
        return self.table[int(self.numbers[index])]

    def __iter__(self) -> Iterator[Row]:
        return (self.table[number] for number in self.numbers.tolist())

    @property
    def ids(self) -> np.ndarray:
        """(N,) bytes."""
        return self.table.ids[self.numbers]
