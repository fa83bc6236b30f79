"""The training curve of an experiment: training_curve.tsv, or where there is none the `results:` lines of train.log."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.training.curve import CURVE

LOG, SEEN = "train.log", "examples_seen.tsv"
RESULT = re.compile(r"\b(\d+)epoch results: (\[.*)")
PART = re.compile(r"\[(\w+)\] ([^\[]*)")
NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|inf|nan)"
VALUE = re.compile(rf"(\w+)=({NUMBER})(?=, |$)")
NOT_DRAWN = ("time", "total_count")


@dataclass(frozen=True)
class Curve:
    """Averages by epoch."""

    points: dict[tuple[str, str], dict[int, float]]  # (train | valid, name) → epoch → value
    origin: str  # the file that they were read from; "" where there is none

    def epochs(self) -> int:
        """The last epoch; 0 where nothing is known."""
        return max((epoch for values in self.points.values() for epoch in values), default=0)

    def line(self, part: str, name: str) -> tuple[list[int], list[float]]:
        """Epochs and values, in order; empty where it was not reported."""
        values = sorted(self.points.get((part, name), {}).items())
        return [epoch for epoch, _ in values], [value for _, value in values]


def read_curve(model_dir: Path) -> Curve:
    """The curve of a training; empty where it left neither table nor log. Damaged lines are skipped."""
    points: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for name, parse in ((CURVE, _table), (LOG, _log)):
        path = model_dir / name
        if not path.is_file():
            continue
        for epoch, part, key, value in parse(path.read_text(encoding="utf-8", errors="replace")):
            if math.isfinite(value) and key not in NOT_DRAWN:
                points[part, key][epoch] = value
        if points:
            return Curve(dict(points), name)
    return Curve({}, "")


def _table(text: str) -> list[tuple[int, str, str, float]]:
    found = []
    for line in text.splitlines()[1:]:
        columns = line.split("\t")
        if len(columns) == 4 and columns[0].isdigit() and re.fullmatch(NUMBER, columns[3]):
            found.append((int(columns[0]), columns[1], columns[2], float(columns[3])))
    return found


def _log(text: str) -> list[tuple[int, str, str, float]]:
    found = []
    for epoch, results in RESULT.findall(text):
        for part, values in PART.findall(results):
            found += [(int(epoch), part, key, float(value)) for key, value in VALUE.findall(values.rstrip(", "))]
    return found


def read_seen(model_dir: Path) -> list[dict[str, str | int]]:
    """Examples that the whole training saw by set, task and language; empty where it did not count them."""
    path = model_dir / SEEN
    totals: dict[tuple[str, ...], int] = defaultdict(int)
    for line in path.read_text(encoding="utf-8").splitlines()[1:] if path.is_file() else []:
        columns = line.split("\t")
        if len(columns) >= 5 and columns[4].isdigit():
            totals[tuple(columns[1:4])] += int(columns[4])
    return [dict(zip(("set", "task", "language"), key, strict=True)) | {"examples": n} for key, n in totals.items()]
