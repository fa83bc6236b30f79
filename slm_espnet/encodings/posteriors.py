"""CTC posteriors of every encoder frame in few bytes.

Whatever the length reduction keeps, phrase spotting searches all frames of the encoder. Most of V probabilities of a
frame say nothing, and some frames say nothing at all, so a frame is one of two things:

    a row          its likeliest tokens, best first: those of at least LEAST probability, TOP_K at most
    a sure blank   nothing is stored where the blank has more than SURE_BLANK probability

A token that is not stored is given back with probability LEAST, the most that it can have in a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

TOP_K = 32  # most tokens of a row
LEAST = 1e-6  # least probability of a stored token; larger ones lose names that are spotted
SURE_BLANK = 0.999  # a blank that is likelier has no row
FLOOR = math.log(LEAST)


def id_dtype(vocabulary_size: int) -> np.dtype:
    """The narrowest unsigned integer that holds every token id."""
    return np.min_scalar_type(max(vocabulary_size - 1, 0))


@dataclass(frozen=True, eq=False)
class FramePosteriors:
    """CTC log-probabilities of one utterance: T encoder frames, V tokens, of which N rows list M probabilities."""

    frames: int  # T
    vocabulary_size: int  # V
    blank_id: int
    rows: np.ndarray  # (N,) int32 increasing: the frames that are no sure blank
    counts: np.ndarray  # (N,) uint8: tokens of each row, at least 1
    ids: np.ndarray  # (M,) unsigned: the rows' tokens, row after row, best first
    log_probs: np.ndarray  # (M,) float16

    @classmethod
    def from_best(cls, ids: np.ndarray, log_probs: np.ndarray, vocabulary_size: int, blank_id: int) -> FramePosteriors:
        """Keep what is worth storing.

        Args:
            ids: (T, k) the tokens of the k = min(V, TOP_K) highest log-probabilities of each frame, best first.
            log_probs: (T, k) float32, those log-probabilities.
            vocabulary_size: V.
            blank_id: the blank's id.
        """
        sure = (ids[:, 0] == blank_id) & (log_probs[:, 0] > math.log(SURE_BLANK))
        listed = log_probs >= FLOOR
        listed[:, 0] = True
        listed &= ~sure[:, None]
        return cls(
            frames=len(ids),
            vocabulary_size=vocabulary_size,
            blank_id=blank_id,
            rows=np.flatnonzero(~sure).astype(np.int32),
            counts=listed.sum(axis=1)[~sure].astype(np.uint8),
            ids=ids[listed].astype(id_dtype(vocabulary_size)),
            log_probs=log_probs[listed].astype(np.float16),
        )

    @classmethod
    def from_dense(cls, log_probs: np.ndarray, blank_id: int) -> FramePosteriors:
        """The same from all log-probabilities (T, V)."""
        size = log_probs.shape[1]
        ids = np.argsort(-log_probs, axis=1, kind="stable")[:, : min(size, TOP_K)]
        return cls.from_best(ids, np.take_along_axis(log_probs, ids, axis=1), size, blank_id)

    def dense(self) -> np.ndarray:
        """(T, V) float32 log-probabilities; large where V is, see `columns`."""
        return self.columns(np.arange(self.vocabulary_size))

    def columns(self, token_ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(T, U) float32 log-probabilities of U different tokens at all frames."""
        token_ids = np.asarray(token_ids, dtype=np.int64)
        found = np.full((self.frames, len(token_ids)), FLOOR, dtype=np.float32)
        found[:, token_ids == self.blank_id] = 0.0  # sure blanks; rows follow
        found[self.rows] = self.row_columns(token_ids)
        return found

    def row_columns(self, token_ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """(N, U) float32 log-probabilities of U different tokens at the frames that are no sure blank."""
        token_ids = np.asarray(token_ids, dtype=np.int64)
        column_of = np.full(self.vocabulary_size, len(token_ids))  # the last column is thrown away
        column_of[token_ids] = np.arange(len(token_ids))
        found = np.repeat(self.row_floors[:, None], len(token_ids) + 1, axis=1)
        found[self._row_of_entry, column_of[self.ids]] = self.log_probs
        return found[:, :-1]

    def row_best(self) -> np.ndarray:
        """(N,) float32 highest log-probability of each row."""
        return self.log_probs[self._begins].astype(np.float32)

    def row_highest(self, wanted: np.ndarray) -> np.ndarray:
        """(N,) float32 highest log-probability among the tokens that `wanted` (V,) bool marks."""
        if not len(self.rows):
            return self.row_floors
        listed = np.where(wanted[self.ids], self.log_probs, np.float16(-np.inf)).astype(np.float32)
        return np.maximum(np.maximum.reduceat(listed, self._begins), self.row_floors)

    def best(self) -> np.ndarray:
        """(T,) int64 best token of every frame."""
        found = np.full(self.frames, self.blank_id, dtype=np.int64)
        found[self.rows] = self.ids[self._begins]
        return found

    @cached_property
    def row_floors(self) -> np.ndarray:
        """(N,) float32 log-probability of a token that a row does not list: LEAST, or more where TOP_K cut the row off:
        an equal share of the probability that is left, at most what the last listed token has."""
        floors = np.full(len(self.rows), FLOOR, dtype=np.float32)
        cut_off = np.flatnonzero((self.counts == TOP_K) & (self.vocabulary_size > TOP_K))
        if len(cut_off):
            entries = (self._begins[cut_off, None] + np.arange(TOP_K)).ravel()
            listed = self.log_probs[entries].reshape(-1, TOP_K).astype(np.float64)
            left = np.clip(1.0 - np.exp(listed).sum(axis=1), LEAST, None)
            share = np.log(left / (self.vocabulary_size - TOP_K))
            floors[cut_off] = np.clip(np.minimum(share, listed[:, -1]), FLOOR, None)
        return floors

    @cached_property
    def _begins(self) -> np.ndarray:
        """(N,) where each row's tokens begin."""
        ends = np.cumsum(self.counts, dtype=np.int64)
        return ends - self.counts

    @cached_property
    def _row_of_entry(self) -> np.ndarray:
        """(M,) the row of each stored token."""
        return np.repeat(np.arange(len(self.rows)), self.counts)
