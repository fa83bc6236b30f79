"""Jobs on a cluster with Slurm: one job array for a range, waited for through the files that the jobs leave.

conf/slurm.conf says which flags of sbatch stand for which option (slurm_conf.py). A job notes its end in a file on the
shared filesystem (spool.py); Slurm is asked, seldom and for all jobs at once, only for those that end without one.
Slurm's accounting is not needed.
"""

from __future__ import annotations

import shlex
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from launcher import slurm_conf, slurm_queue, slurm_words
from launcher.backend import AbsBackend
from launcher.job import AGAIN, MOST_RUNS, JobArray, JobResult, UsageError, ranges
from launcher.slurm_queue import State
from launcher.spool import Spool, missing, wait_for_logs

SCRIPT = Path(__file__).resolve().with_name("run_job.py")
NOT_ITS_FAULT = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED")  # submitted again where the cluster does not do it
MOST_LOSSES = 5  # of one job in this way
USUAL = ("None", "Resources", "Priority", "JobArrayTaskLimit", "Dependency", "BeginTime", "Prolog", "Cleaning", "")
FIRST_LOOK, SELDOMEST_LOOK, LOOK_GROWTH = 0.1, 3.0, 1.1  # seconds between looks for the files of ended jobs
FIRST_POLL, POLL_GROWTH = 1.0, 1.3  # seconds between questions to Slurm
PROGRESS = 60.0  # seconds between lines that say how far the jobs are


class SlurmBackend(AbsBackend):
    """Runs job arrays through sbatch."""

    def __init__(self, config: str | None = None) -> None:
        self.conf = slurm_conf.read(slurm_conf.find(config))
        self.more_options = slurm_conf.more_options(self.conf)

    def run(self, array: JobArray) -> list[JobResult]:
        """Run all jobs; results in the order of their numbers. An interrupt cancels the jobs and is raised again.

        Raises:
            UsageError: Slurm refuses the jobs, is not there, or does not end those of a launcher that was killed;
                another launcher runs the same jobs; or a log cannot be written.
        """
        spool = Spool.of(array)
        with spool.claimed():
            if old := spool.jobs():
                say(f"cancelling jobs of a launcher that was killed: {', '.join(old)}")
                if not slurm_queue.cancel(old):
                    cure = f"wait until `squeue --jobs={','.join(old)}` is empty, then run this again"
                    raise UsageError(f"{array.title}: Slurm has not ended jobs of an earlier launcher yet; {cure}")
            run = SlurmRun(array, self.conf, spool)
            spool.begin(array)
            try:
                results = run.run()
            except BaseException:
                if slurm_queue.cancel(jobs := spool.jobs()):
                    spool.remove()
                else:
                    say(f"Slurm has not ended job(s) {', '.join(jobs)} yet; the next run cancels them before it begins")
                raise
            spool.remove()
            return results


class SlurmRun:
    """One array from its submission to its end."""

    def __init__(self, array: JobArray, conf: slurm_conf.SlurmConf, spool: Spool) -> None:
        self.array, self.conf, self.spool = array, conf, spool
        self.flags = conf.flags(array)
        self.results: dict[int, JobResult] = {}
        self.sizes: dict[int, int] = {}  # of the logs, as the jobs say
        self._where: dict[tuple[str, int | None], int] = {}  # (Slurm's job, index) → number of those that may be alive
        self._last: dict[int, tuple[str, int | None]] = {}  # number → where it was last
        self._ended: dict[int, tuple[State, float]] = {}  # number → final state without a file, and since when
        self._losses: Counter[int] = Counter()
        self._runs: Counter[int] = Counter()
        self._said: set[str] = set()

    def run(self) -> list[JobResult]:
        """Submit and wait."""
        self._submit(self.array.numbers)
        first_poll = min(FIRST_POLL, self.conf.longest_poll)
        look, poll, now = FIRST_LOOK, first_poll, time.monotonic()
        next_poll, next_progress = now + poll, now + PROGRESS
        while self._collect():
            time.sleep(look)
            look = min(look * LOOK_GROWTH, SELDOMEST_LOOK)
            if (now := time.monotonic()) >= next_poll:
                seen = self._ask()
                poll = first_poll if self._ended else min(poll * POLL_GROWTH, self.conf.longest_poll)
                next_poll = time.monotonic() + poll
                if seen and now >= next_progress:
                    self._say_once(f"{self._counts(seen)}")
                    next_progress = now + PROGRESS
        wait_for_logs(self.array, self.sizes, self.conf.file_delay)
        self._explain_kills()
        return [self.results[number] for number in self.array.numbers]

    def _submit(self, numbers: Sequence[int]) -> None:
        size = slurm_queue.max_array_size() if self.array.variable else 2
        previous = None
        for offset, part in split(numbers, size):
            command = [*self.flags, *self._own_flags(part, offset)]
            if previous is not None and self.array.max_jobs_run:  # the limit holds for all parts together
                command.append(f"--dependency=afterany:{previous}")
            command.append(str(self._script(offset)))
            try:
                job = slurm_queue.submit(command, f"launch-{uuid.uuid4().hex}", self.spool.add_job)
            except slurm_queue.Refused as error:
                said = slurm_words.refusal(str(error), self.array, self.conf.path)
                raise UsageError(f"{said}\n  the command was: {shlex.join(command)}") from error
            previous = job
            for number in part:
                place = job, number - offset if self.array.variable else None
                self._where[place], self._last[number] = number, place
            say(f"{self.array.title}: {len(part)} job(s) handed to Slurm as {job}")

    def _own_flags(self, part: Sequence[int], offset: int) -> list[str]:
        folder = str(self.spool.folder).replace("%", "%%")
        name = "%A_%a" if self.array.variable else "%j"
        flags = [f"--job-name={job_name(self.array)}", f"--output={folder}/slurm.{name}.out", "--open-mode=append",
                 "--requeue", "--kill-on-invalid-dep=yes"]  # fmt: skip
        if self.array.variable:
            at_a_time = f"%{self.array.max_jobs_run}" if self.array.max_jobs_run else ""
            flags.append(f"--array={ranges([number - offset for number in part], '-')}{at_a_time}")
        return flags

    def _script(self, offset: int) -> Path:
        """The batch script of the jobs whose number is `offset` more than their index."""
        first = offset if self.array.variable else self.array.numbers[0]
        path = self.spool.folder / f"job.{first}.sh"
        command = shlex.join([sys.executable, str(SCRIPT), "slurm", str(self.spool.folder), str(first)])
        path.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
        return path

    def _collect(self) -> list[int]:
        """Take what the jobs noted, submit again what is to run again; the numbers that are not known yet."""
        again = []
        for number, (result, size) in self.spool.results().items():
            if number in self.results:
                continue
            if result.status == AGAIN and not result.note and self._runs[number] < MOST_RUNS:
                self.spool.forget(number)
                self._runs[number] += 1
                again.append(number)
            else:
                self._end(result)
                self.sizes[number] = size
        self._submit_again(again)
        return missing(self.array, self.results)

    def _submit_again(self, numbers: Sequence[int]) -> None:
        if numbers:
            self._leave(numbers)
            self._submit(sorted(numbers))

    def _end(self, result: JobResult) -> None:
        self.results[result.number] = result
        self._leave([result.number])

    def _leave(self, numbers: Sequence[int]) -> None:
        """Forget where jobs were."""
        self._where = {place: number for place, number in self._where.items() if number not in numbers}
        for number in numbers:
            self._ended.pop(number, None)

    def _ask(self) -> list[State]:
        """Ask Slurm about all jobs that have not noted their end; what it says."""
        asked = sorted({job for job, _ in self._where})
        states = slurm_queue.states(asked) if asked else []
        if states is None:
            self._say_once("Slurm's controller does not answer; waiting for it")
            return []
        seen = {(state.job, state.task): state for state in states}
        now, lost = time.monotonic(), []
        for place, number in list(self._where.items()):
            state = seen.get(place) or State(*place, "GONE", "")
            if state.is_alive:
                self._ended.pop(number, None)
                self._check_waiting(state, number)
            elif number not in self._ended:  # what is queued again looks ended for a moment: believed the second time
                self._ended[number] = state, now
            elif state.state in NOT_ITS_FAULT and self._losses[number] < MOST_LOSSES:
                self._losses[number] += 1
                lost.append(number)
            elif state.state in (*NOT_ITS_FAULT, "CANCELLED") or now >= self._ended[number][1] + self.conf.file_delay:
                self._end_without_file(state, number)
        if lost:
            say(f"{self.array.title}: the node of job(s) {ranges(lost)} was lost or taken away; submitted again")
            self._submit_again(lost)
        return states

    def _check_waiting(self, state: State, number: int) -> None:
        if state.state != "PENDING":
            return
        if (note := slurm_words.never(state.reason, self.array, self.conf.path)) is not None:
            slurm_queue.cancel_tasks(state.job, [state.task])
            self._end(JobResult(number, 1, note))
        elif state.reason not in USUAL:
            self._say_once(f"Slurm lets jobs wait: {state.reason} (`squeue --me --start`)")

    def _end_without_file(self, state: State, number: int) -> None:
        if state.state == "GONE":
            state = slurm_queue.from_accounting(state.job, state.task) or state
        if state.state == "GONE":
            note = f"is in Slurm's list no more, and left no sign of its end in {self.spool.folder}"
        elif state.state == "COMPLETED":
            note = f"ended, but its sign in {self.spool.folder} is not visible here: is this a shared filesystem?"
        else:
            note = slurm_words.ended(state.state, state.reason, self.array, self.conf.path)
        self._copy_words(state, number)
        self._end(JobResult(number, 1, note))

    def _copy_words(self, state: State, number: int) -> None:
        """Append to the job's log what Slurm itself said about it."""
        name = state.job if state.task is None else f"{state.job}_{state.task}"
        path = self.spool.folder / f"slurm.{name}.out"
        if path.exists():
            with open(self.array.log_of(number), "a", encoding="utf-8") as log:
                log.write(path.read_text(encoding="utf-8", errors="replace"))

    def _explain_kills(self) -> None:
        """Say which of the jobs that were killed from outside had too little memory."""
        killed = {self._last[number]: number for number, result in self.results.items()
                  if result.status in (-signal.SIGKILL, 128 + signal.SIGKILL) and not result.note}  # fmt: skip
        for _ in range(3 if killed else 0):  # Slurm knows when the job has left its node
            states = slurm_queue.states(sorted({job for job, _ in killed})) or []
            ours = [state for state in states if (state.job, state.task) in killed]
            if not any(state.is_alive for state in ours):
                break
            time.sleep(1)
        for place, number in killed.items():
            state = next((state.state for state in ours if (state.job, state.task) == place), "")
            note = "was killed (signal 9), perhaps for want of memory: give more --mem in cmd.sh"
            if state == "OUT_OF_MEMORY":
                note = slurm_words.ended(state, "", self.array, self.conf.path)
            self.results[number] = JobResult(number, self.results[number].status, note)

    def _counts(self, states: Iterable[State]) -> str:
        numbers = Counter("waiting" if state.state == "PENDING" else "running" for state in states if state.is_alive)
        return ", ".join([f"{len(self.results)} of {len(self.array.numbers)} done",
                          *(f"{count} {what}" for what, count in sorted(numbers.items()))])  # fmt: skip

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            say(f"{self.array.title}: {text}")


def split(numbers: Sequence[int], size: int) -> list[tuple[int, list[int]]]:
    """Parts of the numbers as (offset, numbers); number - offset, an index, is below `size`. Offset 0 is preferred."""
    parts: list[tuple[int, list[int]]] = []
    for number in sorted(numbers):
        if not parts or number - parts[-1][0] >= size:
            parts.append((0 if number < size else number, []))
        parts[-1][1].append(number)
    return parts


def job_name(array: JobArray) -> str:
    """Name for Slurm's lists: the given one, or of the log, with its folder where that says more than `log`."""
    log = Path(array.log).absolute()
    folder = log.parent.parent if log.parent.name == "log" else log.parent
    return array.name or f"{folder.name}/{log.stem}"


def say(text: str) -> None:
    """A line for the user."""
    print(f"launch.py: {text}", file=sys.stderr, flush=True)
