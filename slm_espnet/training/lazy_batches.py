"""A list of batches that holds numbers; ids are made when a batch is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class LazyBatches(Sequence[tuple[str, ...]]):
    """Batches of utterance ids, in any order of them."""

    def __init__(
        self,
        ids: np.ndarray,
        members: np.ndarray,
        bounds: np.ndarray,
        order: np.ndarray | None = None,
        shard: tuple[int, int] = (0, 1),
    ):
        """Set up.

        Args:
            ids: (N,) bytes, of all examples.
            members: (M,) places among the ids, batch after batch.
            bounds: (B + 1,) where batches begin and end among the members.
            order: numbers of the batches that this list has, in its order; None: all.
            shard: rank and number of processes, of whose parts of the batches this is the list.
        """
        self._ids, self._members, self._bounds, self._shard = ids, members, bounds, shard
        self._order = np.arange(len(bounds) - 1) if order is None else order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index):
        """One batch as a tuple of ids, or a part of the list."""
        if isinstance(index, slice):
            return self.chosen(index)
        batch = self._order[index]
        rank, processes = self._shard
        members = self._members[self._bounds[batch] : self._bounds[batch + 1]][rank::processes]
        return tuple(utt_id.decode() for utt_id in self._ids[members])

    def __add__(self, other: LazyBatches) -> LazyBatches:
        """Both lists of the same batches, one after the other."""
        return self.reordered(np.concatenate([self._order, other._order]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == [tuple(batch) for batch in other]

    __hash__ = None

    def reordered(self, order: np.ndarray) -> LazyBatches:
        """The batches of these numbers."""
        return LazyBatches(self._ids, self._members, self._bounds, order, self._shard)

    def chosen(self, places: np.ndarray) -> LazyBatches:
        """The batches at these places of this list."""
        return self.reordered(self._order[places])

    def sizes(self) -> np.ndarray:
        """Examples in each batch, of all processes together."""
        return np.diff(self._bounds)[self._order]
