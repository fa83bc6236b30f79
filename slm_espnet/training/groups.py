"""Groups of training examples: which set, task and language each utterance belongs to, and how many were seen."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory

from slm_espnet.data.datadir import iter_data_dir
from slm_espnet.data.table import read_lines
from slm_espnet.errors import UserError
from slm_espnet.files import write_atomically
from slm_espnet.training.data_path import split_path

SEEN = "examples_seen.tsv"
SEEN_HEADER = "epoch\tset\ttask\tlanguage\texamples\tshare\n"
Group = tuple[str, str, str]  # set, task, language (a pair such as en_es where the target is in another one)


def group_name(group: Group) -> str:
    """`<set>/<task>/<language>`."""
    return "/".join(part or "-" for part in group)


def read_groups(paths: Sequence[str], shape_file: str | Path) -> Mapping[str, Group]:
    """Utterance id → group, for the utterances of a shape file, in its order.

    Args:
        paths: `<data_dir>::<encodings_dir>`, one or several in each.
        shape_file: what training is to see; written by stage 3.

    Raises:
        UserError: an unreadable file, or an utterance that no data directory has.
    """
    stamp = Path(shape_file).stat().st_mtime_ns if Path(shape_file).is_file() else 0
    return _read_groups(tuple(paths), str(shape_file), stamp)


@lru_cache(maxsize=2)  # asked for several times at the start of a training
def _read_groups(paths: tuple[str, ...], shape_file: str, stamp: int) -> Mapping[str, Group]:
    if not Path(shape_file).is_file():
        raise UserError(f"{shape_file}: no such file; stage 3 (python -m slm_espnet.bin.stats) writes it")
    groups: dict[str, Group | None] = {line.key: None for line in read_lines(Path(shape_file))}
    directories = [data_dir for path in paths for data_dir, _ in split_path(path)]
    names = Counter(directory.name for directory in directories)
    for directory in directories:
        name = directory.name if names[directory.name] == 1 else str(directory)
        for row in iter_data_dir(directory):
            if row.utt_id in groups:
                groups[row.utt_id] = (name, row.task, row.languages)
    strangers = [utt_id for utt_id, group in groups.items() if group is None]
    if strangers:
        raise UserError(
            f"{len(strangers)} utterance(s) of {shape_file} are not in {', '.join(map(str, directories))}, "
            f"{strangers[0]} for one: the shape file is of other data; run stages 2 and 3 again"
        )
    return {utt_id: group for utt_id, group in groups.items() if group is not None}


class CountedBatches:
    """The batches of one epoch, and how many examples of each group were trained on."""

    def __init__(self, batches: torch.utils.data.DataLoader, groups: Mapping[str, Group]):
        self.batches, self.groups = batches, groups
        self.counts: Counter[Group] = Counter()

    def __iter__(self) -> Iterator[tuple[list[str], dict[str, torch.Tensor]]]:
        return iter(self.batches)

    def count(self, utt_ids: Sequence[str]) -> None:
        """Note that a batch was trained on."""
        self.counts.update(self.groups[utt_id] for utt_id in utt_ids)

    def __len__(self) -> int:
        return len(self.batches)


class CountedIterFactory(AbsIterFactory):
    """Makes the batches of another factory countable."""

    def __init__(self, inner: AbsIterFactory, groups: Mapping[str, Group]):
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
