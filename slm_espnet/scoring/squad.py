"""Scores of answers to questions as SQuAD's official script gives them: exact match and F1, best over all answers.

Rajpurkar et al., arXiv 1606.05250, section 6.1. Its normalization differs from ours (articles go, punctuation is
removed rather than made a blank), so texts are compared in that one, whatever the task's own normalizer is.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def answer_f1(answer: str, hypothesis: str) -> float:
    """F1 of the bags of words of two normalized texts; 0 where they share none, also when both are empty."""
    left, right = answer.split(), hypothesis.split()
    common = (Counter(left) & Counter(right)).total()
    return 2 * common / (len(left) + len(right)) if common else 0.0


def answer_scores(answers: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> np.ndarray:
    """(N, 2) exact match and F1 of each hypothesis, in 0..1, with the answer that suits it best.

    Args:
        answers: for each question all right answers, at least one.
        hypotheses: in the same order; a missing one is an empty text.
    """
    scores = np.zeros((len(hypotheses), 2))
    for number, (right, hypothesis) in enumerate(zip(answers, hypotheses, strict=True)):
        said = normalize_answer(hypothesis)
        forms = {normalize_answer(answer) for answer in right}
        scores[number] = float(said in forms), max(answer_f1(form, said) for form in forms)
    return scores
