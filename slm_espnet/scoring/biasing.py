"""Error rates of contextual biasing: all words, words of the spoken listed phrases (B), and the rest (U).

The benchmark of Le et al. (arXiv 2104.02194, is21_deep_bias): an error on a reference word is B where the word belongs
to a listed phrase that is spoken, else U; an inserted word likewise by the word itself. Words are aligned by least cost
where a substitution costs 4 and an insertion or deletion 3, as NIST's sclite does, so that two substitutions give way
to an insertion, a match and a deletion; among equal costs the path from the end prefers pairs, then insertions.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slm_espnet.errors import UserError
from slm_espnet.scoring.error_rate import Edit

SUBSTITUTION, INDEL = 4, 3  # costs
WORDS, SUBSTITUTED, DELETED, INSERTED = range(4)  # columns of counts


@dataclass(frozen=True)
class Reference:
    """One utterance of the benchmark."""

    text: str  # what was said
    biased: tuple[str, ...]  # its rare words, whose errors are B
    listed: tuple[str, ...] = ()  # the whole list that is offered, distractors included


def align_by_cost(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Edit]:
    """Least-cost alignment of two word sequences, in reading order."""
    if list(reference) == list(hypothesis):
        return list(zip(reference, hypothesis, strict=True))
    rows, columns = len(reference), len(hypothesis)
    costs = [[INDEL * column for column in range(columns + 1)]]
    for row, left in enumerate(reference, start=1):
        above, current = costs[-1], [INDEL * row]
        for column, right in enumerate(hypothesis, start=1):
            pair = above[column - 1] + (0 if left == right else SUBSTITUTION)
            current.append(min(pair, current[-1] + INDEL, above[column] + INDEL))
        costs.append(current)
    edits: list[Edit] = []
    row, column = rows, columns
    while row or column:
        left, right = reference[row - 1] if row else None, hypothesis[column - 1] if column else None
        here = costs[row][column]
        if row and column and here == costs[row - 1][column - 1] + (0 if left == right else SUBSTITUTION):
            edits.append((left, right))
            row, column = row - 1, column - 1
        elif column and here == costs[row][column - 1] + INDEL:
            edits.append((None, right))
            column -= 1
        else:
            edits.append((left, None))
            row -= 1
    return edits[::-1]


def biased_counts(
    references: Sequence[str], hypotheses: Sequence[str], biased: Sequence[Collection[str]]
) -> np.ndarray:
    """Counts (N, 2, 4) int64 of N utterances: unbiased and biased words, and of each kind words, substituted, deleted,
    inserted.

    Args:
        references, hypotheses: normalized texts.
        biased: per utterance, the words whose errors are B.
    """
    counts = np.zeros((len(references), 2, 4), dtype=np.int64)
    for row, reference, hypothesis, words in zip(counts, references, hypotheses, biased, strict=True):
        for left, right in align_by_cost(reference.split(), hypothesis.split()):
            kind = row[int((right if left is None else left) in words)]
            kind[WORDS] += left is not None
            if left is None:
                kind[INSERTED] += 1
            elif left != right:
                kind[DELETED if right is None else SUBSTITUTED] += 1
    return counts


def errors_and_words(counts: np.ndarray) -> np.ndarray:
    """Counts (..., 4) → (..., 2): errors, words. The error rate is the ratio of their sums."""
    errors = counts[..., SUBSTITUTED] + counts[..., DELETED] + counts[..., INSERTED]
    return np.stack([errors, counts[..., WORDS]], axis=-1)


@dataclass(frozen=True)
class BiasedErrorRate:
    """Totals of one kind of words."""

    words: int  # in the references
    substituted: int
    deleted: int
    inserted: int

    @property
    def percent(self) -> float:
        """Errors in percent of the reference words; NaN where there are none."""
        errors = self.substituted + self.deleted + self.inserted
        return 100 * errors / self.words if self.words else float("nan")


def error_rates(counts: np.ndarray) -> dict[str, BiasedErrorRate]:
    """WER, U-WER and B-WER of counts (N, 2, 4)."""
    unbiased, biased = counts.sum(axis=0)
    kinds = {"WER": unbiased + biased, "U-WER": unbiased, "B-WER": biased}
    return {name: BiasedErrorRate(*map(int, total)) for name, total in kinds.items()}


def read_references(path: str | Path) -> dict[str, Reference]:
    """Utterance id → reference, of a TSV file: id, text, JSON list of rare words, and optionally JSON list of all.

    Raises:
        UserError: unreadable, or a line has other columns, bad JSON or an id for the second time; names file and line.
    """
    references: dict[str, Reference] = {}
    for where, line in _lines(path):
        columns = line.split("\t")
        if len(columns) not in (3, 4):
            raise UserError(f"{where}: {len(columns)} columns; expected id, text, rare words, and optionally all words")
        if columns[0] in references:
            raise UserError(f"{where}: utterance {columns[0]} occurs twice; keep one of the lines")
        lists = [_words(where, column) for column in columns[2:]]
        references[columns[0]] = Reference(columns[1], *lists)
    if not references:
        raise UserError(f"{path}: no references in it")
    return references


def read_hypotheses(path: str | Path, separator: str = "\t") -> dict[str, str]:
    """Utterance id → text, of a file with `<id><separator><text>` lines; a text may be missing. Errors as above."""
    hypotheses: dict[str, str] = {}
    for where, line in _lines(path):
        utt_id, _, text = line.partition(separator)
        if "\t" in text or not utt_id.strip():
            raise UserError(f"{where}: expected an id, {separator!r} and a text without tabs, found {line[:60]!r}")
        if utt_id in hypotheses:
            raise UserError(f"{where}: utterance {utt_id} occurs twice; keep one of the lines")
        hypotheses[utt_id] = text
    return hypotheses


def score(references: Mapping[str, Reference], hypotheses: Mapping[str, str]) -> dict[str, BiasedErrorRate]:
    """WER, U-WER and B-WER of the utterances that both have."""
    ids = [utt_id for utt_id in references if utt_id in hypotheses]
    chosen = [references[utt_id] for utt_id in ids]
    texts = [hypotheses[utt_id] for utt_id in ids]
    return error_rates(biased_counts([r.text for r in chosen], texts, [frozenset(r.biased) for r in chosen]))


def _lines(path: str | Path) -> Iterator[tuple[str, str]]:
    """Place and content of each line that is not empty, of a plain or gzipped file."""
    path = Path(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                where = f"{path}:{number}"
                try:
                    line = raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise UserError(f"{where}: not UTF-8 at byte {error.start}; convert the file to UTF-8") from error
                if line.strip():
                    yield where, line
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot read it ({getattr(error, 'strerror', None) or error})") from error


def _words(where: str, column: str) -> tuple[str, ...]:
    try:
        words = json.loads(column)
    except json.JSONDecodeError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError(f'{where}: expected a JSON list of words such as ["a", "b"], found {column[:60]!r}')
    return tuple(words)
