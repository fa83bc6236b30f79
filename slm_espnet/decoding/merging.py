"""The end of a decoding run: what its jobs wrote becomes one sorted result, of which every utterance is accounted for.

Only the ids and the places of their lines are in memory, so that an array may decode tens of millions of utterances.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slm_espnet.decoding.results import COUNTS, check_settings, is_done, read_left_out, text_line
from slm_espnet.errors import UserError
from slm_espnet.files import AtomicFile, make_directory, wait_for_late, write_atomically
from slm_espnet.locks import Lock

PLACE = np.dtype([("job", np.int32), ("begin", np.int64), ("size", np.int32)])


def merge(
    directory: Path,
    num_jobs: int,
    expected: Sequence[str] | np.ndarray,
    settings: Mapping[str, Any],
    max_failed: float = 1.0,
) -> dict[str, Any]:
    """Join the jobs' results, sorted by utterance id, and remove the jobs' files.

    Args:
        directory: of the decoding run.
        num_jobs: how many jobs it was cut into.
        expected: ids that went in (strings, or an array of bytes); every one must have come out or been left out.
        settings: as given to the jobs.
        max_failed: where a larger share was left out, the jobs' files stay, and jobs that are run again try the rest.

    Returns:
        What summary.json says: utterances, decoded, left_out (by reason), truncated, looped, silent, tokens, and the
        totals of COUNTS.

    Raises:
        UserError: a job is not done, its file is damaged, utterances are missing, or another process is merging.
    """
    make_directory(directory)
    with Lock(directory / ".lock.merge", "the result of this decoding"):
        return _merge(directory, range(1, num_jobs + 1), expected, settings, max_failed)


def _merge(
    directory: Path, jobs: range, expected: Sequence[str] | np.ndarray, settings: Mapping[str, Any], max_failed: float
) -> dict[str, Any]:
    def missing() -> list[str]:
        return [f"done.{job}" for job in jobs if not (directory / f"done.{job}").is_file()]

    if still_missing := wait_for_late(missing, directory):
        listed = ", ".join(name.removeprefix("done.") for name in still_missing)
        raise UserError(f"{directory}: job(s) {listed} of {len(jobs)} are not done; run them again")
    left_out: dict[str, str] = {}
    for job in jobs:
        check_settings(directory / f"settings.{job}.json", {**settings, "num_jobs": len(jobs)})
        left_out |= read_left_out(directory / f"left_out.{job}.tsv")
    parts = [_part(directory, job) for job in jobs]
    ids = np.concatenate([part.ids for part in parts])
    places = np.concatenate([part.places for part in parts])
    ids, first = np.unique(ids, return_index=True)  # sorted
    _check_all(directory, expected, ids, left_out)
    totals = sum((part.totals for part in parts), Counter())
    summary = {
        "utterances": len(expected),
        "decoded": len(ids),
        "left_out": dict(sorted(Counter(left_out.values()).items())),
        **{name: totals[name] for name in ("truncated", "looped", "silent", "tokens", *COUNTS)},
    }
    _write(directory, places[first], left_out, summary)
    if len(expected) - len(ids) > max_failed * len(expected):
        for job in jobs:
            (directory / f"done.{job}").unlink()
        return summary
    write_atomically(directory / "settings.json", json.dumps(dict(settings), indent=1))
    for job in jobs:
        for name in (f"settings.{job}.json", f"hypotheses.{job}.jsonl", f"left_out.{job}.tsv", f"done.{job}"):
            (directory / name).unlink()
    return summary


@dataclass(frozen=True)
class _Part:
    """What is known of a job's hypotheses."""

    ids: np.ndarray  # (N,) bytes, in the order of the file
    places: np.ndarray  # (N,) PLACE
    totals: Counter[str]  # truncated, looped, silent, tokens and COUNTS


def _part(directory: Path, job: int) -> _Part:
    """A job's hypotheses; where they are not what it wrote, the job is marked as not done."""
    path = directory / f"hypotheses.{job}.jsonl"
    ids, sizes, totals = [], [], Counter()
    try:
        with open(path, "rb") as file:
            for line in file:
                values = json.loads(line)
                ids.append(values["utt_id"].encode())
                sizes.append(len(line))
                totals.update({name: int(values.get(name, 0)) for name in ("truncated", "looped", "silent", *COUNTS)})
                totals["tokens"] += len(values["token_ids"])
        whole = is_done(directory, job, len(ids))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        whole = False
    if not whole:
        (directory / f"done.{job}").unlink(missing_ok=True)
        raise UserError(f"{path} is truncated or damaged; run job {job} again, it decodes only what is missing")
    places = np.zeros(len(ids), PLACE)
    places["job"], places["size"] = job, sizes
    places["begin"] = np.cumsum(places["size"], dtype=np.int64) - places["size"]
    return _Part(np.array(ids, "S"), places, totals)


def _check_all(
    directory: Path, expected: Sequence[str] | np.ndarray, ids: np.ndarray, left_out: Mapping[str, str]
) -> None:
    """Every utterance that went in came out or was left out; the ids are sorted."""
    wanted = expected if isinstance(expected, np.ndarray) else np.array([utt_id.encode() for utt_id in expected], "S")
    there = np.zeros(len(wanted), bool)
    if len(ids):
        there = ids[np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)] == wanted
    lost = sorted({utt_id.decode() for utt_id in wanted[~there]} - left_out.keys())
    if lost:
        raise UserError(f"{directory}: {len(lost)} utterance(s) such as {lost[0]} are in no job; use --overwrite true")


def _write(directory: Path, places: np.ndarray, left_out: Mapping[str, str], summary: Mapping[str, Any]) -> None:
    """The files of the whole, all in place at once or not at all."""
    with ExitStack() as files:
        names = ("hypotheses.jsonl", "text", "score", "left_out.tsv", "summary.json")
        hypotheses, text, score, listed, summed = (
            files.enter_context(AtomicFile(directory / name)) for name in names
        )
        for line in _lines(directory, places):
            values = json.loads(line)
            hypotheses.write(line.decode())
            text.write(f"{text_line(values)}\n")
            score.write(f"{values['utt_id']} {values['score']:.6f}\n")
        for utt_id, reason in sorted(left_out.items()):
            listed.write(f"{utt_id}\t{reason}\n")
        summed.write(json.dumps(summary, indent=1) + "\n")


def _lines(directory: Path, places: np.ndarray) -> Iterator[bytes]:
    """Lines of the jobs' files, mapped: of thousands of jobs, more than a process may have open."""
    jobs = np.unique(places["job"]).tolist()
    maps = {job: np.memmap(directory / f"hypotheses.{job}.jsonl", np.uint8, mode="r") for job in jobs}
    for job, begin, size in places.tolist():
        yield maps[job][begin : begin + size].tobytes()
