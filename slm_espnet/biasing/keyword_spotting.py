"""Keyword spotting in CTC posteriors: how well, and where, each phrase of a list matches an utterance.

A phrase is a left-to-right CTC automaton (token, optional blank, token, ...) between two word boundaries, with free
start and end; the best path is found by Viterbi over all phrases at once. The score of a frame is its
log-probability minus the frame's maximum, so that a phrase spelled exactly as CTC's best path scores 0; the score of
the path is divided by the square root of the number of tokens so that long and short phrases compare. A null model, the
mean score of a phrase where it is not spoken, may be subtracted in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slm_espnet.biasing.vocabulary import CTCVocabulary

IMPOSSIBLE = -1e9  # score of a path that does not exist
FLOOR = -20.0  # lowest log-probability, so that one odd frame cannot rule a phrase out
CHUNK = 4096  # phrases at once, which bounds the memory of long lists


@dataclass(frozen=True)
class Posteriors:
    """CTC log-probabilities of one utterance at the kept frames, the k best tokens of each."""

    ids: np.ndarray  # (K, k) int
    log_probs: np.ndarray  # (K, k) float
    positions: np.ndarray  # (K,) int, increasing: the encoder frame of each kept frame


@dataclass(frozen=True)
class Spotted:
    """A phrase's best match in one utterance."""

    phrase: str
    score: float  # at most 0 without a null model; 0 is as CTC's best path
    start: int  # first kept frame of the phrase, boundaries not included
    stop: int  # the kept frame where the boundary after the phrase begins


class KeywordSpotter:
    """Finds phrases in posteriors of one encoder."""

    def __init__(self, vocabulary: CTCVocabulary, frame_step: int = 1, null_weight: float = 0.5) -> None:
        """Set up for one encoder and one length reduction.

        Args:
            vocabulary: the encoder's CTC tokens.
            frame_step: encoder frames per kept frame where none was dropped (k for `stack`, else 1); a larger distance
                between kept frames means that the frames between them were blank.
            null_weight: share of a phrase's null score that is subtracted, where null scores are given.
        """
        self.vocabulary = vocabulary
        self.frame_step = frame_step
        self.null_weight = null_weight

    def spot(
        self, posteriors: Posteriors, phrases: Sequence[str], null: Sequence[float] | None = None
    ) -> list[Spotted]:
        """Best match of each phrase that can be spelled and fits the utterance, in the order of the list.

        Args:
            posteriors: one utterance.
            phrases: the list.
            null: per phrase the score of the null model (see null_scores), NaN where there is none.
        """
        scores, starts, stops = self.scores(posteriors, phrases)
        if null is not None:
            offset = np.asarray(null, dtype=np.float64)
            scores = np.where(np.isnan(offset), scores, scores - self.null_weight * offset)
        found = [
            Spotted(phrase, float(score), int(start), int(stop))
            for phrase, score, start, stop in zip(phrases, scores, starts, stops, strict=True)
        ]
        return [item for item in found if item.score > IMPOSSIBLE / 1e3 and item.stop > item.start]

    def null_scores(self, background: Sequence[Posteriors], phrases: Sequence[str]) -> np.ndarray:
        """Mean score (P,) of each phrase over utterances that do not contain it; NaN where there is none."""
        scores = np.stack([self.scores(posteriors, phrases)[0] for posteriors in background])
        scores[scores <= IMPOSSIBLE / 1e3] = np.nan
        counts = np.isfinite(scores).sum(axis=0)
        return np.divide(np.nansum(scores, axis=0), counts, out=np.full(len(phrases), np.nan), where=counts > 0)

    def scores(self, posteriors: Posteriors, phrases: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores (P,), starts (P,), stops (P,) in kept frames; IMPOSSIBLE for phrases without any match."""
        scores = np.full(len(phrases), IMPOSSIBLE)
        spans = np.zeros((2, len(phrases)), dtype=np.int64)
        spelled = [(i, ids) for i, ids in enumerate(map(self.vocabulary.phrase_ids, phrases)) if ids]
        if not spelled or not len(posteriors.ids):
            return scores, spans[0], spans[1]
        used, rank = np.unique(np.concatenate([np.array(ids) for _, ids in spelled]), return_inverse=True)
        emissions, boundary, kept_before = self._frames(posteriors, used)
        lengths = np.array([len(ids) for _, ids in spelled])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        for first in range(0, len(spelled), CHUNK):
            part = slice(first, min(first + CHUNK, len(spelled)))
            tokens = np.full((part.stop - first, int(lengths[part].max())), -1)
            for row, begin, length in zip(tokens, offsets[part], lengths[part], strict=True):
                row[:length] = rank[begin : begin + length]
            best, start, stop = _viterbi(emissions, boundary, tokens, lengths[part], self._start_is_free)
            index = [i for i, _ in spelled[part]]
            scores[index] = np.where(best > IMPOSSIBLE / 1e3, best / np.sqrt(lengths[part]), IMPOSSIBLE)
            spans[:, index] = kept_before[np.stack([start, stop])]
        return scores, spans[0], spans[1]

    @property
    def _start_is_free(self) -> bool:
        """Whether a phrase may begin without a delimiter before it: its first piece marks the word start by itself."""
        return self.vocabulary.delimiter_id is None

    def _frames(self, posteriors: Posteriors, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frame scores with the dropped blanks put back, one for each gap, and an edge on either side.

        Returns:
            Scores (F, 1 + U) of blank and used tokens, scores (F,) of a word boundary, kept frames (F,) before each.
        """
        log_probs = np.maximum(posteriors.log_probs.astype(np.float64), FLOOR)
        ids, count = posteriors.ids.astype(np.int64), len(log_probs)
        best, floor = log_probs.max(axis=1), _floor(log_probs, len(self.vocabulary.tokens))
        column_of = np.full(len(self.vocabulary.tokens), 1 + len(used))  # the last column is thrown away
        column_of[used], column_of[self.vocabulary.blank_id] = 1 + np.arange(len(used)), 0
        dense = np.tile(floor[:, None], (1, 2 + len(used)))
        np.put_along_axis(dense, column_of[ids], log_probs, axis=1)
        dense = dense[:, :-1] - best[:, None]
        ends = self._boundary(ids, log_probs, floor) - best
        gaps = np.diff(posteriors.positions.astype(np.int64)) > self.frame_step
        place = 1 + np.arange(count) + np.concatenate([[0], np.cumsum(gaps)])  # where each kept frame goes
        total = int(place[-1]) + 2
        emissions = np.full((total, dense.shape[1]), FLOOR)
        emissions[:, 0] = 0.0  # gaps and edges are blank
        emissions[place] = dense
        boundary = np.full(total, FLOOR)
        boundary[place] = ends
        boundary[[0, -1]] = 0.0  # edges are word boundaries
        kept = np.zeros(total, dtype=np.int64)
        kept[place] = 1
        return emissions, boundary, np.cumsum(kept) - kept

    def _boundary(self, ids: np.ndarray, log_probs: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Log-probability (K,) that a word ended: of the delimiter, or of the likeliest word-starting piece."""
        if not self.vocabulary.marks_words:
            return log_probs.max(axis=1)
        starts = self.vocabulary.word_starts
        listed = ids == self.vocabulary.delimiter_id if starts is None else starts[ids]
        return np.maximum(np.where(listed, log_probs, IMPOSSIBLE).max(axis=1), floor)


def _floor(log_probs: np.ndarray, tokens: int) -> np.ndarray:
    """Log-probability (K,) of an unlisted token: the mass left over, shared equally, at most the last listed one's."""
    unlisted = max(1, tokens - log_probs.shape[1])
    left = np.clip(1.0 - np.exp(log_probs).sum(axis=1), 1e-12, None)
    return np.clip(np.minimum(np.log(left / unlisted), log_probs.min(axis=1)), FLOOR, None)


def _viterbi(
    emissions: np.ndarray, boundary: np.ndarray, tokens: np.ndarray, lengths: np.ndarray, free_start: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best path of each phrase between two boundaries.

    Args:
        emissions: (F, 1 + U), column 0 is the blank, column 1 + u token u.
        boundary: (F,) score of a word boundary.
        tokens: (P, L) token indices u, -1 padded; lengths: (P,).
        free_start: no boundary is needed before the phrase.

    Returns:
        Scores (P,), first frame of the phrase (P,), frame of the closing boundary (P,).
    """
    count, longest = tokens.shape
    rows = np.arange(count)
    states = np.zeros((count, 2 * longest), dtype=np.int64)  # token, blank, token, blank, ...
    states[:, ::2] = tokens + 1
    skip = np.zeros(states.shape, dtype=bool)  # a token may follow another without a blank unless they are equal
    skip[:, 2::2] = tokens[:, 1:] != tokens[:, :-1]
    last = 2 * lengths - 2  # state of the last token
    alpha = np.full(states.shape, IMPOSSIBLE)
    begin = np.zeros(states.shape, dtype=np.int64)
    best, start, stop = np.full(count, IMPOSSIBLE), np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    opened = IMPOSSIBLE  # best score of: a boundary, then blanks, up to the frame before
    for frame in range(len(emissions)):
        end_state = last + (alpha[rows, last + 1] > alpha[rows, last])
        closed = alpha[rows, end_state] + boundary[frame]
        better = closed > best
        best[better], start[better], stop[better] = closed[better], begin[rows, end_state][better], frame
        entered = np.full((count, 1), 0.0 if free_start else opened)
        one = np.concatenate([entered, alpha[:, :-1]], axis=1)
        begin_one = np.concatenate([np.full((count, 1), frame), begin[:, :-1]], axis=1)
        two = np.where(skip, np.concatenate([np.full((count, 2), IMPOSSIBLE), alpha[:, :-2]], axis=1), IMPOSSIBLE)
        begin_two = np.concatenate([np.zeros((count, 2), dtype=np.int64), begin[:, :-2]], axis=1)
        choice = np.stack([alpha, one, two]).argmax(axis=0)
        begin = np.choose(choice, [begin, begin_one, begin_two])
        alpha = np.choose(choice, [alpha, one, two]) + emissions[frame][states]
        opened = max(boundary[frame], opened + emissions[frame, 0])
    return best, start, stop
