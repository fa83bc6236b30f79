#!/usr/bin/env python3
"""Run a command once, or once for each number of a range, with a log for each job.

    utils/launch.py [options] [JOB=1:N] log/name.JOB.log command ... JOB ...

JOB (any name) is replaced by the number in the log's name and in the command; JOB=3,7:9 runs only some. Options:

    --backend local    where jobs run; one of the backends in utils/launcher (default: local)
    --gpu N            GPUs for each job; each GPU is given to one job at a time (CUDA_VISIBLE_DEVICES)
    --mem 8G           memory for each job; locally it limits how many run at a time
    --num_threads N    threads for each job (OMP_NUM_THREADS; default 1)
    --time 4:00:00     a job that runs longer is ended and has failed
    --max_jobs_run N   jobs at a time (default: as cores, memory and GPUs allow)
    --name x           name of the jobs in reports and in schedulers' lists (default: the log's name)

Exit status 0 only if every job ended well; otherwise the failed jobs are listed with the last lines of their logs and
the command that runs only those again. An interrupt (Ctrl-C, TERM) ends all jobs.
"""

from __future__ import annotations

import signal
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from launcher.job import JobArray, JobResult, UsageError, parse, rerun_command  # noqa: E402
from launcher.local import LocalBackend  # noqa: E402

BACKENDS = {"local": LocalBackend}
TAIL = 5  # log lines shown of a failed job
SHOWN = 3  # failed jobs whose logs are shown


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    try:
        backend, rest = _backend(arguments)
        array = parse(rest)
        results = backend.run(array)
    except UsageError as error:
        print(f"error: launch.py: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: launch.py: cannot write the logs ({error.strerror}); all jobs were ended", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("launch.py: interrupted; all jobs were ended", file=sys.stderr)
        return 130
    failed = [result for result in results if result.status != 0]
    if failed:
        print(report(array, failed, rerun_command([sys.argv[0], *arguments], array, [r.number for r in failed])),
              file=sys.stderr)  # fmt: skip
    return 1 if failed else 0


def report(array: JobArray, failed: Sequence[JobResult], again: str) -> str:
    """What failed, the ends of the logs, and the command that runs it again."""
    name = array.name or Path(array.log).name
    numbers = "" if array.variable is None else f": {', '.join(str(result.number) for result in failed)}"
    lines = [f"{name}: {len(failed)} of {len(array.numbers)} job(s) failed{numbers}"]
    for result in failed[:SHOWN]:
        log = array.log_of(result.number)
        how = result.note or (f"status {result.status}" if result.status > 0 else f"signal {-result.status}")
        lines.append(f"  {log} ({how}):")
        with open(log, encoding="utf-8", errors="replace") as file:
            tail = deque((line.rstrip() for line in file if line.strip() and not line.startswith("#")), maxlen=TAIL)
        lines += [f"    {line}" for line in tail]
    return "\n".join([*lines, "to run only what failed:", f"  {again}"])


def _backend(arguments: Sequence[str]) -> tuple[LocalBackend, Sequence[str]]:
    """The backend named by a leading --backend, and the other arguments."""
    if arguments[0] != "--backend":
        return BACKENDS["local"](), arguments
    name = arguments[1] if len(arguments) > 1 else ""
    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    return BACKENDS[name](), arguments[2:]


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) != signal.SIG_IGN:  # nohup
            signal.signal(signal_number, _interrupt)
    sys.exit(main(sys.argv[1:]))
