"""How examples of known lengths are cut into batches: ESPnet's batch types and one of our own, on arrays.

ESPnet's own samplers keep a list of integers for each utterance in a dictionary, some 500 bytes; these keep 4, and make
the same batches (`unsorted`, `sorted`, `folded`, `length` and `numel`; with padding, as the options of a training are).

Ours is `tokens`: batches of at most `batch_bins` positions that the language model reads, padding included. Examples
are sorted by the sum of their lengths in all shape files (speech, target and prompt), and the longest counts for all.
`numel` and `length` sort by speech alone, count the target of one example as if all had it, and go beyond their limit
by one example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slm_espnet.errors import UserError

TOKENS = "tokens"  # our own
KINDS = ("unsorted", "sorted", "folded", "length", "numel", TOKENS)
PROMPTS = "prompt_shape"  # name of stage 3's file of prompt lengths, the last one
NEVER = 1 << 30  # tokens of a prompt: no batch is halved for it
CHUNK = 1 << 20  # lengths at a time as Python's integers


def with_prompts(fold_lengths: Sequence[int], shape_files: Sequence[str]) -> list[int]:
    """Fold lengths of speech and targets, with one for prompts where these have a shape file and no length is given."""
    has_prompts = bool(shape_files) and Path(shape_files[-1]).name == PROMPTS
    return [*fold_lengths, *([NEVER] if has_prompts and len(fold_lengths) == len(shape_files) - 1 else ())]


@dataclass(frozen=True)
class Shaping:
    """ESPnet's options of the same names."""

    batch_type: str = "folded"
    batch_size: int = 20  # utterances: unsorted, sorted, folded
    batch_bins: int = 1_000_000  # length: summed lengths; numel: summed lengths times dimensions; tokens: see above
    fold_lengths: Sequence[int] = ()  # folded: at these lengths a batch is halved, of each shape file
    sort_in_batch: str = "descending"
    sort_batch: str = "descending"
    drop_last: bool = False
    min_batch_size: int = 1  # folded, length, numel, tokens

    def form(self, lengths: Sequence[np.ndarray], dims: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Cut into batches.

        Args:
            lengths: of each shape file (N,).
            dims: of each shape file.

        Returns:
            Places 0, ..., N - 1 in the order of the batches (M,), M < N where the last batch is dropped; and where
            batches begin and end (B + 1,).
        """
        if not len(lengths[0]):
            raise UserError("no examples to make batches of: the shape file is empty; run stage 3 again")
        if self.batch_type not in KINDS:
            raise UserError(f"batch_type {self.batch_type!r} is not known here; choose among {', '.join(KINDS)}")
        for name in ("sort_in_batch", "sort_batch"):
            if getattr(self, name) not in ("ascending", "descending"):
                raise UserError(f"{name} must be ascending or descending, not {getattr(self, name)!r}")
        if self.batch_type in ("unsorted", "sorted"):
            return self._even(lengths[0])
        if self.batch_type == "folded":
            if len(self.fold_lengths) != len(lengths):
                raise UserError(f"batch_type folded needs a fold_length for each of {len(lengths)} shape files")
            order = np.argsort(lengths[0], kind="stable")
            sizes = self._folded(lengths, order)
        elif self.batch_type == TOKENS:
            total = sum(each.astype(np.int64) for each in lengths)
            order = np.argsort(total, kind="stable")
            sizes = self._filled(total[order], over=False)
        else:
            order = np.argsort(lengths[0], kind="stable")
            weights = [1] * len(lengths) if self.batch_type == "length" else dims
            sizes = self._filled(sum(w * n.astype(np.int64)[order] for w, n in zip(weights, lengths, strict=True)))
        return self._arranged(order.astype(np.int32), np.concatenate([[0], np.cumsum(sizes)]))

    def _even(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Batches of one size."""
        count = len(lengths)
        number = max(count // self.batch_size, 1)
        order, reverse = np.arange(count), False
        if self.batch_type == "sorted":
            descending = self.sort_in_batch == "descending"
            order = np.argsort(-lengths if descending else lengths, kind="stable")
            reverse = self.sort_in_batch != self.sort_batch
        starts = np.arange(number + 1) * (min(self.batch_size, count) if self.drop_last else 1)
        if not self.drop_last:
            starts = starts * count // number
        return _reversed_batches(order, starts) if reverse else (order[: starts[-1]], starts)

    def _folded(self, lengths: Sequence[np.ndarray], order: np.ndarray) -> list[int]:
        """As ESPnet 202611: 202511 ignores drop_last, and gives what a small last batch had to other batches."""
        folds = zip(lengths, self.fold_lengths, strict=True)
        factors = np.max([array // fold for array, fold in folds], axis=0)[order]
        most = np.maximum(self.min_batch_size, self.batch_size // (1 + factors))
        sizes, start = [], 0
        while start < len(order):
            size = int(most[start])
            if start + size > len(order):
                if self.drop_last and sizes:
                    break
                size = len(order) - start
            sizes.append(size)
            start += size
        return _without_small_end(sizes, self.min_batch_size)

    def _filled(self, bins: np.ndarray, over: bool = True) -> list[int]:
        """Batches of examples sorted by length; over: with the one that goes beyond batch_bins, as ESPnet's are."""
        sizes, size = [], 0
        limit, least = self.batch_bins, self.min_batch_size
        for begin in range(0, len(bins), CHUNK):
            for weight in bins[begin : begin + CHUNK].tolist():
                if not over and (size + 1) * weight > limit and size >= max(1, least):
                    sizes.append(size)
                    size = 0
                size += 1
                if over and size * weight > limit and size >= least:
                    sizes.append(size)
                    size = 0
        if size and (not self.drop_last or not sizes):
            sizes.append(size)
        return _without_small_end(sizes, least)

    def _arranged(self, order: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From ascending order to the one asked for."""
        order = order[: starts[-1]]
        if self.sort_in_batch == self.sort_batch == "descending":
            return order[::-1], starts[-1] - starts[::-1]
        if self.sort_in_batch == "descending":
            turned, bounds = _reversed_batches(order[::-1], starts[-1] - starts[::-1])
            return turned, bounds
        return (order, starts) if self.sort_batch == "ascending" else _reversed_batches(order, starts)


def _without_small_end(sizes: list[int], least: int) -> list[int]:
    """Examples of a last batch that is smaller than `least` go to the batches before it."""
    if len(sizes) > 1 and sizes[-1] < least:
        for i in range(sizes.pop()):
            sizes[-(i % len(sizes)) - 1] += 1
    return sizes


def _reversed_batches(order: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last batch first; the order within each stays."""
    sizes = np.diff(starts)[::-1]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    shift = np.repeat(starts[:-1][::-1] - bounds[:-1], sizes)
    return order[np.arange(bounds[-1]) + shift], bounds
