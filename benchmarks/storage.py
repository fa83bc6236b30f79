"""What a set of encodings costs: bytes for an hour of speech in several forms of storage, and how fast it is read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import floors
import numpy as np

from slm_espnet.encodings.fingerprint import digest
from slm_espnet.encodings.layout import Encoding, Layout, job_numbers
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.encodings.writer import complete_entries

SECONDS_READ = 0.5  # that a reading rate is measured for, at least


def print_tables(directory: Path, weights: str, repeats: int) -> None:
    """Bytes for an hour of speech, and reading rates, of a complete set that was made with such weights."""
    reader = EncodingReader(directory)
    hours = float(reader.seconds.sum()) / 3600
    print(f"\n{len(reader)} encodings of {hours:.3f} h, {weights}")
    print("|stored|MB per hour without posteriors|with|", "|---" * 3 + "|", sep="\n")
    encodings = [reader[key] for key in reader.keys()]
    for name, whole, dtype in (
        ("all frames, float32", True, "float32"),
        ("all frames, float16", True, "float16"),
        ("reduced, float32", False, "float32"),
        ("reduced, float16", False, "float16"),
    ):
        sizes = [
            sum(stored_bytes(encoding, reader.fingerprint, dtype, whole, posteriors) for encoding in encodings)
            for posteriors in (False, True)
        ]
        print(f"|{name}|" + "|".join(f"{size / hours / 1e6:.1f}" for size in sizes) + "|")
    copy = floors.measure().bytes
    sizes = {}  # by key, in the order of the shards
    for job in job_numbers(directory):
        sizes |= {entry.key: entry.bytes for entry in complete_entries(directory, job, digest(reader.fingerprint))}
    keys = list(sizes)
    at_random = [keys[row] for row in np.random.default_rng(0).permutation(len(keys))]
    print(f"\nreading, from the page cache; a copy in memory reads and writes {copy / 1e9:.1f} GB/s")
    print("|order|encodings per second|MB/s|", "|---" * 3 + "|", sep="\n")
    for name, order in (("of the shards", keys), ("random", at_random)):
        rates = sorted(reading_rate(directory, order, sizes) for _ in range(repeats))
        count, size = rates[len(rates) // 2]
        print(f"|{name}|{count:.0f}|{size / 1e6:.0f}|", flush=True)


def stored_bytes(encoding: Encoding, fingerprint: dict, dtype: str, whole: bool, posteriors: bool) -> int:
    """Bytes of an encoding in a shard, in another form: all frames of the encoder, another type, no posteriors."""
    changed = {**fingerprint, "storage_dtype": dtype}
    if whole:  # of which the values do not matter here
        total = encoding.frames_total
        spans = np.arange(total, dtype=np.int32)
        frames = np.zeros((total, encoding.frames.shape[1]), np.float32)
        encoding = replace(encoding, frames=frames, positions=spans, stops=spans + 1)
    if not posteriors:
        encoding, changed = replace(encoding, posteriors=None), {**changed, "vocabulary": None, "blank_id": None}
    return len(Layout(changed).pack(encoding))


def reading_rate(directory: Path, keys: Iterable[str], sizes: Mapping[str, int]) -> tuple[float, float]:
    """Encodings and bytes per second of reading by key, from a reader that has just been opened."""
    reader, count, size = EncodingReader(directory), 0, 0
    began = time.process_time()
    while (passed := time.process_time() - began) < SECONDS_READ or not count:
        for key in keys:
            reader[key]
            count, size = count + 1, size + sizes[key]
    return count / passed, size / passed
