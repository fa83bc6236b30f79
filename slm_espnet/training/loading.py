"""Parts of an epoch's batches: what is left of it after some, and one process's share of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from espnet2.iterators.abs_iter_factory import AbsIterFactory
from torch.utils.data import DataLoader

from slm_espnet.training.groups import CountedBatches


def remaining(batches: Any, done: int) -> Iterable[Any]:
    """The batches after the first `done`; those are not loaded where the list of batches is known beforehand."""
    if not done:
        return batches
    loader = batches.batches if isinstance(batches, CountedBatches) else batches
    if isinstance(loader, DataLoader) and isinstance(loader.batch_sampler, list):
        return part(loader, loader.batch_sampler[done:])
    return itertools.islice(iter(batches), done, None)


def part(loader: DataLoader, batches: Sequence[Sequence[str]]) -> DataLoader:
    """The same loader with other batches."""
    return DataLoader(
        dataset=loader.dataset,
        batch_sampler=batches,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        worker_init_fn=loader.worker_init_fn,
        collate_fn=loader.collate_fn,
    )


class SharedIterFactory(AbsIterFactory):
    """Whole batches dealt out to processes: the first to the first, and so on.

    For validation: batches, and so what is measured on them, are the same for any number of processes.
    """

    def __init__(self, inner: AbsIterFactory, rank: int, size: int):
        self.inner, self.rank, self.size = inner, rank, size

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> DataLoader:
        """One process's share of an epoch."""
        loader = self.inner.build_iter(epoch, shuffle)
        return part(loader, loader.batch_sampler[self.rank :: self.size])
