"""Talking to Slurm: sbatch, squeue, scancel, scontrol, and sacct where there is one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from launcher.job import UsageError
from launcher.slurm_words import is_transient

PATIENCE = (0.5, 1, 2, 5, 10, 20, 30)  # seconds between attempts to submit
ANSWER = 120  # seconds in which Slurm's commands answer
ALIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "RESIZING", "REQUEUED", "REQUEUE_FED",
         "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "SIGNALING", "STAGE_OUT", "STOPPED")  # fmt: skip
DEFAULT_ARRAY_SIZE = 1001  # Slurm's own


class Refused(Exception):
    """sbatch would not take the jobs; the message is what it said."""


@dataclass(frozen=True)
class State:
    """What Slurm says about one job."""

    job: str  # number; the array's for one of an array
    task: int | None  # index in the array
    state: str  # PENDING, RUNNING, ...
    reason: str  # why it waits, or ended

    @property
    def is_alive(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ALIVE


def submit(command: Sequence[str], mark: str, note: Callable[[str], None]) -> str:
    """Submit jobs; returns their number. What may succeed a little later is tried again.

    Args:
        command: sbatch and all its arguments.
        mark: a text that no other job has; the jobs' comment, by which they are known when the answer got lost.
        note: is called with the number before an interrupt can come between.

    Raises:
        UsageError: there is no sbatch.
        Refused: the jobs were not taken.
    """
    for patience in (*PATIENCE, None):
        with _uninterrupted():
            done = call([command[0], "--parsable", f"--comment={mark}", *command[1:]])
            if done.returncode == 0:
                match = re.search(r"^(\d+)(;.*)?$", done.stdout, re.MULTILINE)
                if match is None:
                    raise Refused(f"{command[0]} did not name a job: {done.stdout.strip()!r}")
                note(match[1])
                return match[1]
        if patience is None or not is_transient(done.stderr):
            raise Refused(done.stderr.strip() or f"{command[0]} ended with status {done.returncode}")
        try:
            time.sleep(patience)
        finally:  # also after an interrupt: the job may be there
            with _uninterrupted():
                if (found := _by_comment(mark)) is not None:
                    note(found)
        if found is not None:
            return found
    raise AssertionError("not reached")


def states(jobs: Sequence[str]) -> list[State] | None:
    """What Slurm remembers about jobs, ended ones too; None when it does not answer."""
    done = call(["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(jobs)}", "--format=%F|%K|%T|%r"])
    if done.returncode != 0:
        return [] if "Invalid job id" in done.stderr else None
    found = []
    for line in done.stdout.splitlines():
        job, task, state, reason = line.strip().split("|", 3)
        found.append(State(job, int(task) if task.isdigit() else None, state, reason))
    return found


def from_accounting(job: str, task: int | None) -> State | None:
    """What sacct says of a job that Slurm's controller has forgotten; None without accounting."""
    name = job if task is None else f"{job}_{task}"
    done = call(["sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={name}", "--format=State"])
    if done.returncode != 0 or not done.stdout.strip():
        return None
    return State(job, task, done.stdout.split()[0].split("|")[0], "")


def cancel(jobs: Sequence[str]) -> bool:
    """Cancel jobs and wait, for half a minute or so, until Slurm has ended them; whether it has."""
    asked = False
    for attempt in range(20 if jobs else 0):
        if attempt:
            time.sleep(2)
        asked = asked or call(["scancel", "--quiet", *jobs]).returncode == 0
        left = states(jobs)
        if left is not None and not any(state.is_alive for state in left):
            return True
    return not jobs


def cancel_tasks(job: str, tasks: Sequence[int | None]) -> None:
    """Cancel some jobs of an array."""
    call(["scancel", "--quiet", *(job if task is None else f"{job}_{task}" for task in tasks)])


def max_array_size() -> int:
    """Indices in an array are smaller than this."""
    done = call(["scontrol", "show", "config"])
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return int(match[1]) if match else DEFAULT_ARRAY_SIZE


def call(command: Sequence[str]) -> subprocess.CompletedProcess:
    """Run one of Slurm's commands; one that is missing or hangs ends with status 127 or 124."""
    environment = {name: value for name, value in os.environ.items() if not _is_of_a_job(name)}
    try:
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, timeout=ANSWER,
            start_new_session=True, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        if command[0] == "sacct":
            return subprocess.CompletedProcess(command, 127, "", "")
        cure = "run on a login node of the cluster, or set cmd_backend=local in cmd.sh"
        raise UsageError(f"{command[0]} is not there: {cure}") from error
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"Socket timed out: no answer in {ANSWER} s")


def _by_comment(mark: str) -> str | None:
    done = call(["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%F|%k"])
    found = [line.strip().split("|", 1)[0] for line in done.stdout.splitlines() if line.strip().endswith(f"|{mark}")]
    return found[0] if found else None


def _is_of_a_job(name: str) -> bool:
    """Variables of the job in which the launcher itself may run: they would be taken for options of the new ones."""
    kept = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")
    return (name.startswith(("SLURM_", "SLURMD_", "PMI")) and name not in kept) or name == "CUDA_VISIBLE_DEVICES"


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keeps an interrupt until the end, so that no job is submitted whose number is not known."""
    kept: list[int] = []
    before = {number: signal.signal(number, lambda which, _: kept.append(which))
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}  # fmt: skip
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(kept):
            signal.raise_signal(number)
