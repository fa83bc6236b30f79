"""A Slurm cluster on this machine that lives as long as its owner: controller, nodes with made-up GPUs, and munge.

    python cluster.py serve FOLDER     until standard input closes; prints "ready" or what is wrong

Everything is in FOLDER (configuration, keys, sockets, logs) and on free ports of the loopback interface; nothing of the
machine's own Slurm or munge is touched. No systemd and no cgroups. Each node is a process that all of the node's
processes belong to, however they detach (`cluster.py node FOLDER NAME`), so that a node can die as in a power cut:
killed are the daemon, its helpers and what the jobs started. When the owner ends, however it ends, all of it ends and
the folder goes. Debian's packages slurmctld, slurmd, slurm-client and munge are enough (made with Slurm 22.05).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "slurmstepd", "munged", "sbatch", "squeue", "scontrol", "srun")
NODES, CPUS, GPUS, MEMORY = ("n1", "n2"), 4, 2, 4000  # of each node; memory in MB
MAX_ARRAY = 12  # indices are smaller than this
PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG = 36, 1
LIBC = ctypes.CDLL(None, use_errno=True)
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SlurmctldParameters=node_reg_mem_percent=1
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
JobRequeue=1
MaxArraySize={max_array}
MinJobAge=300
SlurmdTimeout=6
SlurmctldTimeout=6
BatchStartTimeout=20
MessageTimeout=10
KillWait=3
CompleteWait=0
InactiveLimit=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
PropagateResourceLimits=NONE
"""
PARTITIONS = """
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefMemPerCPU=100 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL MaxTime=INFINITE DefMemPerCPU=100 PriorityTier=9
PartitionName=cancelled Nodes=ALL MaxTime=INFINITE DefMemPerCPU=100 PriorityTier=1 PreemptMode=CANCEL
PartitionName=short Nodes=ALL MaxTime=5 DefMemPerCPU=100 PriorityTier=1
"""


class Cluster:
    """The owner's side: starts the cluster and ends it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o711)  # munge refuses a socket that not everybody can reach
        self._server = subprocess.Popen(
            [sys.executable, __file__, "serve", self.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        said = self._server.stdout.readline()
        if said != "ready\n":
            raise RuntimeError(said + self._server.stdout.read())

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which Slurm's commands speak to this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def kill_node(self, name: str) -> None:
        """A power cut: no process of the node says good-bye. The controller is told, as a cluster's monitoring would.

        (By itself it notices after 28 seconds with this SlurmdTimeout.)
        """
        keeper = int((self.folder / f"{name}.keeper").read_text())
        victims = [keeper, *descendants(keeper)]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: none sees another one's death
            for pid in victims:
                _send(pid, number)
        self.call("scontrol", "update", f"nodename={name}", "state=down", "reason=power cut")

    def start_node(self, name: str) -> None:
        """Power is back; returns when jobs can run there."""
        self._server.stdin.write(f"{name}\n")
        self._server.stdin.flush()
        assert self._server.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """End everything, and remove the folder."""
        self._server.stdin.close()
        self._server.wait()


def is_installed() -> bool:
    """Whether there is all that a cluster needs."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return all(shutil.which(program, path=path) for program in PROGRAMS)


def descendants(ancestor: int) -> list[int]:
    """All processes below one."""
    parents = dict(_parents())
    found = [ancestor]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parents() -> Iterator[tuple[int, int]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:  # ended meanwhile
                continue
            yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


def serve(folder: Path) -> None:
    """Start everything, wait for the owner, end everything."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    adopt_orphans()
    try:
        _configure(folder)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        _start_munge(folder / "munge")
        _start([shutil.which("slurmctld"), "-D"], folder / "log" / "controller.out")
        for name in NODES:
            _start_node(folder, name)
        _say_when_ready(folder, NODES)
        for line in sys.stdin:
            _start_node(folder, line.strip())
            _say_when_ready(folder, (line.strip(),))
    finally:
        while left := descendants(os.getpid()):
            for pid in left:
                _send(pid, signal.SIGKILL)
            _reap()
            time.sleep(0.02)
        shutil.rmtree(folder, ignore_errors=True)


def keep_node(folder: Path, name: str) -> None:
    """Be the parent of all that runs on a node."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    adopt_orphans()
    (folder / f"{name}.keeper").write_text(str(os.getpid()))
    _start([shutil.which("slurmd"), "-D", "-N", name], folder / "log" / f"{name}.out")
    while True:
        os.wait()  # the daemon, and what it and jobs left behind


def adopt_orphans() -> None:
    """Processes below this one stay below it when their parents end."""
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)


def _configure(folder: Path) -> None:
    for name in ("state", "log", "spool", "munge"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "munge").chmod(0o711)
    host, user = socket.gethostname().split(".")[0], os.popen("id -un").read().strip()
    ports = free_ports(1 + len(NODES))
    text = CONF.format(folder=folder, host=host, user=user, port=ports[0], max_array=MAX_ARRAY)
    for name, port in zip(NODES, ports[1:], strict=True):
        (folder / "spool" / name).mkdir()
        text += (f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} "
                 f"RealMemory={MEMORY} Gres=gpu:{GPUS} State=UNKNOWN\n")  # fmt: skip
    (folder / "slurm.conf").write_text(text + PARTITIONS)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    for gpu in range(GPUS):
        os.mknod(folder / f"gpu{gpu}", stat.S_IFCHR | 0o600, os.makedev(1, 3))  # what /dev/null is
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={folder}/gpu{gpu}\n" for gpu in range(GPUS)))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _start_munge(folder: Path) -> None:
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = [f"--{what}={folder}/{what.split('-')[0]}" for what in ("socket", "pid-file", "log-file", "seed-file")]
    _start([shutil.which("munged"), "--foreground", f"--key-file={key}", *files, "--num-threads=2"], folder / "out")
    _wait(lambda: subprocess.run(["munge", "-n", "-S", folder / "socket"], capture_output=True).returncode == 0, folder)


def _start_node(folder: Path, name: str) -> None:
    _start([sys.executable, __file__, "node", str(folder), name], folder / "log" / f"{name}.keeper.out")


def _start(command: Sequence[str], output: Path) -> subprocess.Popen:
    with open(output, "ab") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def _say_when_ready(folder: Path, names: Sequence[str]) -> None:
    def ready() -> bool:
        states = subprocess.run(["sinfo", "-hN", "-o", "%N %t", "-p", "main"], capture_output=True, text=True).stdout
        return {f"{name} idle" for name in names} <= set(states.splitlines())

    _wait(ready, folder / "log")
    print("ready", flush=True)


def _wait(condition: object, logs: Path) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        _reap()
        if time.monotonic() > deadline:
            said = [f"{path.name}:\n{path.read_text(errors='replace')[-600:]}" for path in sorted(logs.iterdir())
                    if path.name == "out" or path.suffix in (".out", ".log")]  # fmt: skip
            print("the cluster does not come up", *said, sep="\n", flush=True)
            sys.exit(1)
        time.sleep(0.05)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]))
    else:
        keep_node(Path(sys.argv[2]), sys.argv[3])
