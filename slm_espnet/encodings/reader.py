"""Reading a set of encodings: by key, memory-mapped, also from many processes and with tens of millions of entries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from slm_espnet.encodings.fingerprint import check_fingerprint, read_fingerprint
from slm_espnet.encodings.layout import (
    DONE,
    INDEX,
    KEYS,
    TABLE,
    TABLE_DTYPE,
    Encoding,
    Layout,
    crc32,
    shard_path,
)
from slm_espnet.encodings.silence import read_silent
from slm_espnet.errors import UserError

__all__ = ["Encoding", "EncodingReader", "encodings_digest"]


class EncodingReader:
    """A complete set of encodings. Opening reads no encoding; shards are mapped when one is first asked for.

    Nothing but file mappings is held, so that forked workers share them; pickling carries the directory only.
    """

    def __init__(self, directory: str | Path, expected_fingerprint: dict[str, Any] | None = None) -> None:
        """Open a set.

        Args:
            directory: as written by stage 2.
            expected_fingerprint: what the encodings must have been made by; None takes any.

        Raises:
            UserError: it is not there, not complete, damaged, or of another fingerprint.
        """
        self.directory = Path(directory)
        self._expected = expected_fingerprint
        self.fingerprint: dict[str, Any] = read_fingerprint(self.directory)
        if expected_fingerprint is not None:
            cure = "encode with the foundation that is expected here (stage 2), or use the model that belongs to them"
            check_fingerprint(expected_fingerprint, self.fingerprint, self.directory, cure)
        self._layout = Layout(self.fingerprint)
        self._check_shards()
        self._keys = self._mapped(KEYS)
        self._table = self._mapped(TABLE)
        if len(self._keys) != len(self._table) or self._table.dtype != TABLE_DTYPE:
            raise UserError(f"{self.directory}: {KEYS} and {TABLE} do not belong together; {self._cure()}")
        self._shards: dict[int, np.ndarray] = {}
        self._text: np.ndarray | None = None

    def __reduce__(self) -> tuple[type, tuple[Path, dict[str, Any] | None]]:
        return type(self), (self.directory, self._expected)

    @cached_property
    def silent(self) -> frozenset[str]:
        """Keys of recordings that hold no speech, as far as that was noted."""
        return read_silent(self.directory)

    @property
    def dim(self) -> int:
        """Width of a frame."""
        return self._layout.dim

    @property
    def kept(self) -> np.ndarray:
        """(N,) frames kept, of all entries in the order of keys()."""
        return self._table["kept"]

    @property
    def frames(self) -> np.ndarray:
        """(N,) frames of the encoder before the reduction, likewise."""
        return self._table["frames"]

    @property
    def seconds(self) -> np.ndarray:
        """(N,) seconds of audio, likewise."""
        return self._table["seconds"]

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find([key])[0] >= 0

    def keys(self) -> Iterator[str]:
        """Keys of all entries, sorted."""
        return (key.decode() for key in self._keys)

    def rows(self, keys: np.ndarray) -> np.ndarray:
        """(len(keys),) places of the keys (bytes) in the order of keys(), -1 where there is none."""
        return self._find(keys)

    def lengths(self, keys: Sequence[str]) -> np.ndarray:
        """(len(keys),) frames kept; KeyError for a key that is not there."""
        return self._table["kept"][self._rows(keys)]

    def seconds_of(self, keys: Sequence[str]) -> np.ndarray:
        """(len(keys),) seconds of audio; KeyError for a key that is not there."""
        return self._table["seconds"][self._rows(keys)]

    def ctc_hypothesis(self, key: str) -> str:
        """Text of the best CTC path; no shard is touched. KeyError for a key that is not there."""
        return self._hypothesis(self._table[self._rows([key])[0]])

    def __getitem__(self, key: str) -> Encoding:
        """The encoding of a key; KeyError for a key that is not there."""
        row = self._table[self._rows([key])[0]]
        return Encoding(
            **self._unpacked(key, row),
            seconds=float(row["seconds"]),
            ctc_hypothesis=self._hypothesis(row),
        )

    def verify(self, keys: Sequence[str] | None = None) -> None:
        """Compare checksums of encodings, of all when no keys are given.

        Raises:
            UserError: bytes have changed since they were written; names the shards.
        """
        rows = range(len(self)) if keys is None else self._rows(keys)
        damaged: dict[str, int] = {}
        for row in (self._table[index] for index in rows):
            if crc32(self._bytes(row).tobytes()) != int(row["crc32"]):
                name = shard_path(self.directory, int(row["shard"])).name
                damaged[name] = damaged.get(name, 0) + 1
        if damaged:
            listed = ", ".join(f"{name} ({count})" for name, count in sorted(damaged.items()))
            raise UserError(f"{self.directory}: damaged encodings in {listed}; {self._cure()}")

    def _bytes(self, row: np.void) -> np.ndarray:
        shard = int(row["shard"])
        if shard not in self._shards:
            self._shards[shard] = _plain(np.memmap(shard_path(self.directory, shard), np.uint8, mode="r"))
        begin = int(row["offset"])
        return self._shards[shard][begin : begin + int(row["bytes"])]

    def _unpacked(self, key: str, row: np.void) -> dict[str, Any]:
        """The encoding's arrays; UserError where index and shard do not say the same of it."""
        data = self._bytes(row)
        counts = np.asarray(data[:8]).view(np.int32).tolist() if len(data) == row["bytes"] >= 16 else []
        if counts != [row["kept"], row["frames"]]:
            shard = shard_path(self.directory, int(row["shard"]))
            raise UserError(
                f"{shard}: damaged at byte {row['offset']}, encoding {key}; python -m slm_espnet.bin.encode --verify "
                "true finds what is damaged, and stage 2 then makes that again"
            )
        return self._layout.unpack(data)

    def _hypothesis(self, row: np.void) -> str:
        if not row["text"]:
            return ""
        if self._text is None:
            self._text = _plain(np.memmap(self.directory / INDEX, np.uint8, mode="r"))
        return self._text[int(row["line"]) : int(row["line"]) + int(row["text"])].tobytes().decode()

    def _find(self, keys: Sequence[str] | np.ndarray) -> np.ndarray:
        """Rows of keys, -1 where there is none."""
        if not len(self._keys) or not len(keys):
            return np.full(len(keys), -1)
        wanted = keys if isinstance(keys, np.ndarray) else np.array([key.encode() for key in keys])
        rows = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[rows] == wanted, rows, -1)

    def _rows(self, keys: Sequence[str]) -> np.ndarray:
        rows = self._find(keys)
        if (rows < 0).any():
            raise KeyError(f"{keys[int(np.argmin(rows))]} has no encoding in {self.directory}")
        return rows

    def _mapped(self, name: str) -> np.ndarray:
        try:
            return _plain(np.load(self.directory / name, mmap_mode="r"))
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{self.directory / name} is missing or damaged ({error}); {self._cure()}") from None

    def _check_shards(self) -> None:
        """Sizes of the files are as they were when the set was complete."""
        try:
            done = json.loads((self.directory / DONE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.directory}: these encodings are not complete; run stage 2 to its end") from None
        except json.JSONDecodeError:
            raise UserError(f"{self.directory / DONE} is damaged; {self._cure()}") from None
        for name, size in done["sizes"].items():
            path = self.directory / name
            found = path.stat().st_size if path.is_file() else None
            if found is None or found < size:
                what = "missing" if found is None else f"truncated: {found} of {size} bytes"
                raise UserError(f"{path} is {what}; {self._cure()}")

    @staticmethod
    def _cure() -> str:
        return "run stage 2 again, which makes what is broken again (damaged bytes: with --overwrite true)"


def encodings_digest(directory: Path) -> str:
    """Name of what a complete set holds, by the checksums of its encodings; "" where there is no such set."""
    found = hashlib.sha256()
    try:
        found.update(np.load(directory / KEYS).tobytes())
        found.update(np.load(directory / TABLE)["crc32"].tobytes())
    except (OSError, ValueError, EOFError):  # reading them for use says what is wrong
        return ""
    return found.hexdigest()[:20]


def _plain(mapped: np.memmap) -> np.ndarray:
    """The same mapping as a plain array, of which slices and elements cost a fraction."""
    return mapped.view(np.ndarray)
