"""Single utterances of a set: the worst and some typical ones, word by word against what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import Levenshtein

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.scoring.error_rate import Edit, align, count_edits, errors_and_reference
from slm_espnet.scoring.evaluate import Question
from slm_espnet.scoring.inputs import SetInput

LONGEST_LIST = 12  # phrases of a biasing list that are shown


@dataclass(frozen=True)
class Token:
    """One place of an alignment; a run of equal places is one token."""

    kind: str  # same, substituted, deleted or inserted
    reference: str  # "" where something was inserted
    hypothesis: str  # "" where something was deleted


@dataclass(frozen=True)
class Example:
    """One utterance as it is shown."""

    why: str  # worst or typical
    set: str
    task: str
    language: str
    utt_id: str
    speaker: str
    prompt: str
    audio: AudioSource
    reference: str  # as it is compared: the nearest right target
    tokens: Sequence[Token]
    errors: int  # in words, or characters where the language has no spaces
    length: int  # of the reference, likewise
    others: Mapping[str, str]  # what the other systems wrote, normalized: cascade, bound, CTC greedy
    context: Sequence[str]  # the first phrases of its biasing list
    list_length: int
    flags: Sequence[str]  # truncated, looped, no hypothesis

    @property
    def right(self) -> list[str]:
        """Other systems that wrote exactly what was wanted."""
        return [system for system, text in self.others.items() if text == self.reference]


@dataclass(frozen=True)
class Group:
    """Errors of every utterance of one set, task and language; what examples and break-downs are drawn from."""

    set: str
    question: Question
    edits: list[list[Edit]]  # of the trained model, against the nearest right target
    counts: np.ndarray  # (N, 2) errors and reference length
    other_counts: Mapping[str, np.ndarray]  # the same of the other systems, for recognition


def to_tokens(edits: Sequence[Edit], joiner: str = " ") -> list[Token]:
    """An alignment as tokens; neighbours that agree are joined, everything else stays by word."""
    tokens: list[Token] = []
    for reference, hypothesis in edits:
        if reference is not None and reference == hypothesis:
            if tokens and tokens[-1].kind == "same":
                text = f"{tokens.pop().reference}{joiner}{reference}"
            else:
                text = reference
            tokens.append(Token("same", text, text))
        elif reference is None:
            tokens.append(Token("inserted", "", hypothesis or ""))
        elif hypothesis is None:
            tokens.append(Token("deleted", reference, ""))
        else:
            tokens.append(Token("substituted", reference, hypothesis))
    return tokens


def group_of(one: SetInput, question: Question) -> Group:
    """Align what the systems wrote for one question of a set."""
    unit = "character" if question.by_characters else "word"
    clean = lru_cache(maxsize=None)(question.of_target)
    right = [[clean(text) for text in row.references or (row.text,)] for row in question.rows]

    def compare(hypotheses: Sequence[str]) -> tuple[list[list[Edit]], np.ndarray]:
        split = list if unit == "character" else str.split
        nearest = [
            texts[0] if len(texts) == 1 else min(texts, key=lambda t: Levenshtein.distance(split(t), split(h)))  # noqa: B023
            for texts, h in zip(right, hypotheses, strict=True)
        ]
        edits = align(nearest, hypotheses, unit)
        return edits, errors_and_reference(count_edits(edits))

    texts = {name: [clean(decoded.hypotheses.get(row.utt_id, "")) for row in question.rows]
             for name, decoded in one.systems.items()}  # fmt: skip
    edits, counts = compare(texts.pop("slm"))
    others = {}
    if question.recognizes:
        if one.ctc is not None:
            texts["ctc_greedy"] = [question.normalized(one.ctc.get(row.audio.key, "")) for row in question.rows]
        others = {name: compare(found)[1] for name, found in texts.items()}
    return Group(one.name, question, edits, counts, others)


def choose(group: Group, worst: int, typical: int) -> list[tuple[str, int]]:
    """(why, row) of the utterances to show: most errors first, then those nearest to the average error rate."""
    errors, length = group.counts[:, 0], group.counts[:, 1]
    rates = errors / np.maximum(1, length)
    order = sorted(range(len(errors)), key=lambda i: (-errors[i], -rates[i], group.question.rows[i].utt_id))
    bad = [i for i in order if errors[i] > 0][:worst]
    average, middle = errors.sum() / max(1, length.sum()), float(np.median(length))
    rest = [i for i in range(len(errors)) if i not in bad]
    usual = sorted(rest, key=lambda i: (abs(rates[i] - average), abs(length[i] - middle)))[:typical]
    return [("worst", i) for i in bad] + [("typical", i) for i in usual]


def examples(one: SetInput, group: Group, chosen: Sequence[tuple[str, int]]) -> list[Example]:
    """The chosen utterances with everything that is shown of them."""
    return [_example(one, group, why, index) for why, index in chosen]


def _example(one: SetInput, group: Group, why: str, index: int) -> Example:
    question, row = group.question, group.question.rows[index]
    others = {name: question.of_target(decoded.hypotheses.get(row.utt_id, ""))
              for name, decoded in one.systems.items() if name != "slm"}  # fmt: skip
    if one.ctc is not None:
        heard = one.ctc.get(row.audio.key, "")
        others["ctc_greedy"] = question.normalized(heard) if question.recognizes else heard
    errors = int(group.counts[index, 0])
    joiner = "" if question.by_characters else " "
    said = [left for left, _ in group.edits[index] if left is not None]
    return Example(
        why, group.set, question.name, question.languages, row.utt_id, row.speaker, row.prompt, row.audio,
        joiner.join(said), to_tokens(group.edits[index], joiner), errors, len(said),
        others, row.context[:LONGEST_LIST], len(row.context), flags_of(one, row),
    )  # fmt: skip


def flags_of(one: SetInput, row: Row) -> list[str]:
    """What decoding said of an utterance."""
    decoded = one.systems["slm"]
    found = {
        "truncated": row.utt_id in decoded.truncated,
        "looped": row.utt_id in decoded.looped,
        "no hypothesis": row.utt_id not in decoded.hypotheses,
    }
    return [name for name, is_so in found.items() if is_so]
