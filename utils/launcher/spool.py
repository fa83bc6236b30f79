"""The folder through which a launcher and its jobs on other machines speak: .launch/<log's name>, beside the logs.

    job.json   what is to be run; only its owner can read it
    jobs       numbers of what was handed to a scheduler, one a line: what is cancelled when the launcher was killed
    began.N    job N runs (noted where nobody else could say so)
    done.N     how job N ended; written by the job as its last act

It goes when all jobs have ended. Beside it is the claim of the launcher at work, .launch/.<log's name>.lock (claim.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher.claim import claimed
from launcher.job import JobArray, JobResult, UsageError

# variables that say nothing on another machine
OF_THIS_MACHINE = ("DISPLAY", "HOSTNAME", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "TERM", "CUDA_VISIBLE_DEVICES", "_")
OF_THIS_SESSION = ("SSH_", "XDG_", "DBUS_", "SLURM")  # beginnings of such


@dataclass(frozen=True)
class Spool:
    """One folder; any side makes this object from the path."""

    folder: Path

    @classmethod
    def of(cls, array: JobArray) -> Spool:
        """The folder of an array's jobs."""
        log = Path(array.log).absolute()
        return cls(log.parent / ".launch" / log.name)

    def claimed(self) -> contextlib.AbstractContextManager[None]:
        """Be the only launcher of these jobs; what is in the folder then is from one that was killed.

        Raises:
            UsageError: another launcher is at work on them.
        """
        return claimed(self.folder.with_name(f".{self.folder.name}.lock"))

    def begin(self, array: JobArray) -> None:
        """Make the folder, empty, and what the jobs must know.

        Raises:
            UsageError: a log or the folder cannot be written.
        """
        prepare_logs(array)
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            what = {"array": asdict(array), "cwd": os.getcwd(), "environment": _environment()}
            write(self.folder / "job.json", json.dumps(what), mode=0o600)
        except OSError as error:
            raise UsageError(f"cannot write {self.folder} ({error.strerror})") from error

    def is_there(self) -> bool:
        """Whether what `begin` wrote can be seen on this machine."""
        try:
            return "job.json" in os.listdir(self.folder)  # a listing makes network filesystems look again
        except FileNotFoundError:
            return False

    def read(self) -> tuple[JobArray, str, dict[str, str]]:
        """What `begin` wrote: the array, the folder to run in and the environment's variables."""
        what = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))
        values = what["array"]
        for name in ("command", "numbers"):
            values[name] = tuple(values[name])
        values["extra"] = tuple(tuple(pair) for pair in values["extra"])
        return JobArray(**values), what["cwd"], what["environment"]

    def add_job(self, number: str) -> None:
        """Note a scheduler's number."""
        with open(self.folder / "jobs", "a", encoding="utf-8") as file:
            file.write(f"{number}\n")

    def jobs(self) -> list[str]:
        """Scheduler's numbers so far."""
        path = self.folder / "jobs"
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def finish(self, result: JobResult, log_size: int) -> None:
        """Note how a job ended, and how long its log is."""
        write(self.folder / f"done.{result.number}", json.dumps({**asdict(result), "log_size": log_size}))

    def begin_job(self, number: int) -> None:
        """Note that a job runs."""
        write(self.folder / f"began.{number}", "")

    def has_begun(self, number: int) -> bool:
        """Whether a job has run, or tried to."""
        return f"began.{number}" in os.listdir(self.folder)

    def forget(self, number: int) -> None:
        """Remove the note: the job is to run again."""
        for kind in ("began", "done"):
            (self.folder / f"{kind}.{number}").unlink(missing_ok=True)

    def results(self) -> dict[int, tuple[JobResult, int]]:
        """(result, size of its log) by number, of the jobs that have ended."""
        found = {}
        for entry in os.scandir(self.folder):  # listing a folder makes network filesystems look again
            if entry.name.startswith("done.") and not entry.name.endswith(".tmp"):
                values = json.loads(Path(entry.path).read_text(encoding="utf-8"))
                size = values.pop("log_size")
                found[values["number"]] = JobResult(**values), size
        return found

    def remove(self) -> None:
        """Remove the folder, as far as possible."""
        shutil.rmtree(self.folder, ignore_errors=True)


def prepare_logs(array: JobArray) -> None:
    """Make the logs' folders and empty the logs of an earlier run.

    Raises:
        UsageError: a log cannot be written.
    """
    for number in array.numbers:
        path = array.log_of(number)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write the log {path} ({error.strerror})") from error


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that nobody sees a part of it.

    The name has no process id: a job that the cluster has queued again may have the same one on another machine, where
    the first still writes.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def wait_for_logs(array: JobArray, sizes: dict[int, int], delay: float) -> None:
    """Wait until the logs are as long as the jobs say, `delay` seconds at most."""
    deadline = time.monotonic() + delay
    for number, size in sizes.items():
        while _size(array.log_of(number)) < size and time.monotonic() < deadline:
            time.sleep(0.5)


def missing(array: JobArray, found: Sequence[int]) -> list[int]:
    """Numbers of the array that are not found."""
    known = set(found)
    return [number for number in array.numbers if number not in known]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _environment() -> dict[str, str]:
    """Variables for jobs on other machines."""
    return {name: value for name, value in os.environ.items()
            if name not in OF_THIS_MACHINE and not name.startswith(OF_THIS_SESSION)}  # fmt: skip
