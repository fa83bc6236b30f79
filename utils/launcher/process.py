"""Process groups: what a job started, and how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

GRACE = 30.0  # seconds between asking a job to end, when it may save what it has, and killing it


def end(processes: Sequence[subprocess.Popen]) -> None:
    """End process groups: first politely, after GRACE seconds for good."""
    for process in processes:
        signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        signal_group(process, signal.SIGKILL)  # also what the job itself has left behind
        process.wait()


def signal_group(process: subprocess.Popen, number: signal.Signals) -> None:
    """Send a signal to a process and all that it started; nothing where they have ended."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def catches(process: subprocess.Popen, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal, or waits for it (it would end a process that does neither)."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigCgt:", "SigBlk:"))]
    return any(mask >> (number - 1) & 1 for mask in masks)
