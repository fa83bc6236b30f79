"""The output directory of a decoding run: jobs append to it, can be killed and resumed, and are merged at the end.

    settings.<job>.json hypotheses.<job>.jsonl left_out.<job>.tsv done.<job>   of one job
    hypotheses.jsonl text score left_out.tsv summary.json settings.json        of all, sorted by utterance id

Nothing here imports torch.
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slm_espnet.decoding.types import Hypothesis
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically

COUNTS = ("passes", "draft_tokens", "draft_accepted", "from_ctc")  # fields of Hypothesis that say what drafts saved


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to go on with what was made with other settings; nothing happens where nothing was made."""
    try:
        made_with = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged; decode afresh with --overwrite true") from error
    different = sorted(k for k in {*made_with, *settings} if made_with.get(k) != settings.get(k))
    if different:
        key = different[0]
        raise UserError(
            f"{path.parent} holds results of other settings ({key}: {_short(made_with.get(key))} there, "
            f"{_short(settings.get(key))} now); choose another --output_dir, or decode afresh with --overwrite true"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_merged(directory: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the run is complete; UserError when it is, with other settings."""
    if not (directory / "settings.json").is_file():
        return False
    check_settings(directory / "settings.json", settings)
    return True


def remove_results(directory: Path, job: int | None = None) -> None:
    """Remove one job's files and the merged ones; all jobs' for None."""
    which = "*" if job is None else str(job)
    for pattern in (f"settings.{which}.json", f"hypotheses.{which}.jsonl", f"left_out.{which}.tsv", f"done.{which}"):
        for path in directory.glob(pattern):
            path.unlink()
    for name in ("settings.json", "text", "score", "hypotheses.jsonl", "left_out.tsv", "summary.json"):
        (directory / name).unlink(missing_ok=True)


class JobWriter:
    """One job's results. Use as a context manager."""

    def __init__(self, directory: Path, job: int, settings: Mapping[str, Any]):
        """Open a job's files, keeping what an earlier, killed run of it finished.

        Args:
            directory: of the decoding run, made when it does not exist.
            job: number from 1.
            settings: what the results depend on; results of other settings are refused.

        Raises:
            UserError: other settings, or another process is writing this job.
        """
        self.directory, self.job = directory, job
        self.path = directory / f"hypotheses.{job}.jsonl"
        self._settings = dict(settings)
        directory.mkdir(parents=True, exist_ok=True)
        check_settings(directory / f"settings.{job}.json", settings)
        self._file = open(self.path, "a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(f"{self.path}: another process is decoding this job; wait for it or end it") from None
        self.finished = self._resume()  # ids that need no decoding any more
        self.done = (directory / f"done.{job}").is_file()  # nothing is left to do
        write_atomically(directory / f"settings.{job}.json", json.dumps(self._settings, indent=1))

    def _resume(self) -> set[str]:
        """Ids of the complete lines; a line that was cut by a kill is dropped."""
        finished, end = set(), 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                utt_id = json.loads(line)["utt_id"]
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            finished.add(utt_id)
            end += len(line)
        self._file.truncate(end)
        return finished

    def add(self, results: Iterable[tuple[str, Hypothesis]]) -> None:
        """Append a batch of hypotheses; they are on disk when this returns."""
        lines = [json.dumps({"utt_id": utt, **asdict(hyp)}, ensure_ascii=False) + "\n" for utt, hyp in results]
        try:
            data = memoryview("".join(lines).encode())
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written ({error.strerror}); make room and run it again, it goes on from here"
            ) from error

    def finish(self, left_out: Mapping[str, str]) -> None:
        """Say what was left out and why, and mark the job as done."""
        lines = "".join(f"{utt_id}\t{reason}\n" for utt_id, reason in sorted(left_out.items()))
        write_atomically(self.directory / f"left_out.{self.job}.tsv", lines)
        write_atomically(self.directory / f"done.{self.job}", "")

    def __enter__(self) -> JobWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()


def merge(
    directory: Path, num_jobs: int, expected: Collection[str], settings: Mapping[str, Any], max_failed: float = 1.0
) -> dict[str, Any]:
    """Join the jobs' results, sorted by utterance id, and remove the jobs' files.

    Args:
        directory: of the decoding run.
        num_jobs: how many jobs it was cut into.
        expected: ids that went in; every one must have come out or been left out.
        settings: as given to the jobs.
        max_failed: where a larger share was left out, the jobs' files stay, and jobs that are run again try the rest.

    Returns:
        What summary.json says: utterances, decoded, left_out (by reason), truncated, looped, and the totals of COUNTS.

    Raises:
        UserError: a job is not done, or utterances are missing.
    """
    jobs = range(1, num_jobs + 1)
    missing = [str(job) for job in jobs if not (directory / f"done.{job}").is_file()]
    if missing:
        raise UserError(f"{directory}: job(s) {', '.join(missing)} of {num_jobs} are not done; run them again")
    hypotheses: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for job in jobs:
        check_settings(directory / f"settings.{job}.json", {**settings, "num_jobs": num_jobs})
        hypotheses |= read_hypotheses(directory / f"hypotheses.{job}.jsonl")
        left_out |= read_left_out(directory / f"left_out.{job}.tsv")
    lost = sorted(set(expected) - hypotheses.keys() - left_out.keys())
    if lost:
        raise UserError(f"{directory}: {len(lost)} utterance(s) such as {lost[0]} are in no job; use --overwrite true")
    summary = {
        "utterances": len(expected),
        "decoded": len(hypotheses),
        "left_out": dict(sorted(Counter(left_out.values()).items())),
        "truncated": sum(values["truncated"] for values in hypotheses.values()),
        "looped": sum(values["looped"] for values in hypotheses.values()),
        "tokens": sum(len(values["token_ids"]) for values in hypotheses.values()),
        **{name: sum(values[name] for values in hypotheses.values()) for name in COUNTS},
    }
    _write_merged(directory, [hypotheses[utt_id] for utt_id in sorted(hypotheses)], left_out, summary)
    if len(expected) - len(hypotheses) > max_failed * len(expected):
        for job in jobs:
            (directory / f"done.{job}").unlink()
        return summary
    write_atomically(directory / "settings.json", json.dumps(dict(settings), indent=1))
    for job in jobs:
        for name in (f"settings.{job}.json", f"hypotheses.{job}.jsonl", f"left_out.{job}.tsv", f"done.{job}"):
            (directory / name).unlink()
    return summary


def read_hypotheses(path: Path) -> dict[str, dict[str, Any]]:
    """Utterance id → what a hypotheses.jsonl says of it; lines end at line feeds alone, whatever the LLM wrote."""
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    return {values["utt_id"]: values for values in found}


def read_left_out(path: Path) -> dict[str, str]:
    """Utterance id → reason, of a left_out.tsv; empty where there is none."""
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return dict(line.decode().split("\t", 1) for line in lines)


def text_line(values: Mapping[str, Any]) -> str:
    """The line of `text` for a hypothesis: one line, whatever line breaks the LLM wrote."""
    return " ".join([values["utt_id"], *values["text"].split()])


def _write_merged(
    directory: Path, hypotheses: list[dict[str, Any]], left_out: Mapping[str, str], summary: Mapping[str, Any]
) -> None:
    lines = {
        "hypotheses.jsonl": [json.dumps(values, ensure_ascii=False) for values in hypotheses],
        "text": [text_line(values) for values in hypotheses],
        "score": [f"{values['utt_id']} {values['score']:.6f}" for values in hypotheses],
        "left_out.tsv": [f"{utt_id}\t{reason}" for utt_id, reason in sorted(left_out.items())],
        "summary.json": [json.dumps(summary, indent=1)],
    }
    for name, content in lines.items():
        write_atomically(directory / name, "".join(f"{line}\n" for line in content))
