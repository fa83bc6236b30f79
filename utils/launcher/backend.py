"""What every way of running jobs offers to launch.py; who misses a method of it cannot be made."""

from __future__ import annotations

from abc import ABC, abstractmethod

from launcher.job import JobArray, JobResult


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
