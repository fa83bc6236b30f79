"""Word and character error rates by jiwer's alignment, kept by utterance so that sums and resamples are cheap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

# Columns of per-utterance counts.
COUNTS = ("reference", "correct", "substituted", "deleted", "inserted", "sentence")
REFERENCE, CORRECT, SUBSTITUTED, DELETED, INSERTED, SENTENCE = range(len(COUNTS))
# An edit: (reference unit or None, hypothesis unit or None); equal units where they agree.
Edit = tuple[str | None, str | None]


@dataclass(frozen=True)
class ErrorRate:
    """Totals in the terms of ESPnet's table; percentages of the reference's words (or characters)."""

    sentences: int
    reference: int
    correct: float
    substituted: float
    deleted: float
    inserted: float
    error: float
    sentence_error: float

    def cells(self) -> str:
        """Cells Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err of the table."""
        shares = (self.correct, self.substituted, self.deleted, self.inserted, self.error, self.sentence_error)
        return "|".join([str(self.sentences), str(self.reference), *(f"{share:.1f}" for share in shares)])


def align(references: Sequence[str], hypotheses: Sequence[str], unit: str = "word") -> list[list[Edit]]:
    """Minimum edit alignment of each pair.

    Args:
        references, hypotheses: normalized text, of equal number; empty text is allowed on both sides.
        unit: "word" or "character" (spaces count as characters).
    """
    split = str.split if unit == "word" else list
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    edits: list[list[Edit]] = [[] for _ in references]
    spoken = [i for i, reference in enumerate(references) if reference]  # jiwer refuses empty references
    for i in set(range(len(references))) - set(spoken):
        edits[i] = [(None, item) for item in split(hypotheses[i])]
    if not spoken:
        return edits
    output = process([references[i] for i in spoken], [hypotheses[i] for i in spoken])
    for i, ref, hyp, chunks in zip(spoken, output.references, output.hypotheses, output.alignments, strict=True):
        for chunk in chunks:
            left = ref[chunk.ref_start_idx : chunk.ref_end_idx] or [None] * (chunk.hyp_end_idx - chunk.hyp_start_idx)
            right = hyp[chunk.hyp_start_idx : chunk.hyp_end_idx] or [None] * len(left)
            edits[i].extend(zip(left, right, strict=True))
    return edits


def count_edits(edits: Sequence[Sequence[Edit]]) -> np.ndarray:
    """Counts (N, 6) int64 of N aligned utterances; the columns are COUNTS."""
    counts = np.zeros((len(edits), len(COUNTS)), dtype=np.int64)
    for row, utterance in zip(counts, edits, strict=True):
        for reference, hypothesis in utterance:
            if reference is None:
                row[INSERTED] += 1
            else:
                row[REFERENCE] += 1
                row[CORRECT if reference == hypothesis else DELETED if hypothesis is None else SUBSTITUTED] += 1
        row[SENTENCE] = int(row[SUBSTITUTED] + row[DELETED] + row[INSERTED] > 0)
    return counts


def errors_and_reference(counts: np.ndarray) -> np.ndarray:
    """Counts (N, 6) → (N, 2): errors, reference length. The error rate is the ratio of their sums."""
    return np.stack([counts[:, SUBSTITUTED] + counts[:, DELETED] + counts[:, INSERTED], counts[:, REFERENCE]], axis=1)


def percent(sums: np.ndarray) -> np.ndarray:
    """Error rate in percent of summed (..., 2) errors and reference length; NaN where there is nothing to recognize."""
    sums = np.asarray(sums, dtype=np.float64)
    return np.divide(100 * sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] > 0)


def summarize(counts: np.ndarray) -> ErrorRate:
    """Totals over utterances. With no reference words at all the shares are 0, or 100 if something was inserted."""
    total = counts.sum(axis=0)
    sentence_error = 100 * float(total[SENTENCE]) / max(1, len(counts))
    if total[REFERENCE] == 0:
        inserted = 100.0 * bool(total[INSERTED])
        return ErrorRate(len(counts), 0, 0.0, 0.0, 0.0, inserted, inserted, sentence_error)
    correct, substituted, deleted, inserted = (
        100 * float(total[column]) / float(total[REFERENCE]) for column in (CORRECT, SUBSTITUTED, DELETED, INSERTED)
    )
    error = substituted + deleted + inserted
    return ErrorRate(
        len(counts), int(total[REFERENCE]), correct, substituted, deleted, inserted, error, sentence_error
    )
