"""Keyword spotting in CTC posteriors: how well, and where, each phrase of a list matches an utterance.

A phrase is a left-to-right CTC automaton (token, optional blank, token, ...) between two word boundaries, with free
start and end; the best path is found by Viterbi over all phrases at once. The score of a frame is its
log-probability minus the frame's maximum, so that a phrase spelled exactly as CTC's best path scores 0; the score of
the path is divided by the square root of the number of tokens so that long and short phrases compare. For lists of
more than a few phrases see `retrieval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slm_espnet.biasing.vocabulary import CTCVocabulary
from slm_espnet.encodings.posteriors import FLOOR, FramePosteriors

IMPOSSIBLE = -1e9  # score of a path that does not exist
CHUNK = 256  # phrases at once, which bounds the memory of long lists


@dataclass(frozen=True)
class Spotted:
    """A phrase's best match in one utterance."""

    phrase: str
    score: float  # at most 0 without a null model; 0 is as CTC's best path
    start: int  # first encoder frame of the phrase, boundaries not included
    stop: int  # the encoder frame where the boundary after the phrase begins


class KeywordSpotter:
    """Finds phrases in posteriors of one encoder."""

    def __init__(self, vocabulary: CTCVocabulary) -> None:
        """Set up for an encoder with this CTC vocabulary."""
        self.vocabulary = vocabulary

    def spot(
        self, posteriors: FramePosteriors, phrases: Sequence[str], offsets: Sequence[float] | None = None
    ) -> list[Spotted]:
        """Best match of each phrase that can be spelled and fits the utterance, in the order of the list.

        Args:
            posteriors: of one utterance, all encoder frames.
            phrases: the list.
            offsets: per phrase what is subtracted from its score, such as a share of its null score.
        """
        scores, starts, stops = self.scores(posteriors, phrases)
        possible = scores > IMPOSSIBLE / 1e3
        if offsets is not None:
            scores = scores - np.asarray(offsets, dtype=np.float64)
        found = [
            Spotted(phrase, float(score), int(start), int(stop))
            for phrase, score, start, stop in zip(phrases, scores, starts, stops, strict=True)
        ]
        return [item for item, fits in zip(found, possible, strict=True) if fits and item.stop > item.start]

    def scores(self, posteriors: FramePosteriors, phrases: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores (P,), starts (P,), stops (P,) in encoder frames; IMPOSSIBLE for phrases without any match.

        Of a phrase that can be spelled in several ways (`CTCVocabulary.spellings`), the best counts.
        """
        scores = np.full(len(phrases), IMPOSSIBLE)
        spans = np.zeros((2, len(phrases)), dtype=np.int64)
        spelled = [(i, ids) for i, phrase in enumerate(phrases) for ids in self.vocabulary.spellings(phrase)]
        if not spelled or not len(posteriors.rows):
            return scores, spans[0], spans[1]
        used, rank = np.unique(np.concatenate([np.array(ids) for _, ids in spelled]), return_inverse=True)
        emissions, boundary, encoder_frames = self.lattice(posteriors, used)
        lengths = np.array([len(ids) for _, ids in spelled])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        for first in range(0, len(spelled), CHUNK):
            part = slice(first, min(first + CHUNK, len(spelled)))
            tokens = np.full((part.stop - first, int(lengths[part].max())), -1)
            for row, begin, length in zip(tokens, offsets[part], lengths[part], strict=True):
                row[:length] = rank[begin : begin + length]
            best, start, stop = _viterbi(emissions, boundary, tokens, lengths[part], self.start_is_free)
            best = np.where(best > IMPOSSIBLE / 1e3, best / np.sqrt(lengths[part]), IMPOSSIBLE)
            worst_first = np.argsort(best, kind="stable")  # so that a phrase's best spelling is written last
            index = np.array([i for i, _ in spelled[part]])[worst_first]
            better = best[worst_first] > scores[index]
            scores[index[better]] = best[worst_first][better]
            spans[:, index[better]] = encoder_frames[np.stack([start, stop])[:, worst_first][:, better]]
        return scores, spans[0], spans[1]

    @property
    def start_is_free(self) -> bool:
        """Whether a phrase may begin without a delimiter before it: its first piece marks the word start by itself."""
        return self.vocabulary.delimiter_id is None

    def lattice(self, posteriors: FramePosteriors, used: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores of the frames, with one blank for each stretch of sure blanks, and an edge on either side.

        Returns:
            Scores (F, 1 + U) of blank and used tokens, scores (F,) of a word boundary, encoder frame (F,) of each.
        """
        best = posteriors.row_best().astype(np.float64)
        rows = posteriors.rows.astype(np.int64)
        gaps = np.diff(rows) > 1
        place = 1 + np.arange(len(rows)) + np.concatenate([[0], np.cumsum(gaps)])  # where each row goes
        total = int(place[-1]) + 2
        emissions = np.full((total, 1 + len(used)), FLOOR)
        emissions[:, 0] = 0.0  # stretches and edges are blank
        emissions[place] = posteriors.row_columns([self.vocabulary.blank_id, *used]) - best[:, None]
        boundary = np.full(total, FLOOR)
        boundary[place] = self._boundary(posteriors) - best
        boundary[[0, -1]] = 0.0  # edges are word boundaries
        encoder_frames = np.zeros(total, dtype=np.int64)
        encoder_frames[place + 1] = rows + 1  # of a stretch, or the edge; where there is none, of the next row
        encoder_frames[place] = rows
        return emissions, boundary, encoder_frames

    def _boundary(self, posteriors: FramePosteriors) -> np.ndarray:
        """Log-probability (N,) that a word ended: of the delimiter, or of the likeliest word-starting piece."""
        if not self.vocabulary.marks_words:
            return posteriors.row_best()
        if self.vocabulary.word_starts is not None:
            return posteriors.row_highest(self.vocabulary.word_starts)
        return posteriors.row_columns([self.vocabulary.delimiter_id])[:, 0]


def _viterbi(
    emissions: np.ndarray, boundary: np.ndarray, tokens: np.ndarray, lengths: np.ndarray, free_start: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best path of each phrase between two boundaries, state by state for all frames at once.

    Args:
        emissions: (F, 1 + U), column 0 is the blank, column 1 + u token u.
        boundary: (F,) score of a word boundary.
        tokens: (P, L) token indices u, -1 padded; lengths: (P,).
        free_start: no boundary is needed before the phrase.

    Returns:
        Scores (P,), first frame of the phrase (P,), frame of the closing boundary (P,).
    """
    count, frames = len(tokens), len(emissions)
    by_token, blanks = np.ascontiguousarray(emissions.T), emissions[:, 0]
    best, start, stop = np.full(count, IMPOSSIBLE), np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    waited = _stay(_later(boundary[None], IMPOSSIBLE), blanks[None])[0]  # a boundary, then blanks
    opened = _later(np.maximum(boundary, waited), IMPOSSIBLE)
    entered = np.zeros((count, frames)) if free_start else np.tile(opened, (count, 1))
    begin = np.tile(np.arange(frames), (count, 1))
    rows = np.arange(count)  # phrases that are not at their end
    for depth in range(tokens.shape[1]):
        token, since = _stay(entered, by_token[tokens[rows, depth] + 1])
        begin_token = np.take_along_axis(begin, since, axis=1)
        blank, since = _stay(_later(token, IMPOSSIBLE), blanks[None])
        begin_blank = np.take_along_axis(_later(begin_token, 0), since, axis=1)
        through_blank = blank > token
        either, begin_either = np.where(through_blank, blank, token), np.where(through_blank, begin_blank, begin_token)
        ended = np.flatnonzero(lengths[rows] == depth + 1)
        closed = _later(either[ended], IMPOSSIBLE) + boundary
        at = closed.argmax(axis=1)
        here = rows[ended]
        best[here], stop[here] = closed[np.arange(len(at)), at], at
        start[here] = begin_either[ended, np.maximum(at - 1, 0)]
        going = np.flatnonzero(lengths[rows] > depth + 1)
        if not len(going):
            break
        # equal tokens need a blank in between
        repeated = (tokens[rows[going], depth] == tokens[rows[going], depth + 1])[:, None]
        entered = _later(np.where(repeated, blank[going], either[going]), IMPOSSIBLE)
        begin = _later(np.where(repeated, begin_blank[going], begin_either[going]), 0)
        rows = rows[going]
    return best, start, stop


def _stay(entered: np.ndarray, emissions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a state that is entered at any frame and stayed in: a[t] = max(a[t - 1], entered[t]) + emissions[t].

    Args:
        entered: (P, F) score of the best path to the state, before its emission at that frame.
        emissions: (P, F), or (1, F) for all.

    Returns:
        Scores (P, F); the frame (P, F) at which the best path entered, the earliest among equals.
    """
    total = np.cumsum(emissions, axis=1)
    gain = entered - (total - emissions)
    running = np.maximum.accumulate(gain, axis=1)
    improved = gain > _later(running, -np.inf)
    since = np.maximum.accumulate(np.where(improved, np.arange(gain.shape[1]), 0), axis=1)
    return running + total, since


def _later(values: np.ndarray, first: float) -> np.ndarray:
    """(P, F) values, each one frame later."""
    moved = np.empty_like(values)
    moved[:, 0], moved[:, 1:] = first, values[:, :-1]
    return moved
