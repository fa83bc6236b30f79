"""Jobs on machines that are reached by ssh, with a filesystem in common; conf/hosts lists them (hosts.py).

Each job goes to a machine that is free. A job and its connection end together: when the launcher is interrupted or
dies, so do its jobs. A machine that cannot be reached is named and gets no more jobs; its job goes to another one.
"""

from __future__ import annotations

import queue
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from launcher import hosts
from launcher.backend import AbsBackend, wait_for
from launcher.hosts import Host
from launcher.job import AGAIN, MOST_RUNS, JobArray, JobResult, UsageError, say_again
from launcher.spool import Spool, wait_for_logs

SCRIPT = Path(__file__).resolve().with_name("run_job.py")
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15",
       "-o", "ServerAliveCountMax=4")  # fmt: skip
UNREACHABLE = 255  # ssh's own status
NOWHERE = "no machine could be reached"
LOST = 120.0  # seconds without a sign of life after which a job ends itself
BEAT = 15.0  # seconds between signs of life to a job
FILE_DELAY = 60.0  # seconds after which a file written on another machine must be seen here


@dataclass(frozen=True)
class Slot:
    """A place for one job."""

    host: Host
    gpus: tuple[str, ...]


class SshBackend(AbsBackend):
    """Deals a job array out to machines."""

    more_options = ()

    def __init__(self, config: str | None = None) -> None:
        self.path = Path(config) if config is not None else hosts.DEFAULT
        self.hosts = hosts.read(self.path)
        self._dead: dict[str, str] = {}  # host → what ssh said
        self._alive: set[str] = set()  # hosts that can do these jobs, without those
        self._running: dict[int, subprocess.Popen] = {}  # job number → its connection
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self, array: JobArray) -> list[JobResult]:
        """Run all jobs; results in the order of their numbers. An interrupt ends the jobs and is raised again.

        Raises:
            UsageError: no machine has so many GPUs, none can be reached, or a log cannot be written.
        """
        if array.num_nodes > 1:
            raise UsageError("--num_nodes: jobs by ssh have one node; use cmd_backend=slurm in cmd.sh")
        free: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        places = slots(self.hosts, array.gpu)
        if not places:
            raise UsageError(f"no machine of {self.path} has {array.gpu} GPU(s) (gpus=0,1 in its line)")
        self._alive = {slot.host.name for slot in places}
        for slot in places:
            free.put(slot)
        at_a_time = min(len(places), len(array.numbers), array.max_jobs_run or len(places))
        spool = Spool.of(array)
        with spool.claimed():
            spool.begin(array)
            results = self._run_all(array, spool, free, at_a_time)
            if any(result.note == NOWHERE for result in results):
                said = "; ".join(f"{host}: {words}" for host, words in self._dead.items())
                cure = "does `ssh HOST true` ask nothing?"
                raise UsageError(f"no machine of {self.path} can be reached ({said}); {cure}")
            sizes = {number: size for number, (_, size) in spool.results().items()}
            wait_for_logs(array, sizes, FILE_DELAY)
            spool.remove()
            return results

    def _run_all(
        self, array: JobArray, spool: Spool, free: queue.SimpleQueue[Slot | None], at_a_time: int
    ) -> list[JobResult]:
        beat = threading.Thread(target=self._beat, daemon=True)
        beat.start()
        with ThreadPoolExecutor(at_a_time) as executor:
            futures: list[Future] = []
            try:
                futures += (executor.submit(self._run_one, array, spool, number, free) for number in array.numbers)
                return wait_for(futures)
            except BaseException:
                self._stop(futures)
                raise
            finally:
                self._stopping.set()

    def _run_one(self, array: JobArray, spool: Spool, number: int, free: queue.SimpleQueue[Slot | None]) -> JobResult:
        runs = 0
        while not self._stopping.is_set():
            slot = free.get()
            if slot is None:  # no machine is left; the next one that waits is told, too
                free.put(None)
                return JobResult(number, 1, NOWHERE)
            if slot.host.name in self._dead:
                self._drop(free)
                continue
            result = self._run_job(array, spool, number, slot)
            if result is None:
                self._drop(free)
                continue
            free.put(slot)
            runs += 1
            if result.status != AGAIN or runs >= MOST_RUNS:
                return result
            if not self._stopping.is_set():
                say_again(array, number)
            spool.forget(number)
        return JobResult(number, -15, "interrupted")

    def _drop(self, free: queue.SimpleQueue[Slot | None]) -> None:
        """A machine is not given back; when none is left, those who wait for one are told."""
        if not self._alive:
            free.put(None)

    def _run_job(self, array: JobArray, spool: Spool, number: int, slot: Slot) -> JobResult | None:
        """Run a job; None when its machine could not be reached."""
        remote = [sys.executable, str(SCRIPT), "ssh", str(spool.folder), str(number), ",".join(slot.gpus)]
        with self._lock:
            if self._stopping.is_set():
                return JobResult(number, -15, "interrupted")
            connection = subprocess.Popen(
                [*SSH, slot.host.name, shlex.join(remote)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            self._running[number] = connection
        said = connection.stderr.read().strip()
        status = connection.wait()
        with self._lock:
            del self._running[number]
            _close(connection)
        noted = _noted(spool, number, FILE_DELAY if status not in (UNREACHABLE, 127) else 0.0)
        if noted is not None:
            return noted
        if status == UNREACHABLE and not self._stopping.is_set():
            words = said.splitlines()[-1] if said else "the connection was lost"
            self._dead[slot.host.name] = words
            self._alive.discard(slot.host.name)
            print(f"launch.py: {slot.host.name} cannot be reached ({words}); job {number} goes to another machine",
                  file=sys.stderr, flush=True)  # fmt: skip
            if spool.has_begun(number):  # it ends itself when it hears nothing; until then there must be no second one
                self._stopping.wait(LOST)
            return None
        with open(array.log_of(number), "a", encoding="utf-8") as log:
            log.write(f"{said}\n")
        cure = "is there this Python, and this folder, on that machine?"
        return JobResult(number, status or 1, f"could not run on {slot.host.name} (status {status}); {cure}")

    def _beat(self) -> None:
        """Give the jobs signs of life."""
        while not self._stopping.wait(BEAT):
            with self._lock:
                for connection in self._running.values():
                    try:
                        connection.stdin.write("\n")
                        connection.stdin.flush()
                    except OSError:  # it has just ended
                        pass

    def _stop(self, futures: Sequence[Future]) -> None:
        with self._lock:
            self._stopping.set()
            running = list(self._running.values())
        for future in futures:
            future.cancel()
        for connection in running:
            _close(connection)  # the job at the other end then ends, and with it the connection
        for connection in running:
            connection.wait()


def slots(machines: Sequence[Host], gpu: int) -> list[Slot]:
    """Places for jobs with `gpu` GPUs each, the first of every machine before the second of any."""
    places = []
    for machine in machines:
        most = min(machine.jobs, len(machine.gpus) // gpu) if gpu else machine.jobs
        places += [(turn, Slot(machine, machine.gpus[turn * gpu : (turn + 1) * gpu])) for turn in range(most)]
    return [slot for _, slot in sorted(places, key=lambda place: place[0])]


def _close(connection: subprocess.Popen) -> None:
    try:
        connection.stdin.close()
    except OSError:  # it has ended before
        pass


def _noted(spool: Spool, number: int, delay: float) -> JobResult | None:
    """How a job ended by its own note, waited for where the filesystem is slow."""
    deadline = time.monotonic() + delay
    while True:
        noted = spool.results().get(number)
        if noted is not None:
            return noted[0]
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.5)
