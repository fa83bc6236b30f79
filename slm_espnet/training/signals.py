"""Being asked to stop: SIGTERM and SIGUSR1, as schedulers send them before they end a job.

While a training runs, such a signal is remembered; the training ends the step that it is in, writes a checkpoint and
exits with STOPPED, which says "stopped in good order, run me again". Before and after, nothing could be lost and the
process leaves at once with the same status. Importing this loads no torch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 85  # exit status: stopped in good order, to be run again
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
LAUNCHER = "SLM_LAUNCHER_PID"  # environment: process that started this one and passes signals on to it


class StopRequest:
    """Whether somebody asked the training to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None  # the first that came
        self._launcher = int(os.environ.get(LAUNCHER, 0))

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """A signal came."""
        self.signal = self.signal or number

    @property
    def reason(self) -> str:
        """Why to stop; empty where there is no reason."""
        if self.signal is not None:
            return signal.Signals(self.signal).name
        if self._launcher and os.getppid() != self._launcher:
            return "the process that started this one has ended"
        return ""


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(STOPPED)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Within it the handler gets the signals; outside of the main thread, where Python has none, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within it signals are remembered."""
    request = StopRequest()
    with handled(request):
        yield request


@contextmanager
def leaving() -> Iterator[None]:
    """Within it a signal ends the process at once, with STOPPED."""
    with handled(_leave):
        yield
