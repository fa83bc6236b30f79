"""How well the phrases of a biasing list came through: spoken, recognized, or written without being spoken."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

# Columns of name_counts.
NAME_COUNTS = ("spoken", "recalled", "inserted")


def contains(text: str, phrase: str) -> bool:
    """Whether a phrase occurs in a text as whole words."""
    return f" {phrase} " in f" {text} "


def found_in(text: str, phrases: Collection[str]) -> set[str]:
    """The phrases that occur in a text as whole words; quick for thousands of phrases."""
    words = text.split()
    longest = max((phrase.count(" ") + 1 for phrase in phrases), default=0)
    runs = {
        " ".join(words[start:stop])
        for start in range(len(words))
        for stop in range(start + 1, min(start + longest, len(words)) + 1)
    }
    return runs.intersection(phrases)


def name_counts(references: Sequence[str], hypotheses: Sequence[str], lists: Sequence[Sequence[str]]) -> np.ndarray:
    """Counts (N, 3) int64 with the columns NAME_COUNTS.

    Args:
        references, hypotheses: normalized texts.
        lists: per utterance, the normalized phrases that were offered.
    """
    counts = np.zeros((len(references), len(NAME_COUNTS)), dtype=np.int64)
    for row, reference, hypothesis, phrases in zip(counts, references, hypotheses, lists, strict=True):
        spoken, found = found_in(reference, phrases), found_in(hypothesis, phrases)
        row[:] = len(spoken), len(spoken & found), len(found - spoken)
    return counts


def spoken_words(reference: str, phrases: Sequence[str]) -> frozenset[str]:
    """Words of the listed phrases that are spoken: errors on these are biased ones."""
    return frozenset(word for phrase in found_in(reference, phrases) for word in phrase.split())


def recall(sums: np.ndarray) -> np.ndarray:
    """Share of spoken phrases that were recognized, of summed counts (..., 3); NaN where none was spoken."""
    sums = np.asarray(sums, dtype=np.float64)
    return np.divide(sums[..., 1], sums[..., 0], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 0] > 0)
