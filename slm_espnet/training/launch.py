"""Several processes of one training on this machine: as many as it has GPUs to use, or as tests and CPU clusters ask.

`slm_espnet.bin.train --ngpu 4` is started once on each node and starts one process for each GPU. ESPnet's launcher and
torchrun could do the same, but both end their processes at the first signal and swallow the exit status that says
"stopped in good order"; this one passes signals on and the status back. Where torchrun or something else has set RANK
and WORLD_SIZE, nothing is started here. Importing this loads no torch.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml
from slm_espnet.training.signals import LAUNCHER, SIGNALS, STOPPED

POLL = 0.2  # seconds between looks at the processes
GRACE = 10.0  # seconds that the others have to notice that one has failed


@dataclass(frozen=True)
class LaunchOption:
    """A whole number that says how many processes there are."""

    name: str
    default: int
    help: str


LAUNCH_OPTIONS = (
    LaunchOption("num_nodes", 1, "Nodes; the same command runs on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK"),
    LaunchOption("gpus_per_process", 1, "GPUs of each process, more than 1 where llm_conf.device_map splits the LLM"),
    LaunchOption("num_procs", 1, "Processes on each node without GPUs, for tests and CPU clusters (gloo)"),
)


@dataclass(frozen=True)
class Launch:
    """The processes to start on this node."""

    processes: int  # on this node
    gpus: tuple[tuple[str, ...], ...]  # of each process; empty without GPUs
    num_nodes: int
    node: int  # number of this node, from 0

    def environment(self, local: int) -> dict[str, str]:
        """What one process is told."""
        values = {
            "RANK": self.node * self.processes + local,
            "WORLD_SIZE": self.num_nodes * self.processes,
            "LOCAL_RANK": 0,  # each sees its own GPUs alone
            LAUNCHER: os.getpid(),
            # what this job may use is for all of them; --num_threads, where it is given, is each one's own
            "OMP_NUM_THREADS": max(1, _threads() // self.processes),
        }
        if self.gpus:
            values["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus[local])
        if self.num_nodes == 1 and "GLOO_SOCKET_IFNAME" not in os.environ and Path("/sys/class/net/lo").exists():
            values["GLOO_SOCKET_IFNAME"] = "lo"  # whatever the machine's name resolves to
        return {name: str(value) for name, value in values.items()}


def read_launch(argv: Sequence[str], environment: Mapping[str, str]) -> Launch | None:
    """What a training's command line asks for; None where one process is enough or others are started already.

    Raises:
        UserError: numbers that do not fit, or a node that does not know its place.
    """
    if int(environment.get("WORLD_SIZE", 1)) > 1:
        return None
    values = _read_numbers(argv)
    ngpu, per_process, nodes = values["ngpu"], values["gpus_per_process"], values["num_nodes"]
    if ngpu % per_process:
        raise UserError(f"--ngpu {ngpu} is no multiple of --gpus_per_process {per_process}")
    if ngpu and values["num_procs"] > 1:
        raise UserError("--num_procs is for training without GPUs; with --ngpu there is a process for each GPU")
    processes = ngpu // per_process if ngpu else values["num_procs"]
    if processes * nodes == 1:
        return None
    gpus: tuple[tuple[str, ...], ...] = ()
    if ngpu:
        visible = environment.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(ngpu)))).split(",")
        if len(visible) < ngpu:
            raise UserError(f"--ngpu {ngpu}, but CUDA_VISIBLE_DEVICES names only {','.join(visible)}")
        gpus = tuple(tuple(visible[n * per_process : (n + 1) * per_process]) for n in range(processes))
    return Launch(processes, gpus, nodes, _node(nodes, environment))


def check_device_map(llm_conf: Mapping[str, Any], ngpu: int, gpus_per_process: int, visible: int) -> None:
    """Refuse an LLM dealt out to other GPUs than this process's own.

    Args:
        llm_conf: of the training.
        ngpu: 0 where the adapter is on the CPU.
        gpus_per_process: how many of them are this process's.
        visible: GPUs that this process sees, which is what a device_map deals out to.

    Raises:
        UserError: the map would take GPUs of other processes or jobs, or there is none to deal out to them.
    """
    device_map, limits = llm_conf.get("device_map"), llm_conf.get("max_memory")
    if device_map is None:
        if ngpu and gpus_per_process > 1:
            raise UserError(
                f"--gpus_per_process {gpus_per_process} needs llm_conf: {{device_map: auto}}; without it only one "
                "GPU of each process works, and the others do nothing"
            )
        return
    if not ngpu and visible:
        raise UserError(
            f"llm_conf: device_map {device_map} puts the LLM on GPUs, but --ngpu 0 trains on the CPU; give --ngpu and "
            "--gpus_per_process, or leave device_map out"
        )
    own = set(range(gpus_per_process))
    if ngpu and visible > gpus_per_process and (limits is None or not set(limits) <= own):
        raise UserError(
            f"llm_conf: device_map {device_map} would deal the LLM out to all {visible} GPUs that this process sees, "
            f"but only {gpus_per_process} (--gpus_per_process) are its own: name the GPUs of each process in "
            "CUDA_VISIBLE_DEVICES (slm_espnet.bin.train does for several processes, torchrun does not)"
        )


def run(launch: Launch, argv: Sequence[str]) -> int:
    """Start the processes, pass signals on to them, wait; returns the exit status of them together.

    STOPPED where they stopped in good order. Where one fails the others are ended, for they would wait for it for ever.
    """
    with tempfile.TemporaryDirectory(prefix="slm_train_") as folder:
        meeting = ["--dist_init_method", f"file://{folder}/meeting"] if launch.num_nodes == 1 else []
        backend = [] if launch.gpus else ["--dist_backend", "gloo"]
        more = ["--ngpu", str(int(bool(launch.gpus))), *backend, *meeting]
        command = [sys.executable, "-m", "slm_espnet.bin.train", *argv, *more]
        processes: list[subprocess.Popen] = []
        passed: set[int] = set()

        def pass_on(number: int, _frame: object) -> None:
            passed.add(number)
            for process in processes:
                if process.poll() is None:
                    process.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in SIGNALS}
        try:
            for local in range(launch.processes):
                environment = {**os.environ, **launch.environment(local)}
                processes.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))
                for number in passed:  # what came before it was there
                    processes[-1].send_signal(number)
            return _wait(processes, passed)
        finally:
            for process in processes:
                process.kill()
                process.wait()
            for number, handler in before.items():
                signal.signal(number, handler)


def _wait(processes: Sequence[subprocess.Popen], passed: set[int]) -> int:
    """Until all have ended, or one has failed and the others have had their time to notice.

    `passed` are the signals that were passed on: what they end before it can answer has stopped in good order, too.
    """
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.returncode not in (None, 0, STOPPED) for process in processes):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            break
        time.sleep(POLL)
    ended = [process.returncode for process in processes if process.returncode is not None]
    statuses = [STOPPED if -status in passed else status for status in ended]
    failed = [status for status in statuses if status not in (0, STOPPED)]
    if failed:
        own = [status for status in failed if status == 2]  # a message for the user; the others lost their partner
        status = (own or failed)[0]
        return status if status > 0 else 128 - status
    return STOPPED if STOPPED in statuses else 0


def _threads() -> int:
    """CPU threads that this job may use: OMP_NUM_THREADS, as launchers set it, or else one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() else len(os.sched_getaffinity(0))


def _read_numbers(argv: Sequence[str]) -> dict[str, int]:
    """ngpu and LAUNCH_OPTIONS of the command line, or else of its --config."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--config", type=Path)
    numbers = [("ngpu", 0, 0), *((option.name, option.default, 1) for option in LAUNCH_OPTIONS)]
    for name, _, _ in numbers:
        parser.add_argument(f"--{name}")
    given = vars(parser.parse_known_args(argv)[0])
    config = {} if given["config"] is None else read_yaml(given["config"], "the configuration of the training")
    values = {}
    for name, default, least in numbers:
        value = given[name] if given[name] is not None else (config or {}).get(name, default)
        try:
            values[name] = int(value)
        except (TypeError, ValueError):
            values[name] = least - 1
        if values[name] < least:
            raise UserError(f"--{name} takes a whole number from {least}, not {value!r}")
    return values


def _node(num_nodes: int, environment: Mapping[str, str]) -> int:
    """Number of this node: NODE_RANK, or Slurm's, of a task that runs once on each node."""
    if num_nodes == 1:
        return 0
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
    node = environment.get("NODE_RANK", environment.get("SLURM_PROCID"))
    if missing or node is None:
        missing += ["NODE_RANK"] if node is None else []
        raise UserError(
            f"--num_nodes {num_nodes} needs {', '.join(missing)} in the environment: start it through a scheduler's "
            "backend (cmd.sh), or set them and start the same command on every node"
        )
    if not node.isdigit() or int(node) >= num_nodes:
        raise UserError(f"--num_nodes {num_nodes}, but this node is number {node} (from 0)")
    return int(node)
