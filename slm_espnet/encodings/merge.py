"""The last step of stage 2: the jobs' parts become one set, of which every recording is accounted for."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slm_espnet.encodings.contents import contents_of, find, write_contents
from slm_espnet.encodings.fingerprint import digest, read_fingerprint
from slm_espnet.encodings.layout import (
    DONE,
    INDEX,
    KEYS,
    LEFT_OUT,
    TABLE,
    TABLE_DTYPE,
    crc32,
    header,
    index_path,
    job_done_path,
    job_left_out_path,
    job_numbers,
    shard_path,
)
from slm_espnet.encodings.plan import Recording, audio_digest, job_is_done, read_json
from slm_espnet.encodings.silence import gather_silent
from slm_espnet.encodings.writer import complete_entries
from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write, discard, temporary_beside, wait_for_late, write_atomically


@dataclass(frozen=True)
class Summary:
    """What a set holds."""

    recordings: int  # asked for
    encoded: int
    seconds: float  # of audio, encoded
    frames: int  # of the encoder
    kept: int  # after the reduction
    left_out: dict[str, int]  # by reason

    @property
    def failed_share(self) -> float:
        """Share of the recordings that was left out."""
        return 1 - self.encoded / self.recordings

    def __str__(self) -> str:
        share = self.kept / max(self.frames, 1)
        text = (
            f"{self.encoded} of {self.recordings} recordings, {self.seconds / 3600:.2f} h; kept {self.kept} of "
            f"{self.frames} frames ({share:.1%}), {self.kept / max(self.seconds, 1e-9):.1f} per second"
        )
        reasons = "".join(f"; left out: {count} {reason}" for reason, count in sorted(self.left_out.items()))
        return text + reasons


def merge(
    recordings: Sequence[Recording], directory: Path, num_jobs: int, request: dict[str, Any], max_failed: float = 1.0
) -> Summary:
    """Write the set's index and list of audio left out, and mark it done.

    Args:
        recordings: of the whole set, from `read_recordings`, with their contents where these count (`with_contents`).
        directory: with the parts of all jobs.
        num_jobs: how many jobs there were.
        request: what they were asked for.
        max_failed: where a larger share was left out, the jobs that left something out are to run again.

    Raises:
        UserError: a job is not finished, or nothing could be encoded.
    """
    audio = audio_digest(recordings)

    def missing() -> list[str]:
        jobs = [job for job in range(1, num_jobs + 1) if not job_is_done(directory, job, num_jobs, request, audio)]
        return [job_done_path(directory, job).name for job in jobs]

    if still_missing := wait_for_late(missing, directory):
        listed = ", ".join(name.split(".")[1] for name in still_missing[:10])
        raise UserError(f"{directory}: job(s) {listed} of {num_jobs} are not finished; run stage 2 again")
    fingerprint = read_fingerprint(directory)
    _check_indices(directory)
    keys, table = _gather(directory, fingerprint, recordings)
    left_out = _left_out(directory, num_jobs, keys)
    unaccounted = len(recordings) - len(keys) - len(left_out)
    if unaccounted:
        _reopen(directory, range(1, num_jobs + 1))
        raise UserError(f"{directory}: {unaccounted} recordings have no encoding, parts are damaged; run stage 2 again")
    write_atomically(directory / LEFT_OUT, "".join(left_out))
    summary = Summary(
        recordings=len(recordings),
        encoded=len(keys),
        seconds=float(table["seconds"].sum(dtype=np.float64)),
        frames=int(table["frames"].sum()),
        kept=int(table["kept"].sum()),
        left_out=dict(Counter(line.split("\t")[1] for line in left_out)),
    )
    if not len(keys):
        _reopen(directory, range(1, num_jobs + 1))
        raise UserError(f"{directory}: no recording could be encoded, see {LEFT_OUT} there: {summary}")
    _write_index(directory, digest(fingerprint), keys, table)
    shards = sorted({int(job) for job in np.unique(table["shard"])})
    sizes = {shard_path(directory, job).name: shard_path(directory, job).stat().st_size for job in shards}
    sizes |= {name: (directory / name).stat().st_size for name in (INDEX, KEYS, TABLE)}
    done = {"request": request, "audio": audio, "recordings": len(recordings), "encoded": len(keys), "sizes": sizes}
    if summary.failed_share > max_failed:
        # what is good can be used; the same call tries the rest again
        _reopen(directory, [job for job in range(1, num_jobs + 1) if job_left_out_path(directory, job).stat().st_size])
        done["audio"] = ""
    write_contents(recordings, directory)
    gather_silent(recordings, directory)
    write_atomically(directory / DONE, json.dumps(done, indent=1) + "\n")
    return summary


def _gather(
    directory: Path, fingerprint: dict[str, Any], recordings: Sequence[Recording]
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted keys and table of the wanted encodings; `line` and `text` say where and how long their index lines are."""
    all_keys, contents, tables = [], [], []
    for job in job_numbers(directory):
        entries = complete_entries(directory, job, digest(fingerprint))
        if not entries:
            continue
        lengths = np.array([len(entry.line().encode()) for entry in entries])
        table = np.zeros(len(entries), TABLE_DTYPE)
        table["line"] = len(header(digest(fingerprint)).encode()) + np.cumsum(lengths) - lengths
        table["text"], table["shard"] = lengths, job
        for name in ("kept", "offset", "bytes", "frames", "seconds", "crc32"):
            table[name] = [getattr(entry, name) for entry in entries]
        all_keys.append(np.array([entry.key.encode() for entry in entries]))
        contents += [content.encode() for content in contents_of(directory, job, entries)]
        tables.append(table)
    if not tables:
        return np.zeros(0, "S1"), np.zeros(0, TABLE_DTYPE)
    rows = find(recordings, directory, np.concatenate(all_keys), np.array(contents))
    wanted = np.array([recording.key.encode() for recording in recordings])
    return wanted[rows >= 0], np.concatenate(tables)[rows[rows >= 0]]


def _left_out(directory: Path, num_jobs: int, keys: np.ndarray) -> list[str]:
    """Lines of all jobs' lists, sorted by key, without what another job has encoded after all."""
    lines: dict[str, str] = {}
    for job in range(1, num_jobs + 1):
        for line in job_left_out_path(directory, job).read_text(encoding="utf-8").splitlines(keepends=True):
            lines[line.split("\t")[0]] = line
    there = np.isin(np.array([key.encode() for key in lines]), keys) if lines else ()
    return [lines[key] for key in sorted(key for key, found in zip(lines, there, strict=True) if not found)]


def _write_index(directory: Path, name: str, keys: np.ndarray, table: np.ndarray) -> None:
    """index.tsv, keys.npy and index.npy; afterwards `line` and `text` say where the hypotheses are in index.tsv."""
    maps = {
        int(job): np.memmap(index_path(directory, int(job)), np.uint8, mode="r") for job in np.unique(table["shard"])
    }
    temporaries = {target: temporary_beside(directory / target) for target in (INDEX, KEYS, TABLE)}
    try:
        with open(temporaries[INDEX], "wb") as file:
            position = file.write(header(name).encode())
            sources = zip(table["shard"].tolist(), table["line"].tolist(), table["text"].tolist(), strict=True)
            for row, (shard, begin, length) in enumerate(sources):
                line = maps[shard][begin : begin + length].tobytes()
                line = keys[row] + line[line.index(b"\t") :]  # of a file that was moved, it has the former key
                text = line.rfind(b"\t") + 1
                table["line"][row], table["text"][row] = position + text, len(line) - text - 1
                position += file.write(line)
        for target, array in ((KEYS, keys), (TABLE, table)):
            with open(temporaries[target], "wb") as file:
                np.save(file, array)
        (directory / DONE).unlink(missing_ok=True)
        for target, temporary in temporaries.items():
            os.replace(temporary, directory / target)
    except OSError as error:
        raise cannot_write(Path(error.filename or directory / INDEX), error, "run stage 2 again") from error
    finally:
        for temporary in temporaries.values():
            discard(temporary)


def _check_indices(directory: Path) -> None:
    """Parts whose index is not as its job wrote it are begun anew: nothing else says what their bytes mean.

    Raises:
        UserError: there was one; names the files.
    """
    damaged = []
    for job in job_numbers(directory):
        expected = (read_json(job_done_path(directory, job)) or {}).get("index")
        if expected is not None and f"{crc32(index_path(directory, job).read_bytes()):08x}" != expected["crc32"]:
            damaged.append(job)
            index_path(directory, job).unlink()
    if damaged:
        _reopen(directory, damaged)
        names = ", ".join(index_path(directory, job).name for job in damaged)
        raise UserError(f"{directory}: {names} damaged; run stage 2 again, which makes only the broken part(s) anew")


def _reopen(directory: Path, jobs: Sequence[int]) -> None:
    """Let jobs run again."""
    for job in jobs:
        job_done_path(directory, job).unlink(missing_ok=True)
