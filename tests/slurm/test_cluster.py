"""The tests' own cluster: nothing of it outlives its owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from slurm_harness import until

# Starts a cluster with a job on it, says where it is, and is then killed.
OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from cluster import Cluster
cluster = Cluster()
cluster.call("sbatch", "--output=/dev/null", "--wrap", f"touch {cluster.folder}/runs; exec sleep 600")
print(cluster.folder, flush=True)
time.sleep(600)
"""


def test_it_ends_when_its_owner_is_killed(cluster):  # the fixture: only where there is Slurm
    command = [sys.executable, "-c", OWNER, str(Path(__file__).parent)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    folder = Path(owner.stdout.readline().strip())
    until((folder / "runs").exists, None)
    assert len(processes_of(folder)) >= 5, "controller, munge, two nodes, a job"
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not folder.exists() and not processes_of(folder))


def processes_of(folder: Path) -> list[str]:
    """Processes that have a cluster's folder in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # ended meanwhile
            continue
        if str(folder).encode() in said:
            found.append(process.name)
    return found
