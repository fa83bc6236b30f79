"""Error rate by the length of the utterance, for recognition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slm_espnet.report.examples import Group
from slm_espnet.scoring.bootstrap import deviation, replicate_values
from slm_espnet.scoring.error_rate import percent

MOST_BINS = 6
SMALLEST_BIN = 12  # utterances, on average; fewer say nothing


@dataclass(frozen=True)
class LengthBin:
    """Utterances of similar length."""

    shortest: int  # words (or characters) of the reference
    longest: int
    count: int  # utterances
    words: int  # words of all references
    rates: dict[str, float]  # system → error rate in percent
    error: float | None  # bootstrap standard error of the trained model's


def by_length(group: Group) -> list[LengthBin]:
    """Bins of about equally many utterances; utterances of equal length are never torn apart.

    A set that is too small for two bins is one bin; utterances without any reference word are left out.
    """
    length = group.counts[:, 1]
    spoken = np.flatnonzero(length > 0)
    if not len(spoken):
        return []
    bins = int(np.clip(len(spoken) // SMALLEST_BIN, 1, MOST_BINS))
    quantiles = np.quantile(length[spoken], np.arange(1, bins) / bins, method="lower")
    edges = np.unique(quantiles)
    of_bin = np.searchsorted(edges, length[spoken], side="left")
    return [_bin(group, spoken[of_bin == number]) for number in np.unique(of_bin)]


def _bin(group: Group, where: np.ndarray) -> LengthBin:
    counts = {"slm": group.counts[where]} | {name: found[where] for name, found in group.other_counts.items()}
    rates = {name: float(percent(found.sum(axis=0))) for name, found in counts.items()}
    error = deviation(replicate_values(counts["slm"], percent)) if len(where) > 1 else None
    length = group.counts[where, 1]
    return LengthBin(int(length.min()), int(length.max()), len(where), int(length.sum()), rates, error)
