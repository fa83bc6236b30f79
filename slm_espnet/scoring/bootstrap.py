"""Standard errors by resampling utterances with replacement (Bisani & Ney 2004); the same resamples for every system.

Utterances are taken as independent; with few speakers the true uncertainty is larger than what is reported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

REPLICATES = 300
SEED = 0


def resampled_sums(statistics: np.ndarray, replicates: int = REPLICATES) -> np.ndarray:
    """Sums (R, S) of per-utterance statistics (N, S) over R resamples; equal N gives equal resamples."""
    rng = np.random.default_rng(SEED)
    n = len(statistics)
    sums = np.empty((replicates, statistics.shape[1]), dtype=np.float64)
    for row in sums:  # one resample at a time: memory stays linear in N
        row[:] = np.bincount(rng.integers(n, size=n), minlength=n) @ statistics
    return sums


def replicate_values(statistics: np.ndarray, value: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The metric (R,) on each resample, where value maps summed statistics (..., S) to (...,)."""
    return np.asarray(value(resampled_sums(statistics)), dtype=np.float64)


def deviation(values: np.ndarray) -> float | None:
    """Standard deviation of replicates; None when fewer than two are defined."""
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else None
