"""Parts of an epoch's batches: what is left of it after some, and one process's share of it."""

from __future__ import annotations

import functools
import itertools
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from espnet2.iterators.abs_iter_factory import AbsIterFactory
from torch.utils.data import DataLoader

from slm_espnet.training.groups import CountedBatches
from slm_espnet.training.signals import SIGNALS


def remaining(batches: Any, done: int = 0) -> Iterable[Any]:
    """The batches after the first `done`; those are not loaded where the list of batches is known beforehand."""
    loader = batches.batches if isinstance(batches, CountedBatches) else batches
    if not isinstance(loader, DataLoader) or not isinstance(loader.batch_sampler, Sequence):
        return itertools.islice(iter(batches), done, None)
    if done:
        loader = part(loader, loader.batch_sampler[done:])
    if loader.num_workers:
        loader.worker_init_fn = functools.partial(_begin_worker, loader.worker_init_fn)
    return loader


def _begin_worker(begin: Callable[[int], None] | None, number: int) -> None:
    """Go on loading when the whole group of processes is asked to stop: the training needs its next batch until then.

    A worker that a signal ends takes the training down with it.
    """
    for signal_number in SIGNALS:
        signal.signal(signal_number, signal.SIG_IGN)
    if begin is not None:
        begin(number)


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
