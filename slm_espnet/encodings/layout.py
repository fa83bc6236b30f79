"""How one encoding lies in a shard, and how a set of encodings lies in its directory.

    fingerprint.json     what made the encodings
    shard.<job>.bin      encodings one after another, each beginning at a multiple of ALIGNMENT bytes
    index.<job>.tsv      one line per encoding that is completely in the shard, in the order of the shard
    left_out.<job>.tsv   audio that could not be encoded, with the reason
    done.<job>.json      the job is complete: with what settings and for what audio
    contents.<job>.tsv   what the recordings held that were encoded (contents.py); contents.tsv: of the whole set
    index.tsv            all jobs' lines sorted by key, left_out.tsv likewise
    keys.npy, index.npy  the same for the reader: sorted keys, and a table of numbers; both are memory-mapped
    done.json            the set is complete: sizes of the shards

An index line has the tab-separated fields of COLUMNS; the first line of a file names them and the fingerprint.

An encoding begins with its COUNTS as int32; its arrays follow in the order of `Layout.parts`. Each frame kept has the
span of encoder frames that it stands for. The posteriors of all encoder frames (posteriors.py) are a bit per frame, set
where it has a row, and the rows' tokens.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slm_espnet.encodings.posteriors import FramePosteriors, id_dtype

FORMAT = 2  # version of what is described here
ALIGNMENT = 16  # bytes
COLUMNS = ("key", "shard", "offset", "bytes", "kept", "frames", "seconds", "crc32", "ctc_hypothesis")
COUNTS = ("kept", "frames", "rows", "entries")  # K, T, N, M
INT8, INT32, FLOAT16 = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.float16)
FINGERPRINT, INDEX, KEYS, TABLE, LEFT_OUT, CONTENTS, DONE = (
    "fingerprint.json", "index.tsv", "keys.npy", "index.npy", "left_out.tsv", "contents.tsv", "done.json",
)  # fmt: skip
TABLE_DTYPE = np.dtype(
    [
        ("shard", np.int32),  # number of the shard's job
        ("kept", np.int32),  # frames kept
        ("offset", np.int64),  # in the shard
        ("bytes", np.int64),  # there, filling up to the next one included
        ("line", np.int64),  # where the hypothesis begins in index.tsv
        ("frames", np.int32),  # frames of the encoder
        ("text", np.int32),  # bytes of the hypothesis
        ("seconds", np.float32),  # of audio
        ("crc32", np.uint32),
    ]
)


@dataclass(frozen=True)
class Encoding:
    """One recording's encoding."""

    frames: np.ndarray  # (K, D) float16 or float32: the frames kept
    positions: np.ndarray  # (K,) int32: the encoder's frame at which each begins
    stops: np.ndarray  # (K,) int32: one past the last encoder frame that each stands for
    frames_total: int  # T of the encoder, before the reduction
    seconds: float  # of audio
    ctc_hypothesis: str  # best CTC path; "" without CTC
    posteriors: FramePosteriors | None  # of all T encoder frames; None without CTC

    def kept_span(self, start: int, stop: int) -> tuple[int, int]:
        """The frames kept (first, one past the last) of which the middle lies in encoder frames start to stop.

        Spans that do not overlap stay so; where nothing was kept, both numbers are the place where it would be.
        """
        middles = self.positions + self.stops - 1  # doubled
        first, last = np.searchsorted(middles, (2 * start, 2 * stop))
        return int(first), int(last)


class Entry(NamedTuple):
    """One line of an index."""

    key: str
    shard: int
    offset: int
    bytes: int
    kept: int
    frames: int
    seconds: float
    crc32: int
    ctc_hypothesis: str

    def line(self) -> str:
        """The entry as a line of an index file."""
        return (
            f"{self.key}\t{self.shard}\t{self.offset}\t{self.bytes}\t{self.kept}\t{self.frames}\t"
            f"{self.seconds:.4f}\t{self.crc32:08x}\t{self.ctc_hypothesis}\n"
        )

    @classmethod
    def parse(cls, line: str) -> Entry:
        """The entry of a line; ValueError for a line that is no entry."""
        fields = line.rstrip("\n").split("\t")
        if len(fields) != len(COLUMNS):
            raise ValueError(f"expected {len(COLUMNS)} fields, found {len(fields)}")
        key, *numbers, seconds, crc, text = fields
        return cls(key, *map(int, numbers), float(seconds), int(crc, 16), text)


class Layout:
    """Where the arrays of an encoding lie among its bytes; follows from the fingerprint."""

    def __init__(self, fingerprint: dict[str, Any]) -> None:
        self.dim = int(fingerprint["dim"])
        self.frame_dtype = np.dtype(fingerprint["storage_dtype"])
        self.blank_id: int | None = fingerprint["blank_id"]
        self.vocabulary_size = None if fingerprint["vocabulary"] is None else len(fingerprint["vocabulary"])
        self.id_dtype = id_dtype(self.vocabulary_size or 0)

    def parts(self, kept: int, frames: int, rows: int, entries: int) -> list[tuple[str, np.dtype, int]]:
        """Name, type and number of values of each array of an encoding with such COUNTS."""
        parts = [
            ("positions", INT32, kept),
            ("stops", INT32, kept),
            ("frames", self.frame_dtype, kept * self.dim),
        ]
        if self.vocabulary_size is not None:
            parts += [
                ("ids", self.id_dtype, entries),
                ("log_probs", FLOAT16, entries),
                ("counts", INT8, rows),
                ("has_row", INT8, -(-frames // 8)),  # bits
            ]
        return parts

    def pack(self, encoding: Encoding) -> bytes:
        """The bytes of an encoding, filling up to the next one included."""
        found = encoding.posteriors
        sizes = (0, 0) if found is None else (len(found.rows), len(found.ids))
        counts = (len(encoding.positions), encoding.frames_total, *sizes)
        arrays = {"positions": encoding.positions, "stops": encoding.stops, "frames": encoding.frames}
        if found is not None:
            has_row = np.zeros(found.frames, dtype=bool)
            has_row[found.rows] = True
            arrays |= {"ids": found.ids, "log_probs": found.log_probs, "counts": found.counts}
            arrays["has_row"] = np.packbits(has_row)
        values = (np.ascontiguousarray(arrays[name], dtype=dtype) for name, dtype, _ in self.parts(*counts))
        data = np.array(counts, dtype=INT32).tobytes() + b"".join(array.tobytes() for array in values)
        return data.ljust(-(-len(data) // ALIGNMENT) * ALIGNMENT, b"\0")

    def unpack(self, data: np.ndarray) -> dict[str, Any]:
        """What the bytes (uint8) hold, by the names of Encoding; copies, so that nothing keeps the shard alive."""
        data = np.asarray(data)  # slices of a memory map are slow
        begin = len(COUNTS) * INT32.itemsize
        counts = data[:begin].copy().view(INT32).tolist()
        arrays: dict[str, np.ndarray] = {}
        for name, dtype, values in self.parts(*counts):
            stop = begin + dtype.itemsize * values
            arrays[name] = data[begin:stop].copy().view(dtype)
            begin = stop
        total = counts[1]
        posteriors = None
        if self.vocabulary_size is not None:
            has_row = np.unpackbits(arrays.pop("has_row"), count=total)
            posteriors = FramePosteriors(
                frames=total,
                vocabulary_size=self.vocabulary_size,
                blank_id=int(self.blank_id),
                rows=np.flatnonzero(has_row).astype(np.int32),
                **{name: arrays.pop(name) for name in ("counts", "ids", "log_probs")},
            )
        arrays["frames"] = arrays["frames"].reshape(-1, self.dim)
        return {**arrays, "frames_total": total, "posteriors": posteriors}


def header(digest: str) -> str:
    """First line of an index file."""
    return f"#fingerprint {digest}\t" + "\t".join(COLUMNS) + "\n"


def crc32(data: bytes) -> int:
    """Checksum of an encoding's bytes."""
    return zlib.crc32(data)


def shard_path(directory: Path, job: int) -> Path:
    """A job's shard."""
    return directory / f"shard.{job}.bin"


def index_path(directory: Path, job: int) -> Path:
    """A job's index."""
    return directory / f"index.{job}.tsv"


def contents_path(directory: Path, job: int) -> Path:
    """What a job's recordings held."""
    return directory / f"contents.{job}.tsv"


def job_left_out_path(directory: Path, job: int) -> Path:
    """A job's list of audio that could not be encoded."""
    return directory / f"left_out.{job}.tsv"


def job_done_path(directory: Path, job: int) -> Path:
    """A job's done marker."""
    return directory / f"done.{job}.json"


def job_lock_path(directory: Path, job: int | str) -> Path:
    """The lock of whoever writes a job's part, or (`merge`) puts the parts together."""
    return directory / f".lock.{job}"


def job_numbers(directory: Path) -> list[int]:
    """Jobs that have left an index in the directory, whatever their number then was."""
    found = (path.name.split(".")[1] for path in directory.glob("index.*.tsv"))
    return sorted(int(number) for number in found if number.isdigit())
