"""The launcher on a Slurm cluster that is brought up for the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from slurm_harness import Launched, start_cluster  # noqa: E402

TOP = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cluster():
    """Two nodes with four CPUs and two GPUs each."""
    yield from start_cluster()


@pytest.fixture
def launch(cluster, tmp_path) -> Callable[..., Launched]:
    """Starts the launcher with the shared configuration, but for its patience."""
    shared = TOP / "conf" / "slurm.conf"
    (tmp_path / "conf").mkdir()
    patience = "set file_delay=1\nset longest_poll=1\n"
    (tmp_path / "conf" / "slurm.conf").write_text(f"{shared.read_text()}\n{patience}")
    started = []

    def launch(*arguments: str, **environment: str) -> Launched:
        variables = {**os.environ, **cluster.environment, **environment}
        command = [TOP / "utils" / "launch.py", "--backend", "slurm", *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=variables, text=True, stderr=subprocess.PIPE)
        started.append(Launched(process, tmp_path))
        return started[-1]

    yield launch
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait()
        one.process.stderr.close()
