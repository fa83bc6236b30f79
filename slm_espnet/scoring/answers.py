"""Scores of short answers: exact match and the F1 of answer tokens (as in SQuAD, arXiv 1606.05250, section 6.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def exact_match(references: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """(N,) 1.0 where the normalized texts are equal."""
    return np.array([float(r == h) for r, h in zip(references, hypotheses, strict=True)], dtype=np.float64)


def token_f1(reference: str, hypothesis: str) -> float:
    """Harmonic mean of precision and recall over the bags of words; 1 when both are empty."""
    left, right = Counter(reference.split()), Counter(hypothesis.split())
    common = sum((left & right).values())
    if not left and not right:
        return 1.0
    return 2 * common / (left.total() + right.total())


def token_f1_scores(references: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """(N,) token F1 of each pair."""
    return np.array([token_f1(r, h) for r, h in zip(references, hypotheses, strict=True)], dtype=np.float64)
