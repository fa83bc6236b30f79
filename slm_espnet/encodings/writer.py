"""One job's part of a set of encodings, written so that it can be killed at any moment.

An encoding goes to the end of the shard first and gets its index line afterwards: a line stands for complete bytes.
What a killed job left unfinished is cut off when the next one opens the part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from slm_espnet.encodings.contents import content_line, contents_size
from slm_espnet.encodings.fingerprint import digest
from slm_espnet.encodings.layout import Encoding, Entry, Layout, contents_path, crc32, header, index_path, shard_path
from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write

CHECKED_AT_THE_END = 16  # encodings whose checksums are looked at when a part is opened again


class EncodingWriter:
    """Appends encodings to `shard.<job>.bin` and `index.<job>.tsv`; a context manager.

    Whoever opens one holds the job's lock (`layout.job_lock_path`).
    """

    def __init__(self, directory: Path, job: int, fingerprint: dict[str, Any], overwrite: bool = False) -> None:
        """Open a part, or go on with it.

        Args:
            directory: must exist.
            job: number of the job, from 1.
            fingerprint: of the encodings to come.
            overwrite: begin anew, whatever is there.

        Raises:
            UserError: what is there has another fingerprint, or nothing can be written there.
        """
        self.directory, self.job = directory, job
        self.layout = Layout(fingerprint)
        self._digest = digest(fingerprint)
        kept = [] if overwrite else complete_entries(directory, job, self._digest)
        if kept is None:
            raise UserError(
                f"{index_path(directory, job)} is of encodings of another configuration; give another directory, "
                "or start afresh with --overwrite true"
            )
        kept = self._without_damaged_end(kept)
        self.entries = kept  # complete encodings that were there
        self.keys = {entry.key for entry in kept}  # of all complete encodings
        self._shard_size = kept[-1].offset + kept[-1].bytes if kept else 0
        lines = [header(self._digest), *(entry.line() for entry in kept)]
        self._index_size = sum(len(line.encode()) for line in lines) if kept else 0
        self._index = _opened(index_path(directory, job), self._index_size)
        self._shard = _opened(shard_path(directory, job), self._shard_size)
        self._contents_size = contents_size(directory, job, self._shard_size)
        self._contents = _opened(contents_path(directory, job), self._contents_size)
        if not kept:
            self._append(b"", lines[0].encode())

    def __enter__(self) -> EncodingWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Put everything on disk."""
        for file in (self._contents, self._shard, self._index):
            try:
                os.fsync(file.fileno())
            except OSError as error:  # what the system took before, the disk may still refuse
                raise cannot_write(Path(file.name), error, "run stage 2 again") from error
            finally:
                file.close()

    def write(self, encodings: dict[str, Encoding], contents: Mapping[str, str] | None = None) -> None:
        """Append encodings by key.

        Args:
            encodings: in the order of the shard.
            contents: of their recordings, by key, where they are known.

        Raises:
            UserError: the disk is full or not writable; what was written before stays usable.
        """
        data, lines, made_of, offset = [], [], [], self._shard_size
        for key, encoding in encodings.items():
            packed = self.layout.pack(encoding)
            text = " ".join(encoding.ctc_hypothesis.split())
            sizes = (len(encoding.positions), encoding.frames_total, encoding.seconds)
            lines.append(Entry(key, self.job, offset, len(packed), *sizes, crc32(packed), text).line())
            if content := (contents or {}).get(key):
                made_of.append(content_line(key, offset, content))
            data.append(packed)
            offset += len(packed)
        self._append(b"".join(data), "".join(lines).encode(), "".join(made_of).encode())
        self.keys.update(encodings)

    def _append(self, data: bytes, lines: bytes, made_of: bytes = b"") -> None:
        file = self._contents if made_of else self._shard
        try:
            if made_of:
                _write_all(file, made_of)
            file = self._shard
            _write_all(file, data)
            file = self._index
            _write_all(file, lines)
        except OSError as error:
            failed = Path(file.name)
            sizes = (self._contents_size, self._shard_size, self._index_size)
            for file, size in zip((self._contents, self._shard, self._index), sizes, strict=True):
                file.truncate(size)
                file.seek(size)
            then = f"run stage 2 again, it goes on from {len(self.keys)} encodings of this job"
            raise cannot_write(failed, error, then) from error
        self._shard_size += len(data)
        self._index_size += len(lines)
        self._contents_size += len(made_of)

    def _without_damaged_end(self, entries: list[Entry]) -> list[Entry]:
        """Entries up to the first of the last few whose bytes are not what they were (after a power cut)."""
        shard = shard_path(self.directory, self.job)
        for position in range(max(0, len(entries) - CHECKED_AT_THE_END), len(entries)):
            if not is_intact(shard, entries[position]):
                return entries[:position]
        return entries


def complete_entries(directory: Path, job: int, wanted: str) -> list[Entry] | None:
    """A job's encodings whose index lines and bytes are complete, in the order of the shard.

    Args:
        directory: of the encodings.
        job: its number.
        wanted: digest of the fingerprint.

    Returns:
        None when the encodings have another fingerprint.
    """
    try:
        data = index_path(directory, job).read_bytes()
        size = shard_path(directory, job).stat().st_size
    except FileNotFoundError:
        return []
    lines = data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines(keepends=True)
    if not lines:
        return []
    if lines[0] != header(wanted):
        return None
    entries: list[Entry] = []
    end = 0
    for line in lines[1:]:
        try:
            entry = Entry.parse(line)
        except ValueError:
            break
        if entry.offset != end or end + entry.bytes > size:
            break
        entries.append(entry)
        end += entry.bytes
    return entries


def is_intact(shard: Path, entry: Entry) -> bool:
    """Whether the bytes of an encoding have the checksum of its index line."""
    with open(shard, "rb") as file:
        file.seek(entry.offset)
        return crc32(file.read(entry.bytes)) == entry.crc32


def as_stored(encoding: Encoding, layout: Layout) -> Encoding:
    """The encoding with its frames in the form of storage.

    Raises:
        OverflowError: a value is not finite in that form.
    """
    with np.errstate(over="ignore"):
        frames = encoding.frames.astype(layout.frame_dtype, copy=False)
    if not np.isfinite(frames).all():
        raise OverflowError(f"frames are not finite as {layout.frame_dtype}")
    return replace(encoding, frames=frames)


def _opened(path: Path, size: int) -> BinaryIO:
    """A file for appending at `size`; what is beyond is cut off."""
    try:
        file = open(path, "r+b" if path.exists() else "x+b", buffering=0)
        file.truncate(size)
    except OSError as error:
        raise cannot_write(path, error, "run stage 2 again") from error
    file.seek(size)
    return file


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
