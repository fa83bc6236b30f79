"""The output directory of a decoding run: jobs append to it, can be killed and resumed, and are merged (merging.py).

    settings.<job>.json hypotheses.<job>.jsonl left_out.<job>.tsv done.<job>   of one job
    hypotheses.jsonl text score left_out.tsv summary.json settings.json        of all, sorted by utterance id

Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slm_espnet.decoding.types import Hypothesis
from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write, make_directory, write_atomically
from slm_espnet.locks import Lock

MAY_LACK = ("audio", "silence")  # settings that earlier results, or encodings that are gone, do not tell: not compared
COUNTS = ("passes", "draft_tokens", "draft_accepted", "from_ctc")  # fields of Hypothesis that say what drafts saved


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to go on with what was made with other settings; nothing happens where nothing was made."""
    if different := difference(path, settings):
        raise UserError(
            f"{path.parent} holds results of other settings ({different}); choose another --output_dir, or decode "
            "afresh with --overwrite true"
        )


def difference(path: Path, settings: Mapping[str, Any]) -> str:
    """The first setting that differs from a file's, "options.beam_size: 1 there, 4 now"; "" where none does.

    Raises:
        UserError: the file is damaged.
    """
    try:
        made_with = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged; decode afresh with --overwrite true") from error
    names = {*made_with, *settings} - {name for name in MAY_LACK if name not in made_with or name not in settings}
    for name in sorted(names):
        there, now = made_with.get(name), settings.get(name)
        while isinstance(there, dict) and isinstance(now, dict) and there != now:
            inner = min(key for key in {*there, *now} if there.get(key) != now.get(key))
            name, there, now = f"{name}.{inner}", there.get(inner), now.get(inner)
        if there != now:
            return f"{name}: {_short(there)} there, {_short(now)} now"
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_merged(directory: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the run is complete; UserError when it is, with other settings."""
    path = directory / "settings.json"
    if not path.is_file():
        return False
    check_settings(path, settings)
    if any(name in settings and name not in json.loads(path.read_text(encoding="utf-8")) for name in MAY_LACK):
        write_atomically(path, json.dumps(dict(settings), indent=1))  # from now on it is compared
    return True


def remove_results(directory: Path, job: int | None = None) -> None:
    """Remove one job's files and the merged ones; all jobs' for None."""
    _remove_parts(directory, "*" if job is None else str(job))
    for name in ("settings.json", "text", "score", "hypotheses.jsonl", "left_out.tsv", "summary.json"):
        (directory / name).unlink(missing_ok=True)


def _remove_parts(directory: Path, which: str) -> None:
    for pattern in (f"settings.{which}.json", f"hypotheses.{which}.jsonl", f"left_out.{which}.tsv", f"done.{which}"):
        for path in directory.glob(pattern):
            path.unlink()


class JobWriter:
    """One job's results. Use as a context manager."""

    def __init__(
        self, directory: Path, job: int, settings: Mapping[str, Any], overwrite: bool = False, remake: bool = False
    ):
        """Open a job's files, keeping what an earlier, killed run of it finished.

        Args:
            directory: of the decoding run, made when it does not exist.
            job: number from 1.
            settings: what the results depend on; results of other settings are refused.
            overwrite: begin anew; with one job in all (`num_jobs` of the settings), whatever is there.
            remake: begin this job anew where it was begun with other settings, in place of refusing.

        Raises:
            UserError: other settings, another process is writing this job, or nothing can be written there.
        """
        self.directory, self.job = directory, job
        self.path = directory / f"hypotheses.{job}.jsonl"
        self._settings = dict(settings)
        make_directory(directory)
        self._lock = Lock(directory / f".lock.{job}", f"job {job} of this decoding")
        try:
            if overwrite:
                remove_results(directory, None if settings.get("num_jobs") == 1 else job)
            elif remake and difference(directory / f"settings.{job}.json", settings):
                _remove_parts(directory, str(job))
            check_settings(directory / f"settings.{job}.json", settings)
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        try:
            self._file = open(self.path, "a+b", buffering=0)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.finished = self._resume()  # ids that need no decoding any more
        self._decoded = len(self.finished)
        self.done = is_done(self.directory, self.job, len(self.finished))  # nothing is left to do
        write_atomically(self.directory / f"settings.{self.job}.json", json.dumps(self._settings, indent=1))

    def _resume(self) -> set[str]:
        """Ids of the complete lines; from a line that was cut by a kill, or is damaged, all are dropped."""
        finished, end = set(), 0
        with open(self.path, "rb") as file:
            for line in file:
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
            raise cannot_write(self.path, error, "run it again, it goes on from here") from error
        self._decoded += len(lines)

    def finish(self, left_out: Mapping[str, str]) -> None:
        """Say what was left out and why, and mark the job as done."""
        lines = "".join(f"{utt_id}\t{reason}\n" for utt_id, reason in sorted(left_out.items()))
        write_atomically(self.directory / f"left_out.{self.job}.tsv", lines)
        write_atomically(self.directory / f"done.{self.job}", json.dumps({"decoded": self._decoded}))

    def __enter__(self) -> JobWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()
        self._lock.release()


def is_done(directory: Path, job: int, decoded: int) -> bool:
    """Whether a job was finished, and what it decoded then is still there."""
    try:
        marker = json.loads((directory / f"done.{job}").read_text(encoding="utf-8") or "{}")
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return False
    return isinstance(marker, dict) and marker.get("decoded", decoded) == decoded


def read_hypotheses(path: Path) -> dict[str, dict[str, Any]]:
    """Utterance id → what a hypotheses.jsonl says of it; lines end at line feeds alone, whatever the LLM wrote.

    Raises:
        UserError: a line is damaged, or cut.
    """
    found = {}
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                values = json.loads(line)
                found[values["utt_id"]] = values
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
                raise UserError(f"{path}:{number}: damaged; decode it again, with --overwrite true") from None
    return found


def read_left_out(path: Path) -> dict[str, str]:
    """Utterance id → reason, of a left_out.tsv; empty where there is none."""
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return dict(line.decode().split("\t", 1) for line in lines)


def text_line(values: Mapping[str, Any]) -> str:
    """The line of `text` for a hypothesis: one line, whatever line breaks the LLM wrote."""
    return " ".join([values["utt_id"], *values["text"].split()])
