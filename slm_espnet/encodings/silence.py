"""Which recordings of a set hold no speech (data/silence.py), as their waveforms told when they were encoded.

    silent.<job>.tsv   `<key> <content>` of each such recording of a part; written before its encoding is
    silent.tsv         the keys of those of the complete set

Recognition has nothing to write there; other tasks may be asked about silence. Sets that were encoded before this was
noted have no such file, and all of their recordings are asked about.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slm_espnet.encodings.layout import job_numbers
from slm_espnet.encodings.plan import Recording
from slm_espnet.files import write_atomically

SILENT = "silent.tsv"


def silent_path(directory: Path, job: int) -> Path:
    """Of a part."""
    return directory / f"silent.{job}.tsv"


def note_silent(recordings: Iterable[Recording], directory: Path, job: int) -> None:
    """Add recordings to those of a part that hold no speech."""
    lines = [f"{recording.key}\t{recording.content}" for recording in recordings]
    path = silent_path(directory, job)
    there = path.read_text(encoding="utf-8").splitlines() if lines and path.is_file() else []
    if set(lines) <= set(there):  # of a recording that is encoded once more, it was noted before
        return
    known = [line for line in there if line.count("\t") == 1]
    write_atomically(path, "".join(f"{line}\n" for line in dict.fromkeys([*known, *lines])))


def gather_silent(recordings: Iterable[Recording], directory: Path) -> None:
    """Write the keys of a complete set's recordings that hold no speech; what was replaced since does not count."""
    noted: set[tuple[str, str]] = set()
    for job in job_numbers(directory):
        if silent_path(directory, job).is_file():
            lines = silent_path(directory, job).read_text(encoding="utf-8").splitlines()
            noted.update(tuple(line.split("\t")) for line in lines if line.count("\t") == 1)
    of_content = {content for _, content in noted if content}
    keys = {
        recording.key
        for recording in recordings
        if (recording.key, recording.content) in noted or recording.content in of_content
    }
    if keys or (directory / SILENT).exists():
        write_atomically(directory / SILENT, "".join(f"{key}\n" for key in sorted(keys)))


def read_silent(directory: Path) -> frozenset[str]:
    """The keys of a complete set's recordings that hold no speech."""
    path = directory / SILENT
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else frozenset()
