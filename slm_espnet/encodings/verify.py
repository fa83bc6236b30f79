"""Checksums of a set of encodings: what is damaged is named, and made again by the next run of stage 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slm_espnet.encodings.fingerprint import digest, read_fingerprint
from slm_espnet.encodings.layout import (
    DONE,
    INDEX,
    Entry,
    header,
    index_path,
    job_done_path,
    job_lock_path,
    job_numbers,
    shard_path,
)
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.encodings.writer import complete_entries, is_intact
from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write
from slm_espnet.locks import Lock


def verify(directory: Path) -> int:
    """Read all shards of a complete set, and compare them with their indices.

    Returns:
        The number of encodings.

    Raises:
        UserError: something is damaged, or the set is not complete. A part is cut off before its first damaged encoding
            and marked as not done, so that stage 2 goes on from there and leaves the other parts alone.
    """
    reader = EncodingReader(directory)
    wanted = digest(read_fingerprint(directory))
    found = []
    for job in job_numbers(directory):
        with Lock(job_lock_path(directory, job), f"part {job} of these encodings"):
            entries = complete_entries(directory, job, wanted) or []
            bad = next((i for i, entry in enumerate(entries) if not is_intact(shard_path(directory, job), entry)), None)
            if bad is not None:
                _cut(directory, job, wanted, entries[:bad])
                found.append(f"{shard_path(directory, job).name} from encoding {bad + 1} of {len(entries)} on")
    if not found:
        found = _of_the_whole(directory, reader)
    if found:
        raise UserError(f"{directory}: damaged: {'; '.join(found)}; run stage 2 again, which makes that again")
    return len(reader)


def _cut(directory: Path, job: int, wanted: str, good: Sequence[Entry]) -> None:
    """Shorten a part's index, and let its job run again."""
    path = index_path(directory, job)
    try:
        (directory / DONE).unlink(missing_ok=True)
        job_done_path(directory, job).unlink(missing_ok=True)
        with open(path, "r+b") as file:
            file.truncate(len("".join([header(wanted), *(entry.line() for entry in good)]).encode()))
    except OSError as error:
        raise cannot_write(path, error, "run it again: encodings are damaged") from error


def _of_the_whole(directory: Path, reader: EncodingReader) -> list[str]:
    """Whether the joint index still points to what is in the shards; else it is to be joined again."""
    try:
        reader.verify()
    except UserError:
        (directory / DONE).unlink(missing_ok=True)
        return [f"{INDEX} and what belongs to it"]
    return []
