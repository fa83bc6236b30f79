"""A Slurm cluster for tests: whether there can be one, and waiting for what happens on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster, is_installed  # noqa: E402

PATIENCE = 90.0  # seconds after which a test that waits for something gives up


def start_cluster() -> Iterator[Cluster]:
    """For fixtures: a cluster with two nodes of four CPUs and two GPUs; skips where there can be none."""
    if not is_installed():
        pytest.skip("Slurm is not installed (Debian, Ubuntu: apt-get install slurmctld slurmd slurm-client munge)")
    if os.getuid() != 0:
        pytest.skip("the made-up cluster needs root: Slurm's daemons start jobs as other users")
    one = Cluster()
    yield one
    one.stop()


@dataclass
class Launched:
    """A launcher at work."""

    process: subprocess.Popen
    folder: Path
    said: str = field(init=False, default="")

    def end(self) -> int:
        """Wait for it; its status, and what it said in `said`."""
        _, self.said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode

    def file(self, name: str, lines: int = 1) -> list[str]:
        """Lines of a file that a job writes, when there are so many."""
        path = self.folder / name
        until(lambda: path.exists() and path.read_text().count("\n") >= lines, self.process)
        return path.read_text().splitlines()

    @property
    def job(self) -> str:
        """Slurm's number of what was submitted."""
        found: list[Path] = []
        until(lambda: found.extend(self.folder.glob("**/.launch/*/jobs")) or found, self.process)
        return found[0].read_text().split()[-1]


def until(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait for a condition, as long as the process lives."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None or condition(), process.stderr.read()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
