#!/usr/bin/env python3
"""One job on the machine that it was given to: runs the command, passes signals on, notes how it ended.

    run_job.py slurm SPOOL OFFSET         as Slurm's batch script; the number is OFFSET + SLURM_ARRAY_TASK_ID
    run_job.py ssh SPOOL NUMBER [GPUS]    at the end of an ssh connection; the job ends when the connection does

A command that ends with status 85 has stopped in good order and is run again: Slurm queues it again.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from launcher.job import AGAIN, MOST_RUNS, JobArray, JobResult  # noqa: E402
from launcher.process import catches, end  # noqa: E402
from launcher.spool import Spool  # noqa: E402
from launcher.ssh import LOST  # noqa: E402

SEEN = 60.0  # seconds after which what the launcher wrote must be seen here


def main(kind: str, folder: str, number: str, gpus: str = "") -> int:
    """Run the job; returns its status as a shell would have it."""
    spool = Spool(Path(folder))
    deadline = time.monotonic() + SEEN
    while not spool.is_there() and time.monotonic() < deadline:
        time.sleep(0.5)
    array, cwd, environment = spool.read()
    os.chdir(cwd)
    if kind == "slurm":  # whatever --export in slurm.conf says; what Slurm has set stays
        environment = {**environment, **os.environ}
    os.environ.update(environment)
    result = (_under_slurm if kind == "slurm" else _under_ssh)(spool, array, int(number), gpus)
    return result.status if result.status >= 0 else 128 - result.status


def run(array: JobArray, number: int, command: list[str], log: TextIO, *, own_session: bool) -> subprocess.Popen | str:
    """Start the command; where that is not possible, why."""
    log.write(f"# {shlex.join(command)}\n# started {time.strftime('%F %T')} on {_machine()}\n#\n")
    log.flush()
    os.environ["OMP_NUM_THREADS"] = str(array.num_threads)
    if not array.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=own_session
        )
    except OSError as error:
        log.write(f"{command[0]}: {error.strerror}\n")
        return f"{command[0]}: {error.strerror}"


def _under_slurm(spool: Spool, array: JobArray, offset: int, _gpus: str) -> JobResult:
    number = offset + int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    runs = 1 + int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    ended: list[int] = []  # signals from Slurm that end the job; it sends them to all of the job's processes itself
    with open(array.log_of(number), "a", encoding="utf-8") as log:
        command = [*_on_every_node(array), *array.command_of(number)]
        for received in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(received, lambda which, _: ended.append(which))
        early: list[int] = []  # signals from before the command ran
        signal.signal(signal.SIGUSR1, lambda which, _: early.append(which))
        process = run(array, number, command, log, own_session=False)
        if isinstance(process, str):
            result = JobResult(number, 127, process)
        else:
            _pass_on(process, log, early)
            result = JobResult(number, process.wait())
        log.write(f"# ended with status {result.status} at {time.strftime('%F %T')}\n")
        log.flush()
        size = os.fstat(log.fileno()).st_size
    if result.status == AGAIN and runs >= MOST_RUNS:
        result = JobResult(number, AGAIN, f"asked {runs} times to be run again")
    elif result.status == AGAIN and _queued_again(array):
        return result
    elif result.status not in (0, AGAIN) and (ended or _is_ended_by_slurm(array, result)):
        return result  # Slurm says why, and may run it again by itself
    spool.finish(result, size)
    return result


def _pass_on(process: subprocess.Popen, log: TextIO, early: list[int]) -> None:
    """Pass USR1, which Slurm sends to this process alone, on to the command, if it knows what to do with it."""

    def forward(which: int, _frame: object) -> None:
        if catches(process, signal.SIGUSR1):
            process.send_signal(which)
        else:
            log.write("# the time limit is near; the command takes no USR1 and goes on until then\n")
            log.flush()

    signal.signal(signal.SIGUSR1, forward)
    for which in early:
        forward(which, None)


def _on_every_node(array: JobArray) -> list[str]:
    """What runs the command once on each node, and in the environment where they meet; nothing for one node."""
    if array.num_nodes == 1:
        return []
    first = _scontrol("show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()[0]
    found = dict(pair.partition("=")[::2] for pair in _scontrol("show", "node", first, "--oneliner").split())
    os.environ["MASTER_ADDR"] = found.get("NodeAddr", first)
    os.environ["MASTER_PORT"] = str(10000 + int(os.environ["SLURM_JOB_ID"]) % 20000)
    nodes = str(array.num_nodes)
    # One that ends gives the others a minute: to write what they have after a signal, or to be ended after a failure.
    return ["srun", "--nodes", nodes, "--ntasks", nodes, "--ntasks-per-node", "1", "--wait", "60",
            "--cpus-per-task", str(array.num_threads)]  # fmt: skip


def _is_ended_by_slurm(array: JobArray, result: JobResult) -> bool:
    """Whether Slurm is just ending this job: cancels it, makes room, or its time is over."""
    if result.status < 0 or result.status > 128:  # a signal, which may reach this process a little later
        time.sleep(1)
    return _state(_task(array)).get("JobState") == "COMPLETING"


def _queued_again(array: JobArray) -> bool:
    """Whether a job that asks to be run again will be, or is not to be, without the launcher."""
    task = _task(array)
    state = _state(task)
    if state.get("JobState") == "RUNNING":
        return subprocess.run(["scontrol", "requeue", task], check=False).returncode == 0
    # Slurm is ending it: cancelled, or queued again already; at its time limit it is the launcher who runs it again
    return state.get("JobState") == "COMPLETING" and state.get("Reason") != "TimeLimit"


def _task(array: JobArray) -> str:
    """How scontrol calls this job."""
    if array.variable is None:
        return os.environ["SLURM_JOB_ID"]
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def _state(task: str) -> dict[str, str]:
    """JobState, Reason and more of a job; empty where Slurm cannot be asked."""
    return dict(pair.partition("=")[::2] for pair in _scontrol("show", "job", task, "--oneliner").split())


def _scontrol(*arguments: str) -> str:
    try:
        return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _under_ssh(spool: Spool, array: JobArray, number: int, gpus: str) -> JobResult:
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    spool.begin_job(number)
    note = ""
    with open(array.log_of(number), "a", encoding="utf-8") as log:
        process = run(array, number, array.command_of(number), log, own_session=True)
        if isinstance(process, str):
            result = JobResult(number, 127, process)
        else:
            threading.Thread(target=_end_with_connection, args=(process,), daemon=True).start()
            try:
                process.wait(array.time)
            except subprocess.TimeoutExpired:
                end([process])
                note = f"ran longer than --time allows ({array.time:.0f} s) and was ended"
            result = JobResult(number, process.returncode, note)
        log.write(f"# {note}\n" if note else "")
        log.write(f"# ended with status {result.status} at {time.strftime('%F %T')}\n")
        log.flush()
        spool.finish(result, os.fstat(log.fileno()).st_size)
    return result


def _end_with_connection(process: subprocess.Popen) -> None:
    """Wait until standard input is closed or silent for long, then end the job."""
    while select.select([0], [], [], LOST)[0] and os.read(0, 4096):
        pass
    end([process])


def _machine() -> str:
    """Name of this machine, as Slurm has it."""
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
