"""A Slurm cluster for the tests, and what they do with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster, is_installed  # noqa: E402

LAUNCH = str(Path(__file__).resolve().parents[2] / "utils" / "launch.py")
PATIENCE = 90.0  # seconds after which a test that waits for something gives up


@pytest.fixture(scope="session")
def cluster():
    """Two nodes with four CPUs and two GPUs each."""
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


@pytest.fixture
def launch(cluster, tmp_path) -> Callable[..., Launched]:
    """Starts the launcher with the shared configuration, but for its patience."""
    shared = Path(__file__).resolve().parents[2] / "conf" / "slurm.conf"
    (tmp_path / "conf").mkdir()
    patience = "set file_delay=1\nset longest_poll=1\n"
    (tmp_path / "conf" / "slurm.conf").write_text(f"{shared.read_text()}\n{patience}")
    started = []

    def launch(*arguments: str, **environment: str) -> Launched:
        variables = {**os.environ, **cluster.environment, **environment}
        process = subprocess.Popen([LAUNCH, "--backend", "slurm", *arguments], cwd=tmp_path, env=variables, text=True,
                                   stderr=subprocess.PIPE)  # fmt: skip
        started.append(Launched(process, tmp_path))
        return started[-1]

    yield launch
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait()
        one.process.stderr.close()


def until(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait for a condition, as long as the process lives."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None or condition(), process.stderr.read()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
