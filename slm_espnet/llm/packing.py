"""Where the sequences of a batch lie in the rows that a decoder-only LLM reads, so that little of them is padding.

Several sequences share a row where they fit, end to end; none is seen by another. A row is as long as the longest
sequence, so attention never costs more than with one sequence in each row. Everything here is plain numbers on the
CPU: no GPU is asked for a length.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

LEAST_SAVED = 0.1  # share of the rows that packing must save: sharing rows costs a mask, which plain rows do without


@dataclass(frozen=True)
class Rows:
    """Sequences in rows."""

    row: np.ndarray  # (B,) row of each sequence
    start: np.ndarray  # (B,) where in the row it begins
    count: int  # R, rows
    size: int  # L, positions in each row

    @property
    def shared(self) -> bool:
        """Whether any row has several sequences."""
        return self.count < len(self.row)

    def positions(self, lengths: np.ndarray) -> np.ndarray:
        """(R, L) int64 place of each position within its sequence; padding goes on after the last one of its row."""
        first = np.zeros((self.count, self.size), np.int64)
        first[self.row[lengths > 0], self.start[lengths > 0]] = self.start[lengths > 0]
        return np.arange(self.size) - np.maximum.accumulate(first, axis=1)

    def sequences(self, lengths: np.ndarray) -> np.ndarray:
        """(R, L) int64 how many sequences of its row begin up to each position, from 1; padding goes with the last."""
        first = np.zeros((self.count, self.size), np.int64)
        first[self.row[lengths > 0], self.start[lengths > 0]] = 1
        return first.cumsum(1)

    def flat(self, lengths: np.ndarray, begin: np.ndarray | int = 0) -> np.ndarray:
        """(sum(lengths),) int64 flat indices among (R * L) of positions begin, begin + 1, … of each sequence."""
        return spans(self.row * self.size + self.start + begin, lengths)


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """start, start + 1, … of each of several spans, one after the other: (sum(lengths),) int64."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)


def plain_rows(lengths: Sequence[int]) -> Rows:
    """One sequence in each row."""
    return Rows(np.arange(len(lengths)), np.zeros(len(lengths), np.int64), len(lengths), max(lengths))


def packed_rows(lengths: Sequence[int], least_saved: float = LEAST_SAVED) -> Rows:
    """Best fit, longest first; one sequence in each row where that saves less than a share of the rows."""
    size = max(lengths)
    room: list[tuple[int, int]] = []  # what is left of each row, and its number, in order
    row, start, count = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64), 0
    for number in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        place = bisect.bisect_left(room, (lengths[number], -1))
        if place == len(room):
            room.append((size, count))
            count += 1
        left, row[number] = room.pop(place)
        start[number] = size - left
        bisect.insort(room, (left - lengths[number], int(row[number])))
    if count > (1 - least_saved) * len(lengths):
        return plain_rows(lengths)
    return Rows(row, start, count, size)


def on_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array on a device, which is not waited for."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
