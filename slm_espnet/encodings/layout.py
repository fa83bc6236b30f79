"""How one encoding lies in a shard, and how a set of encodings lies in its directory.

    fingerprint.json     what made the encodings
    shard.<job>.bin      encodings one after another, each beginning at a multiple of ALIGNMENT bytes
    index.<job>.tsv      one line per encoding that is completely in the shard, in the order of the shard
    left_out.<job>.tsv   audio that could not be encoded, with the reason
    done.<job>.json      the job is complete: with what settings and for what audio
    index.tsv            all jobs' lines sorted by key, left_out.tsv likewise
    keys.npy, index.npy  the same for the reader: sorted keys, and a table of numbers; both are memory-mapped
    done.json            the set is complete: sizes of the shards

An index line has the tab-separated fields of COLUMNS; the first line of a file names them and the fingerprint.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ALIGNMENT = 16  # bytes
MOST_POSTERIORS = 32  # CTC log-probabilities kept per frame
COLUMNS = ("key", "shard", "offset", "kept", "frames", "seconds", "crc32", "ctc_hypothesis")
FINGERPRINT, INDEX, KEYS, TABLE, LEFT_OUT, DONE = (
    "fingerprint.json", "index.tsv", "keys.npy", "index.npy", "left_out.tsv", "done.json",
)  # fmt: skip
TABLE_DTYPE = np.dtype(
    [
        ("shard", np.int32),  # number of the shard's job
        ("kept", np.int32),  # frames kept
        ("offset", np.int64),  # in the shard
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
    frames_total: int  # of the encoder, before the reduction
    seconds: float  # of audio
    ctc_hypothesis: str  # best CTC path; "" without CTC
    posterior_ids: np.ndarray  # (K, k) the most probable CTC tokens at the frames kept, best first; k = 0 without CTC
    posterior_log_probs: np.ndarray  # (K, k) float16, their log-probabilities


class Entry(NamedTuple):
    """One line of an index."""

    key: str
    shard: int
    offset: int
    kept: int
    frames: int
    seconds: float
    crc32: int
    ctc_hypothesis: str

    def line(self) -> str:
        """The entry as a line of an index file."""
        return (
            f"{self.key}\t{self.shard}\t{self.offset}\t{self.kept}\t{self.frames}\t{self.seconds:.4f}\t"
            f"{self.crc32:08x}\t{self.ctc_hypothesis}\n"
        )

    @classmethod
    def parse(cls, line: str) -> Entry:
        """The entry of a line; ValueError for a line that is no entry."""
        fields = line.rstrip("\n").split("\t")
        if len(fields) != len(COLUMNS):
            raise ValueError(f"expected {len(COLUMNS)} fields, found {len(fields)}")
        key, shard, offset, kept, frames, seconds, crc, text = fields
        return cls(key, int(shard), int(offset), int(kept), int(frames), float(seconds), int(crc, 16), text)


class Layout:
    """Where the arrays of an encoding lie among its bytes; follows from the fingerprint."""

    def __init__(self, fingerprint: dict[str, Any]) -> None:
        self.dim = int(fingerprint["dim"])
        self.top_k = int(fingerprint["posterior_top_k"])
        vocabulary = fingerprint["vocabulary"]
        id_dtype = np.dtype(np.int16 if vocabulary is None or len(vocabulary) < 2**15 else np.int32)
        self.frame_dtype = np.dtype(fingerprint["storage_dtype"])
        parts = [
            ("positions", np.dtype(np.int32), 1),
            ("frames", self.frame_dtype, self.dim),
            ("posterior_ids", id_dtype, self.top_k),
            ("posterior_log_probs", np.dtype(np.float16), self.top_k),
        ]
        # widest numbers first, so that every array is aligned
        self.parts = sorted(parts, key=lambda part: -part[1].itemsize)
        self.frame_bytes = sum(dtype.itemsize * width for _, dtype, width in self.parts)

    def size(self, kept: int | np.ndarray) -> int | np.ndarray:
        """Bytes of an encoding of so many frames, filling up to the next one included."""
        return -(-kept * self.frame_bytes // ALIGNMENT) * ALIGNMENT

    def pack(self, encoding: Encoding) -> bytes:
        """The bytes of an encoding."""
        data = b"".join(
            np.ascontiguousarray(getattr(encoding, name), dtype=dtype).tobytes() for name, dtype, _ in self.parts
        )
        return data.ljust(int(self.size(len(encoding.positions))), b"\0")

    def unpack(self, data: np.ndarray, kept: int) -> dict[str, np.ndarray]:
        """Arrays by name from bytes (uint8); copies, so that nothing keeps the shard alive."""
        arrays, begin = {}, 0
        for name, dtype, width in self.parts:
            count = dtype.itemsize * width * kept
            array = np.frombuffer(data[begin : begin + count].tobytes(), dtype).copy()
            arrays[name] = array if name == "positions" else array.reshape(kept, width)
            begin += count
        return arrays


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


def job_left_out_path(directory: Path, job: int) -> Path:
    """A job's list of audio that could not be encoded."""
    return directory / f"left_out.{job}.tsv"


def job_done_path(directory: Path, job: int) -> Path:
    """A job's done marker."""
    return directory / f"done.{job}.json"


def job_numbers(directory: Path) -> list[int]:
    """Jobs that have left an index in the directory, whatever their number then was."""
    found = (path.name.split(".")[1] for path in directory.glob("index.*.tsv"))
    return sorted(int(number) for number in found if number.isdigit())
