#!/usr/bin/env python3
"""Run a command once, or once for each number of a range, with a log for each job.

    utils/launch.py [options] [JOB=1:N] log/name.JOB.log command ... JOB ...

JOB (any name) is replaced by the number in the log's name and in the command; JOB=3,7:9 runs only some. Options:

    --backend local    where jobs run: local (this machine), slurm (a cluster), ssh (a list of machines)
    --config FILE      slurm: how options become flags of sbatch (default: the recipe's conf/slurm.conf, or else the
                       toolkit's); ssh: the list of machines (default: conf/hosts of the recipe)
    --gpu N            GPUs for each job; each GPU is given to one job at a time (CUDA_VISIBLE_DEVICES)
    --mem 8G           memory for each job; locally it limits how many run at a time
    --num_threads N    threads for each job (OMP_NUM_THREADS; default 1)
    --num_nodes N      machines for each job (slurm): the command runs once on each, with SLURM_PROCID, SLURM_NNODES,
                       MASTER_ADDR and MASTER_PORT set
    --time 4:00:00     a job that runs longer is ended and has failed; under Slurm it gets USR1 two minutes before
    --max_jobs_run N   jobs at a time (default: as cores, memory and GPUs allow)
    --name x           name of the jobs in reports and in schedulers' lists (default: the log's name)

--backend and --config come first. Exit status 0 only if every job ended well; otherwise the failed jobs are listed with
the last lines of their logs and the command that runs only those again. An interrupt (Ctrl-C, TERM) ends or cancels all
jobs; those of a launcher that was killed are cancelled when it is started again.

A command that ends with status 85 has stopped in good order (told by USR1 or TERM) and is run again, on Slurm through
the queue; so are jobs whose node failed or was needed for others.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from launcher.job import JobArray, JobResult, UsageError, option, parse, rerun_command  # noqa: E402
from launcher.local import LocalBackend  # noqa: E402
from launcher.slurm import SlurmBackend  # noqa: E402
from launcher.ssh import SshBackend  # noqa: E402

BACKENDS = {"local": LocalBackend, "slurm": SlurmBackend, "ssh": SshBackend}
TAIL = 5  # log lines shown of a failed job
INTERRUPTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SHOWN = 3  # failed jobs whose logs are shown


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    try:
        backend, rest = _backend(arguments)
        array = parse(rest, backend.more_options)
        results = backend.run(array)
    except UsageError as error:
        print(f"error: launch.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        what = error.filename or "cannot write the logs"
        print(f"error: launch.py: {what} ({error.strerror}); all jobs were ended", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("launch.py: interrupted; all jobs were ended. The same command runs them again", file=sys.stderr)
        return 130
    failed = [result for result in results if result.status != 0]
    if failed:
        print(report(array, failed, rerun_command([sys.argv[0], *arguments], array, [r.number for r in failed])),
              file=sys.stderr)  # fmt: skip
    return 1 if failed else 0


def report(array: JobArray, failed: Sequence[JobResult], again: str) -> str:
    """What failed, the ends of the logs, and the command that runs it again."""
    numbers = "" if array.variable is None else f": {', '.join(str(result.number) for result in failed)}"
    lines = [f"{array.title}: {len(failed)} of {len(array.numbers)} job(s) failed{numbers}"]
    for result in failed[:SHOWN]:
        log = array.log_of(result.number)
        how = result.note or (f"status {result.status}" if result.status > 0 else f"signal {-result.status}")
        lines.append(f"  {log} ({how}):")
        lines += [f"    {line}" for line in tail(log)]
    return "\n".join([*lines, "to run only what failed:", f"  {again}"])


def tail(log: Path) -> list[str]:
    """The last lines that a job wrote."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            return list(deque((line.rstrip() for line in file if line.strip() and not line.startswith("#")), TAIL))
    except OSError as error:
        return [f"(cannot be read: {error.strerror})"]


def _backend(arguments: Sequence[str]) -> tuple[LocalBackend | SlurmBackend | SshBackend, Sequence[str]]:
    """The backend named by leading --backend and --config, and the other arguments."""
    chosen: dict[str, str] = {}
    while arguments and arguments[0].partition("=")[0] in ("--backend", "--config"):
        name, value, arguments = option(arguments, ("backend", "config"))
        chosen[name] = value
    name = chosen.get("backend", "local")
    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    return BACKENDS[name](chosen.get("config")), arguments


def _interrupt(number: int, _frame: object) -> None:
    for one in INTERRUPTS:  # a second Ctrl-C, or one that follows TERM, must not break off the ending of the jobs
        if signal.getsignal(one) != signal.SIG_IGN:  # not set now: a job that just starts would ignore it, too
            signal.signal(one, lambda *_: None)
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    for signal_number in INTERRUPTS:
        if signal.getsignal(signal_number) != signal.SIG_IGN:  # nohup
            signal.signal(signal_number, _interrupt)
    sys.exit(main(sys.argv[1:]))
