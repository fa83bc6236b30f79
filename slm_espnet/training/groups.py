"""Groups of training examples: which set, task and language each utterance belongs to, and how many were seen."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory

from slm_espnet.data.row_table import RowTable
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically
from slm_espnet.training.data_path import split_path
from slm_espnet.training.shapes import Shapes

SEEN = "examples_seen.tsv"
SEEN_HEADER = "epoch\tset\ttask\tlanguage\texamples\tshare\n"
CHUNK = 1_000_000  # utterances at a time
Group = tuple[str, str, str]  # set, task, language (a pair such as en_es where the target is in another one)


def group_name(group: Group) -> str:
    """`<set>/<task>/<language>`."""
    return "/".join(part or "-" for part in group)


def open_rows(directory: Path) -> RowTable:
    """The rows of a data directory; opened once in a process, as long as its files are the same."""
    return _opened(directory, state_of(sorted(directory.iterdir())) if directory.is_dir() else ())


@lru_cache(maxsize=8)  # asked for several times at the start of a training
def _opened(directory: Path, _state: tuple) -> RowTable:
    return RowTable(directory)


def state_of(paths: Sequence[str | Path]) -> tuple:
    """What tells that files are the same ones as a moment ago, in this process."""
    found = [(str(path), os.stat(path)) for path in paths if Path(path).is_file()]
    return tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in found)


class Groups:
    """The group of each example of a training."""

    def __init__(self, codes: np.ndarray, names: Sequence[Group], tables: Mapping[str, RowTable]):
        """Set up.

        Args:
            codes: (N,) number of each example's group, in the order of the shape file.
            names: the groups, sorted.
            tables: rows by the name of their set.
        """
        self.codes, self.names, self._tables = codes, tuple(names), tables

    def of(self, utt_ids: Sequence[str]) -> list[Group]:
        """Groups of some examples; KeyError for one that is in no set."""
        found: list[Group | None] = [None] * len(utt_ids)
        for name, table in self._tables.items():
            rows = table.find(utt_ids)
            places = np.flatnonzero(rows >= 0)
            numbers, pairs = table.groups(rows[places])
            for place, number in zip(places.tolist(), numbers.tolist(), strict=True):
                found[place] = (name, *pairs[number])
        if None in found:
            raise KeyError(utt_ids[found.index(None)])
        return found


def read_groups(paths: Sequence[str], shapes: Shapes, shape_file: str | Path) -> Groups:
    """Groups of the utterances of a shape file, in its order; remembered while shapes and tables are the same ones.

    Args:
        paths: `<data_dir>::<encodings_dir>`, one or several in each.
        shapes: what training is to see.
        shape_file: its name, for the message.

    Raises:
        UserError: an unreadable file, or an utterance that no data directory has.
    """
    directories = [data_dir for path in paths for data_dir, _ in split_path(path)]
    known = _remembered.get("groups")
    tables = [open_rows(directory) for directory in directories]
    if known is None or known[0] is not shapes or known[1] != tables:
        _remembered["groups"] = (shapes, tables, _groups(directories, tables, shapes, shape_file))
    return _remembered["groups"][2]


_remembered: dict[str, tuple[Shapes, list[RowTable], Groups]] = {}


def _groups(directories: list[Path], opened: list[RowTable], shapes: Shapes, shape_file: str | Path) -> Groups:
    counts = Counter(directory.name for directory in directories)
    codes = np.full(len(shapes), -1, np.int32)
    names: dict[Group, int] = {}
    tables = {}
    for directory, table in zip(directories, opened, strict=True):
        name = directory.name if counts[directory.name] == 1 else str(directory)
        tables[name] = table
        for begin in range(0, len(shapes), CHUNK):
            rows = table.find(shapes.ids[begin : begin + CHUNK])
            places = np.flatnonzero(rows >= 0)
            numbers, pairs = table.groups(rows[places])
            known = np.array([names.setdefault((name, *pair), len(names)) for pair in pairs], np.int32)
            codes[begin + places] = known[numbers] if len(places) else 0
        table.release()
    strangers = np.flatnonzero(codes < 0)
    if len(strangers):
        raise UserError(
            f"{len(strangers)} utterance(s) of {shape_file} are not in {', '.join(map(str, directories))}, "
            f"{shapes.ids[strangers[0]].decode()} for one: the shape file is of other data; run stages 2 and 3 again"
        )
    ordered = sorted(names)
    place = np.zeros(len(names), np.int32)
    for name, number in names.items():
        place[number] = ordered.index(name)
    return Groups(place[codes], ordered, tables)


class CountedBatches:
    """The batches of one epoch, and how many examples of each group were trained on."""

    def __init__(self, batches: torch.utils.data.DataLoader, groups: Groups):
        self.batches, self.groups = batches, groups
        self.counts: Counter[Group] = Counter()

    def __iter__(self) -> Iterator[tuple[list[str], dict[str, torch.Tensor]]]:
        return iter(self.batches)

    def count(self, utt_ids: Sequence[str]) -> None:
        """Note that a batch was trained on."""
        self.counts.update(self.groups.of(utt_ids))

    def __len__(self) -> int:
        return len(self.batches)


class CountedIterFactory(AbsIterFactory):
    """Makes the batches of another factory countable."""

    def __init__(self, inner: AbsIterFactory, groups: Groups):
        self.inner, self.groups = inner, groups

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> CountedBatches:
        """One epoch."""
        return CountedBatches(self.inner.build_iter(epoch, shuffle), self.groups)


def report_seen(counts: Mapping[Group, int], epoch: int, output_dir: Path) -> None:
    """Log one epoch's examples by group, and keep them in examples_seen.tsv; an epoch done again replaces its lines."""
    total = max(1, sum(counts.values()))
    ordered = sorted(counts.items())
    logging.info(
        "epoch %d: examples seen: %s",
        epoch,
        ", ".join(f"{group_name(group)} {count} ({100 * count / total:.1f} %)" for group, count in ordered),
    )
    path = output_dir / SEEN
    kept = []
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        kept = [line for line in lines if int(line.partition("\t")[0]) < epoch]
    added = ["\t".join([str(epoch), *group, str(count), f"{count / total:.4f}"]) + "\n" for group, count in ordered]
    write_atomically(path, "".join([SEEN_HEADER, *kept, *added]))
