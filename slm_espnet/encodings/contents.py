"""What the recordings of a set held when they were encoded, so that audio replaced under its old name is encoded anew.

    contents.<job>.tsv   `<key> <offset> <content>` for each encoding of a part; written before its index line
    contents.tsv         `<key> <content>` for every recording of the complete set

A content is a name of 20 hexadecimal digits, of what the file holds (`files.content_key`) and of the span in it. A file
that is moved has another key, but the same content, and gets the encoding that is there. Of a command in wav.scp there
is only the text, which its key is made of. Recordings that are gone and encodings made before contents were kept go by
their keys as well. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from slm_espnet.data.audio import ARK
from slm_espnet.encodings.layout import CONTENTS, Entry, contents_path
from slm_espnet.encodings.plan import Recording
from slm_espnet.files import AtomicFile, content_key

READERS = 8  # threads: most of the time is spent waiting for the disk, or for a file server
FILES_AT_ONCE = 500  # of one thread
ARK_BLOCK = 1 << 16  # bytes of an archive that are read where a recording begins
NAME_SIZE = 20  # hexadecimal digits, as a key's
REPLACED = b"-"  # content of an encoding in whose place there is a newer one


def with_contents(recordings: Sequence[Recording], directory: Path) -> list[Recording]:
    """The recordings with their contents: those of the files, or as they were where a file cannot be read now.

    Args:
        recordings: of a set, or a part of them.
        directory: of the set's encodings, which may not exist yet.
    """
    recorded = read_contents(directory)
    paths = list(dict.fromkeys(r.source.path for r in recordings if not r.source.path.endswith("|")))
    with ThreadPoolExecutor(READERS) as pool:
        parts = (paths[begin : begin + FILES_AT_ONCE] for begin in range(0, len(paths), FILES_AT_ONCE))
        found = [content for part in pool.map(_file_contents, parts) for content in part]
    by_path = dict(zip(paths, found, strict=True))
    return [r._replace(content=_name(r, by_path.get(r.source.path, "")) or recorded.get(r.key, "")) for r in recordings]


def changed(recordings: Iterable[Recording], directory: Path) -> list[Recording]:
    """Those that hold something else than when the complete set was made; none of which that was not kept."""
    recorded = read_contents(directory)
    return [
        recording for recording in recordings if recording.content != recorded.get(recording.key, recording.content)
    ]


def contents_digest(recordings: Iterable[Recording]) -> str:
    """Name of recordings and their contents, in any order."""
    lines = sorted(f"{recording.key} {recording.content}\n" for recording in recordings)
    return hashlib.sha1("".join(lines).encode()).hexdigest()


def read_contents(directory: Path) -> dict[str, str]:
    """Content by key of a complete set; empty where none were kept."""
    try:
        lines = (directory / CONTENTS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def write_contents(recordings: Iterable[Recording], directory: Path) -> None:
    """Keep the contents of a complete set; of recordings that it had before, too, whose encodings are still there."""
    contents = read_contents(directory) | {recording.key: recording.content for recording in recordings}
    with AtomicFile(directory / CONTENTS) as file:
        for key in sorted(contents):
            file.write(f"{key}\t{contents[key]}\n")


def content_line(key: str, offset: int, content: str) -> str:
    """A line of contents.<job>.tsv."""
    return f"{key}\t{offset}\t{content}\n"


def contents_size(directory: Path, job: int, shard_size: int) -> int:
    """Bytes of a part's contents up to the last line of an encoding that begins before `shard_size`."""
    try:
        data = contents_path(directory, job).read_bytes()
    except FileNotFoundError:
        return 0
    end = 0
    for line in data.splitlines(keepends=True):
        fields = line.split(b"\t")
        if len(fields) != 3 or not line.endswith(b"\n") or not fields[1].isdigit() or int(fields[1]) >= shard_size:
            break
        end += len(line)
    return end


def contents_of(directory: Path, job: int, entries: Sequence[Entry]) -> list[str]:
    """Content of each encoding of a part; "" where none was kept."""
    try:
        lines = contents_path(directory, job).read_bytes().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return [""] * len(entries)
    fields = (line.split("\t") for line in lines)
    contents = {(field[0], field[1]): field[2] for field in fields if len(field) == 3}
    return [contents.get((entry.key, str(entry.offset)), "") for entry in entries]


def find(recordings: Sequence[Recording], directory: Path, keys: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """(len(recordings),) which of the encodings is a recording's, -1 where none is.

    Args:
        recordings: with their contents.
        directory: of the set.
        keys: (N,) bytes: keys of the encodings in all parts.
        contents: (N,) bytes: their contents, b"" where none was kept.
    """
    contents = np.array(contents, dtype=f"S{NAME_SIZE}")  # a copy
    unnamed = contents == b""
    replaced = unnamed & np.isin(keys, keys[~unnamed])
    contents[replaced] = REPLACED
    recorded = read_contents(directory)
    for row in np.flatnonzero(unnamed & ~replaced) if recorded else ():
        contents[row] = recorded.get(keys[row].decode(), "").encode()
    wanted = np.array([recording.key.encode() for recording in recordings], dtype="S")
    wanted_contents = np.array([recording.content.encode() for recording in recordings], dtype=f"S{NAME_SIZE}")
    named = wanted_contents != b""
    rows = np.where(named, _lookup(wanted_contents, contents, contents != REPLACED), -1)
    rows = np.where(named & (rows < 0), _lookup(wanted, keys, contents == b""), rows)
    return np.where(named, rows, _lookup(wanted, keys, contents != REPLACED))


def _lookup(wanted: np.ndarray, names: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(len(wanted),) place of each in `names`, the first of the usable ones; -1 where there is none."""
    places = np.flatnonzero(usable)
    if not len(places) or not len(wanted):
        return np.full(len(wanted), -1)
    names, first = np.unique(names[places], return_index=True)
    rows = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    return np.where(names[rows] == wanted, places[first[rows]], -1)


def _name(recording: Recording, found: str) -> str:
    if not found:
        return ""
    return hashlib.sha1(f"{found}|{recording.source.start}|{recording.source.stop}".encode()).hexdigest()[:NAME_SIZE]


def _file_contents(paths: Sequence[str]) -> list[str]:
    return [_file_content(path) for path in paths]


def _file_content(path: str) -> str:
    ark = ARK.fullmatch(path)
    try:
        return _block_key(ark["path"], int(ark["offset"])) if ark else content_key(path)
    except OSError:  # encoding it will say so, where that is needed
        return ""


def _block_key(path: str, offset: int) -> str:
    """What an archive holds from a place on, of which the recording's header tells the length."""
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        return hashlib.sha256(file.read(ARK_BLOCK)).hexdigest()
