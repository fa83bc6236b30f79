"""What every way of running jobs offers to launch.py; who misses a method of it cannot be made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait

from launcher.job import JobArray, JobResult

ATTENTION = 0.5  # seconds after which a signal is heeded, see wait_for


class AbsBackend(ABC):
    """Runs the jobs of an array somewhere. Made with the path of a configuration, or None for the usual one.

    UsageError of `job` where the configuration is missing or wrong.
    """

    more_options: tuple[str, ...]  # options that its configuration adds to the command line, without --

    @abstractmethod
    def run(self, array: JobArray) -> list[JobResult]:
        """Run every job to its end; each writes its log. One result per job, in the order of the array's numbers.

        A job that ends with status AGAIN is run again. Nothing is left running, however this ends.

        Raises:
            UsageError: the jobs ask for more than there is.
            OSError: a log cannot be written.
            KeyboardInterrupt: interrupted (INT, TERM); all jobs were ended.
        """


def wait_for(futures: Sequence[Future[JobResult]]) -> list[JobResult]:
    """What jobs that run in threads end with, in the order given; raises what one of them raises, at once.

    Looks up now and then: Python calls a signal's handler between two steps of the main thread, so one that arrives
    just before a wait without end would be heeded after it.
    """
    while True:
        done, left = wait(futures, ATTENTION, FIRST_EXCEPTION)
        for future in done:
            future.result()
        if not left:
            return [future.result() for future in futures]
