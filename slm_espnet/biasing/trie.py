"""Search of many phrases at once in CTC posteriors: a prefix tree of their tokens, and Viterbi over all its nodes.

Phrases that begin alike share their first nodes. A node has two CTC states, its token and the blank after it; one step
updates both states of all nodes by a handful of array operations, so that the time is proportional to frames x nodes
and thousands of phrases take milliseconds. The scores equal those of a search phrase by phrase (keyword_spotting);
which frames a phrase spans is left to that, for the few that matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IMPOSSIBLE = np.float32(-1e9)  # score of a path that does not exist


@dataclass(frozen=True)
class PhraseTrie:
    """A prefix tree over token sequences. Node 0 is the root, before the first token; parents precede children."""

    columns: np.ndarray  # (N,) intp: 1 + index of the node's token in `used`; 0 at the root
    parents: np.ndarray  # (N,) intp: the root is its own parent
    repeats: np.ndarray  # (R,) intp: nodes whose token is that of their parent, which need a blank in between
    ends: np.ndarray  # (P,) intp: node at which each sequence ends
    lengths: np.ndarray  # (P,) int64: tokens of each sequence
    used: np.ndarray  # (U,) int64: the token ids that occur, increasing

    @classmethod
    def build(cls, sequences: Sequence[Sequence[int]]) -> PhraseTrie:
        """Build the tree of P sequences of token ids, none of them empty.

        Sequences are sorted as rows of a matrix; a row begins a new node wherever its prefix differs from that of the
        row above.
        """
        lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        if not len(lengths) or lengths.min() == 0:
            raise ValueError("a tree needs at least one sequence, and no empty ones")
        flat = np.concatenate([np.asarray(sequence, dtype=np.int64) for sequence in sequences])
        used, ranks = np.unique(flat, return_inverse=True)
        tokens = np.full((len(sequences), int(lengths.max())), -1, dtype=np.int64)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = ranks
        order = np.lexsort(tokens.T[::-1])
        rows = tokens[order]
        new = np.ones(rows.shape, dtype=bool)
        new[1:] = np.logical_or.accumulate(rows[1:] != rows[:-1], axis=1)
        new &= rows >= 0
        # numbered depth by depth, so that parents come first and neighbours in memory are neighbours in the tree
        numbers = 1 + np.cumsum(new.T).reshape(rows.shape[1], -1).T - 1
        before = np.concatenate([np.zeros((len(rows), 1), dtype=np.int64), numbers[:, :-1]], axis=1)
        row, depth = np.nonzero(new)
        by_number = np.argsort(numbers[row, depth])
        row, depth = row[by_number], depth[by_number]
        columns = np.concatenate([[0], rows[row, depth] + 1])
        parents = np.concatenate([[0], before[row, depth]])
        ends = np.empty(len(rows), dtype=np.intp)
        ends[order] = numbers[np.arange(len(rows)), lengths[order] - 1]
        repeats = 1 + np.flatnonzero(columns[1:] == columns[parents[1:]])
        return cls(columns.astype(np.intp), parents.astype(np.intp), repeats, ends, lengths, used)

    def search(self, emissions: np.ndarray, boundary: np.ndarray, free_start: bool = False) -> np.ndarray:
        """Score (P,) float32 of each sequence's best path between two word boundaries, divided by sqrt(its tokens);
        NaN where there is none.

        Args:
            emissions: (F, 1 + U) scores of the blank and of the tokens `used`, in this order.
            boundary: (F,) score of a word boundary.
            free_start: a sequence may begin without a boundary before it.
        """
        by_frame = np.ascontiguousarray(emissions, dtype=np.float32)
        nodes = len(self.columns)
        token, blank, best_of_two = (np.full(nodes, IMPOSSIBLE) for _ in range(3))
        entered, emitted = np.empty(nodes, dtype=np.float32), np.empty(nodes, dtype=np.float32)
        ended, best = np.empty(len(self.ends), dtype=np.float32), np.full(len(self.ends), IMPOSSIBLE)
        before_repeats = self.parents[self.repeats]
        opened = IMPOSSIBLE  # the root's score: a boundary, then blanks, up to the frame before
        for scores, closing in zip(by_frame, boundary.astype(np.float32), strict=True):
            best_of_two.take(self.ends, out=ended, mode="clip")
            ended += closing
            np.maximum(best, ended, out=best)
            best_of_two[0] = blank[0] = np.float32(0.0) if free_start else opened
            best_of_two.take(self.parents, out=entered, mode="clip")
            entered[self.repeats] = blank[before_repeats]
            np.maximum(token, entered, out=token)
            scores.take(self.columns, out=emitted, mode="clip")
            token += emitted
            token[0] = IMPOSSIBLE
            np.add(best_of_two, scores[0], out=blank)
            np.maximum(token, blank, out=best_of_two)
            opened = max(closing, opened + scores[0])
        return np.where(best > IMPOSSIBLE / 2, best / np.sqrt(self.lengths, dtype=np.float32), np.float32(np.nan))
