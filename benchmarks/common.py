"""What benchmarks share: ways of doing the same thing timed in turns, medians and ratios, and what they ran on."""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Timing:
    """One way's times."""

    seconds: tuple[float, ...]  # of every repetition

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        if len(self.seconds) < 2:
            return 0.0
        quartiles = statistics.quantiles(self.seconds, n=4)
        return (quartiles[2] - quartiles[0]) / 2 / self.median


def in_turns(
    ways: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, Timing]:
    """Time each way `repeats` times, all ways once before any comes again, so that a busy machine troubles all alike.

    Args:
        ways: name → what is timed; each runs once more before, to warm up.
        repeats: at least 5 for a median that means something.
        clock: see `clock_of`.
    """
    for run in ways.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def clock_of(device: str) -> Callable[[], float]:
    """What times a device: CPU time of the process, which others on the machine disturb least; of a GPU, wall time."""
    if device == "cpu":
        return time.process_time
    from floors import synchronize

    def wall() -> float:
        synchronize(device)
        return time.perf_counter()

    return wall


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Options that benchmarks of models share."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default cpu)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="Of the frozen models; default: the pair's")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="Repetitions of each way (default 5)")


def hardware() -> str:
    """Processor, threads, versions and commit, in one line."""
    import torch
    import transformers

    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=TOP, text=True, capture_output=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU thread(s)"
    return (
        f"{model}, {device}, torch {torch.__version__}, transformers {transformers.__version__}, commit "
        f"{commit.stdout.strip() or 'unknown'}"
    )


def peak_memory() -> str:
    """The most memory that the process has held."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
