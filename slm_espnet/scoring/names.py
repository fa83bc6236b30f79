"""How well the phrases of a biasing list came through: recall, false insertions, and WER inside and outside the list.

B-WER counts errors on reference words that belong to the utterance's list plus inserted list words; U-WER the rest
(Le et al., arXiv 2104.02194, section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slm_espnet.scoring.error_rate import Edit

# Columns of name_counts.
NAME_COUNTS = ("spoken", "recalled", "inserted", "biased errors", "biased words", "other errors", "other words")


def contains(text: str, phrase: str) -> bool:
    """Whether a phrase occurs in a text as whole words."""
    return f" {phrase} " in f" {text} "


def name_counts(
    references: Sequence[str],
    hypotheses: Sequence[str],
    lists: Sequence[Sequence[str]],
    edits: Sequence[Sequence[Edit]],
) -> np.ndarray:
    """Counts (N, 7) int64 with the columns NAME_COUNTS.

    Args:
        references, hypotheses: normalized texts.
        lists: per utterance, the normalized phrases that were offered.
        edits: word alignments of the same pairs.
    """
    counts = np.zeros((len(references), len(NAME_COUNTS)), dtype=np.int64)
    for row, reference, hypothesis, phrases, pairs in zip(counts, references, hypotheses, lists, edits, strict=True):
        unique = {phrase for phrase in phrases if phrase}
        spoken = {phrase for phrase in unique if contains(reference, phrase)}
        found = {phrase for phrase in unique if contains(hypothesis, phrase)}
        row[:3] = len(spoken), len(spoken & found), len(found - spoken)
        words = {word for phrase in unique for word in phrase.split()}
        for left, right in pairs:
            column = 3 if (right if left is None else left) in words else 5
            row[column] += left != right
            row[column + 1] += left is not None
    return counts


def recall(sums: np.ndarray) -> np.ndarray:
    """Share of spoken phrases that were recognized, of summed counts (..., 7); NaN where none was spoken."""
    sums = np.asarray(sums, dtype=np.float64)
    return np.divide(sums[..., 1], sums[..., 0], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 0] > 0)
