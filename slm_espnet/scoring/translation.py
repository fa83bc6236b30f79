"""Translation scores: corpus BLEU and chrF by sacrebleu, with the signatures that make them reproducible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

NGRAM_ORDER = 4


def corpus_bleu(references: Sequence[str], hypotheses: Sequence[str], tokenize: str = "13a") -> tuple[float, str]:
    """BLEU in 0..100 and sacrebleu's signature."""
    metric = BLEU(tokenize=tokenize)
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return float(score), str(metric.get_signature())


def corpus_chrf(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[float, str]:
    """chrF in 0..100 and sacrebleu's signature."""
    metric = CHRF()
    score = metric.corpus_score(list(hypotheses), [list(references)]).score
    return float(score), str(metric.get_signature())


def bleu_statistics(references: Sequence[str], hypotheses: Sequence[str], tokenize: str = "13a") -> np.ndarray:
    """(N, 10): matched n-grams of order 1..4, n-grams of order 1..4, hypothesis length, reference length."""
    metric = BLEU(tokenize=tokenize, effective_order=True)
    rows = np.zeros((len(references), 2 * NGRAM_ORDER + 2), dtype=np.int64)
    for row, reference, hypothesis in zip(rows, references, hypotheses, strict=True):
        score = metric.sentence_score(hypothesis, [reference])
        row[:] = [*score.counts, *score.totals, score.sys_len, score.ref_len]
    return rows


def bleu_of_sums(sums: np.ndarray) -> np.ndarray:
    """BLEU (...,) of summed statistics (..., 10)."""
    flat = np.asarray(sums).reshape(-1, 2 * NGRAM_ORDER + 2).astype(int).tolist()
    scores = [
        BLEU.compute_bleu(row[:NGRAM_ORDER], row[NGRAM_ORDER:-2], row[-2], row[-1], smooth_method="exp").score
        for row in flat
    ]
    return np.array(scores, dtype=np.float64).reshape(np.asarray(sums).shape[:-1])
