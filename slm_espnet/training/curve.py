"""The training curve as a table beside the adapter: every average of every epoch, in full precision. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from slm_espnet.files import write_atomically

CURVE = "training_curve.tsv"
HEADER = "epoch\tpart\tname\tvalue\n"


def write_curve(output_dir: Path, epoch: int, part: str, averages: Mapping[str, float]) -> None:
    """Add one part (train or valid) of an epoch to training_curve.tsv; what is done again replaces its lines.

    Lines of later epochs go, too: they are of a training that was cut short and is done again from here.
    """
    path = output_dir / CURVE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:] if path.is_file() else []
    kept = []
    for line in lines:
        columns = line.split("\t")
        if int(columns[0]) < epoch or (int(columns[0]) == epoch and columns[1] != part):
            kept.append(line)
    added = [f"{epoch}\t{part}\t{name}\t{value!r}\n" for name, value in averages.items() if math.isfinite(value)]
    write_atomically(path, "".join([HEADER, *kept, *added]))
