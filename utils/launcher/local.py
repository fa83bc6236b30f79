"""Jobs on this machine: as many at a time as cores, memory and GPUs allow, each GPU to one job."""

from __future__ import annotations

import os
import queue
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from launcher.backend import AbsBackend, wait_for
from launcher.job import AGAIN, MOST_RUNS, JobArray, JobResult, UsageError, say_again
from launcher.process import end
from launcher.spool import prepare_logs

NVIDIA = Path("/proc/driver/nvidia/gpus")  # one entry for each GPU


class LocalBackend(AbsBackend):
    """Runs a job array as child processes; every job is a process group of its own."""

    more_options = ()  # there is no configuration that could add any

    def __init__(self, config: str | None = None) -> None:
        if config is not None:
            raise UsageError("--config: jobs on this machine need no configuration")
        self._running: dict[int, subprocess.Popen] = {}  # by job number
        self._lock = threading.Lock()
        self._stopping = False

    def run(self, array: JobArray) -> list[JobResult]:
        """Run all jobs; results in the order of their numbers. An interrupt ends the children and is raised again.

        Raises:
            UsageError: a job asks for more GPUs than there are, or a log cannot be written.
        """
        if array.num_nodes > 1:
            raise UsageError("--num_nodes: jobs on this machine have one node; use cmd_backend=slurm in cmd.sh")
        gpus = visible_gpus()
        slots = _slots(array, len(gpus))
        pool: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        for slot in range(slots):
            pool.put(gpus[slot * array.gpu : (slot + 1) * array.gpu])
        prepare_logs(array)
        with ThreadPoolExecutor(slots) as executor:
            futures: list[Future] = []
            try:
                futures += (executor.submit(self._run_one, array, number, pool) for number in array.numbers)
                return wait_for(futures)
            except BaseException:
                self._stop(futures)
                raise

    def _run_one(self, array: JobArray, number: int, pool: queue.SimpleQueue[list[str]]) -> JobResult:
        gpus = pool.get()
        try:
            for _ in range(MOST_RUNS):
                result = self._run_job(array, number, gpus)
                if result.status != AGAIN or self._stopping:
                    return result
                say_again(array, number)
            return JobResult(number, AGAIN, f"asked {MOST_RUNS} times to be run again")
        finally:
            pool.put(gpus)

    def _run_job(self, array: JobArray, number: int, gpus: list[str]) -> JobResult:
        command = array.command_of(number)
        threads = {"OMP_NUM_THREADS": str(array.num_threads)}
        environment = {**os.environ, **threads, "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
        began = time.monotonic()
        with open(array.log_of(number), "a", encoding="utf-8") as log:
            log.write(f"# {shlex.join(command)}\n# started {time.strftime('%F %T')} on {os.uname().nodename}\n#\n")
            log.flush()
            with self._lock:
                if self._stopping:
                    return JobResult(number, -signal.SIGTERM, "interrupted")
                try:
                    process = subprocess.Popen(  # a session of its own, so that it ends with all that it started
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                        start_new_session=True,
                    )  # fmt: skip
                except OSError as error:
                    log.write(f"{command[0]}: {error.strerror}\n")
                    return JobResult(number, 127, f"{command[0]}: {error.strerror}")
                self._running[number] = process
            note = self._wait(process, array.time)
            with self._lock:
                del self._running[number]
            seconds = time.monotonic() - began
            log.write(f"# {note}\n" if note else "")
            log.write(f"# ended with status {process.returncode} at {time.strftime('%F %T')} after {seconds:.0f} s\n")
        return JobResult(number, process.returncode, note)

    def _wait(self, process: subprocess.Popen, limit: float | None) -> str:
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            end([process])
            return f"ran longer than --time allows ({limit:.0f} s) and was ended"
        return ""

    def _stop(self, futures: Sequence[Future]) -> None:
        with self._lock:
            self._stopping = True
            running = list(self._running.values())
        for future in futures:
            future.cancel()
        end(running)


def visible_gpus() -> list[str]:
    """Names of the GPUs that may be dealt out: CUDA_VISIBLE_DEVICES, or all of this machine."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    return [str(index) for index in range(len(list(NVIDIA.iterdir())))] if NVIDIA.is_dir() else []


def _slots(array: JobArray, gpus: int) -> int:
    """How many jobs run at a time."""
    if array.gpu > gpus:
        cure = "use --gpu 0 (slm.sh: --ngpu 0 --gpu_inference false)"
        raise UsageError(f"each job asks for {array.gpu} GPU(s) and {gpus} are visible here; {cure}")
    limits = [len(array.numbers)]
    if array.max_jobs_run is not None:
        limits.append(array.max_jobs_run)
    elif array.gpu == 0:
        limits.append(len(os.sched_getaffinity(0)) // array.num_threads)
    if array.gpu:
        limits.append(gpus // array.gpu)
    if array.mem is not None:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // array.mem)
    return max(1, min(limits))
