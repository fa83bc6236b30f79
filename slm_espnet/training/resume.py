"""What a checkpoint holds, so that a training goes on at the very step where it was, with the same result.

Beside what ESPnet saves (trained weights, optimizer, scheduler, results of the epochs) these are the place within the
epoch, the running means of the epoch, the examples seen by group, and the state of all random numbers of each process.
A checkpoint is written between two steps of the optimizer, so there is never a half accumulated gradient to save.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from espnet2.train.reporter import Average, Reporter, SubReporter, WeightedAverage

from slm_espnet.errors import UserError
from slm_espnet.training.saving import DamagedFile, load

CHECKPOINT = "checkpoint.pth"
PREVIOUS = "checkpoint.previous.pth"


@dataclass
class Position:
    """A place within an epoch, between two steps of the optimizer."""

    epoch: int
    batches: int  # of the epoch that were trained on
    of: int  # batches of the epoch
    updated: bool  # whether a step of this epoch has changed the weights
    running: dict[str, Any] | None  # of `running_state`; None: the epoch is trained and is to be validated
    processes: list[dict[str, Any]]  # of each: "random" (see random_state) and "seen" (examples by group)

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        return dict(vars(self))

    @property
    def trained(self) -> bool:
        """Whether only the validation of the epoch is missing."""
        return self.running is None


def read_checkpoint(output_dir: Path) -> tuple[dict[str, Any], Path] | None:
    """The newest checkpoint that is whole, and its path; None where there is none yet.

    Raises:
        UserError: there are some, but none is whole.
    """
    found = [path for path in (output_dir / CHECKPOINT, output_dir / PREVIOUS) if path.exists()]
    for path in found:
        try:
            state = load(path)
        except DamagedFile as error:
            logging.warning(f"{path} is cut or damaged ({error})")
            continue
        if path.name != CHECKPOINT:
            logging.warning(f"going on from the checkpoint before, {path}")
        return state, path
    if found:
        names = " and ".join(map(str, found))
        raise UserError(
            f"{names}: cut or damaged, and there is no whole checkpoint to go on from; remove them to train from the "
            "beginning (--init_param <n>epoch.pth begins with the weights of an epoch)"
        )
    return None


# Random numbers


def random_state(devices: Iterable[torch.device]) -> dict[str, Any]:
    """State of Python's, numpy's and torch's generators, those of CUDA devices included."""
    version, words, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, torch.tensor(words), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), int(place), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": {str(device): torch.cuda.get_rng_state(device) for device in devices if device.type == "cuda"},
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Go on where random_state was."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    for device, values in state["cuda"].items():
        torch.cuda.set_rng_state(values, device)


# Results


def running_state(reporter: SubReporter) -> dict[str, Any]:
    """The values of an epoch that is not at its end."""
    stats = {}
    for name, values in reporter.stats.items():
        weighted = isinstance(values[0], WeightedAverage)
        stats[name] = {
            "values": torch.tensor([value.value for value in values], dtype=torch.float64),
            "weights": torch.tensor([v.weight for v in values], dtype=torch.float64) if weighted else None,
        }
    return {
        "stats": stats,
        "count": reporter.count,
        "total_count": reporter.total_count,
        "seconds": time.perf_counter() - reporter.start_time,
    }


def restore_running(reporter: SubReporter, state: Mapping[str, Any]) -> None:
    """Fill a new reporter of the same epoch."""
    for name, columns in state["stats"].items():
        values, weights = columns["values"].tolist(), columns["weights"]
        if weights is None:
            reporter.stats[name] = [Average(value) for value in values]
        else:
            reporter.stats[name] = [WeightedAverage(*pair) for pair in zip(values, weights.tolist(), strict=True)]
    reporter.count, reporter.total_count = state["count"], state["total_count"]
    reporter.start_time -= state["seconds"]


def results_state(reporter: Reporter) -> dict[str, Any]:
    """ESPnet's results of all epochs in plain values: seconds for times, and no numbers of numpy."""
    stats = {
        epoch: {part: {name: _plain(value) for name, value in values.items()} for part, values in parts.items()}
        for epoch, parts in reporter.stats.items()
    }
    return {"epoch": reporter.epoch, "stats": stats}


def restore_results(reporter: Reporter, state: Mapping[str, Any]) -> None:
    """The inverse; reads ESPnet's own, too."""
    reporter.load_state_dict(dict(state))
    for parts in reporter.stats.values():
        for values in parts.values():
            if "time" in values and not isinstance(values["time"], timedelta):
                values["time"] = timedelta(seconds=values["time"])


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.item() if isinstance(value, np.generic) else value


# Examples seen


def seen_state(counts: Mapping[tuple[str, ...], int]) -> list[list[Any]]:
    """Counts by group as rows."""
    return [[*group, count] for group, count in sorted(counts.items())]


def restore_seen(processes: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, ...]]:
    """The counts of all processes together."""
    total: Counter[tuple[str, ...]] = Counter()
    for process in processes:
        for *group, count in process["seen"]:
            total[tuple(group)] += count
    return total
