"""The selection threshold of biasing, chosen on development data: best F1 of names found, or lowest WER with them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slm_espnet.biasing.context import CANDIDATES
from slm_espnet.biasing.retrieval import CTCRetriever
from slm_espnet.biasing.select import ctc_text_with_phrases, select
from slm_espnet.encodings.posteriors import FramePosteriors
from slm_espnet.scoring.error_rate import align, count_edits, errors_and_reference
from slm_espnet.scoring.names import found_in
from slm_espnet.scoring.normalizers import normalize_basic

EDGE = 1.0  # how far beyond the lowest and highest score the extreme thresholds lie


@dataclass(frozen=True)
class DevUtterance:
    """One utterance of the development data."""

    posteriors: FramePosteriors
    reference: str  # what was said
    phrases: tuple[str, ...]  # the list it was offered


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold gives on the development data."""

    threshold: float
    precision: float  # of the phrases placed, the share that was spoken; 1 when none is placed
    recall: float  # of the listed phrases that were spoken, the share that was placed; 1 when none was spoken
    f1: float
    wer: float  # percent, of the CTC greedy text with the phrases in place

    def goodness(self, criterion: str) -> float:
        """A criterion (`name_f1` or `wer`) with its sign such that more is better."""
        return self.f1 if criterion == "name_f1" else -self.wer


@dataclass(frozen=True)
class _Choices:
    """Per utterance, what each number of placed phrases (best first) would give."""

    scores: list[float]  # of the phrases in the order in which a falling threshold admits them
    hits: list[bool]  # whether each was spoken
    errors: list[int]  # word errors with the first 0, 1, ... of them placed
    words: int  # in the reference
    spoken: int  # listed phrases that were spoken


def sweep(retriever: CTCRetriever, utterances: Sequence[DevUtterance], max_phrases: int) -> list[OperatingPoint]:
    """Operating points at every threshold that makes a difference, from the highest down."""
    choices = [_choices(retriever, utterance, max_phrases) for utterance in utterances]
    order = sorted({score for choice in choices for score in choice.scores}, reverse=True)
    between = [(a + b) / 2 for a, b in zip(order, order[1:], strict=False)]
    thresholds = [order[0] + EDGE, *between, order[-1] - EDGE] if order else [0.0]
    placed = np.zeros(len(thresholds), dtype=np.int64)
    hits, errors = placed.copy(), np.full(len(thresholds), sum(choice.errors[0] for choice in choices))
    descending = -np.array(thresholds)
    for choice in choices:
        for number, (score, hit) in enumerate(zip(choice.scores, choice.hits, strict=True)):
            admitted = slice(int(np.searchsorted(descending, -score)), None)
            placed[admitted] += 1
            hits[admitted] += hit
            errors[admitted] += choice.errors[number + 1] - choice.errors[number]
    spoken, words = sum(choice.spoken for choice in choices), sum(choice.words for choice in choices)
    return [
        OperatingPoint(
            threshold=threshold,
            precision=hit / count if count else 1.0,
            recall=hit / spoken if spoken else 1.0,
            f1=2 * hit / (count + spoken) if count + spoken else 1.0,
            wer=100 * error / max(1, words),
        )
        for threshold, count, hit, error in zip(
            thresholds, placed.tolist(), hits.tolist(), errors.tolist(), strict=True
        )
    ]


def choose(points: Sequence[OperatingPoint], criterion: str) -> OperatingPoint:
    """The best point; where several neighbours are equally good, the middle one, which is the safest."""
    best = max(point.goodness(criterion) for point in points)
    good = [i for i, point in enumerate(points) if point.goodness(criterion) == best]
    runs: list[list[int]] = []
    for i in good:
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    longest = max(runs, key=len)
    return points[longest[len(longest) // 2]]


def by_list_size(utterances: Sequence[DevUtterance]) -> dict[int, list[DevUtterance]]:
    """Median size of a group's lists → the utterances whose lists are about as long: a group spans a factor of two."""
    groups: dict[int, list[DevUtterance]] = defaultdict(list)
    for utterance in utterances:
        groups[round(math.log2(len(set(utterance.phrases))))].append(utterance)
    sizes = {key: int(np.median([len(set(item.phrases)) for item in group])) for key, group in groups.items()}
    return {sizes[key]: groups[key] for key in sorted(groups)}


def _choices(retriever: CTCRetriever, utterance: DevUtterance, max_phrases: int) -> _Choices:
    vocabulary = retriever.spotter.vocabulary
    reference = normalize_basic(utterance.reference)
    phrases = list(dict.fromkeys(utterance.phrases))
    spotted = retriever.retrieve(utterance.posteriors, phrases, CANDIDATES)
    best_first = sorted(select(spotted, -np.inf, max_phrases), key=lambda s: -s.score)
    texts = [
        normalize_basic(
            ctc_text_with_phrases(
                vocabulary,
                utterance.posteriors,
                sorted(best_first[:number], key=lambda s: s.start),
            )
        )
        for number in range(len(best_first) + 1)
    ]
    counts = errors_and_reference(count_edits(align([reference] * len(texts), texts)))
    spoken = found_in(reference, {normalize_basic(phrase) for phrase in phrases})
    return _Choices(
        scores=[item.score for item in best_first],
        hits=[normalize_basic(item.phrase) in spoken for item in best_first],
        errors=counts[:, 0].tolist(),
        words=int(counts[0, 1]),
        spoken=len(spoken),
    )
