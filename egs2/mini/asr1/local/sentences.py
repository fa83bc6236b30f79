"""What the encoder's synthetic speech says: grammar sentences in two languages, and dictation.

Sentences and names that `mini_corpus.split` holds out never occur in training, nor do RARE_NAMES.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from mini_corpus.grammar import COMMON_NAMES, RARE_NAMES, generate, generate_dictation, held_out, invented_name
from mini_corpus.split import is_held_out, is_held_out_name

INVENTED_SHARE = 0.3  # of grammar sentences that have invented personal names
DICTATION_SHARE = 0.15  # of English training sentences


def training_sentences(language: str, count: int, seed: int) -> list[str]:
    """`count` distinct sentences for training, English with a share of dictation, the same for the same seed."""
    rng = random.Random(f"train {language} {seed}")
    dictation = round(count * DICTATION_SHARE) if language == "en" else 0
    sentences = _distinct(_grammar(rng, language), count - dictation)
    sentences += _distinct(_dictation(rng, evaluation=False), dictation)
    rng.shuffle(sentences)
    return sentences


def evaluation_sentences(language: str, count: int, seed: str, *, rare_names: bool = False) -> list[str]:
    """`count` distinct sentences kept from all training; `rare_names`: each has a name that no training speech has."""
    rng = random.Random(f"evaluation {language} {seed} {rare_names}")
    return _distinct(_grammar(rng, language, evaluation=True, rare_names=rare_names), count)


def dictation_sentences(count: int, seed: str) -> list[str]:
    """`count` distinct dictation lines kept from all training."""
    return _distinct(_dictation(random.Random(f"dictation {seed}"), evaluation=True), count)


def _grammar(rng: random.Random, language: str, *, evaluation: bool = False, rare_names: bool = False) -> Iterator[str]:
    while True:
        names, need_name = COMMON_NAMES, rare_names
        if rare_names:
            names = RARE_NAMES
        elif not evaluation and rng.random() < INVENTED_SHARE:
            names, need_name = _invented_names(rng, 4), True
        sentence = generate(rng, names, need_name=need_name)
        if held_out(sentence.english) if evaluation else not is_held_out(sentence.english):
            yield sentence.english if language == "en" else sentence.spanish


def _invented_names(rng: random.Random, count: int) -> list[str]:
    rare = frozenset(RARE_NAMES)
    names: list[str] = []
    while len(names) < count:
        name = invented_name(rng)
        if name not in rare and name not in names and not is_held_out_name(name):
            names.append(name)
    return names


def _dictation(rng: random.Random, *, evaluation: bool) -> Iterator[str]:
    rare = frozenset(RARE_NAMES)
    while True:
        line = generate_dictation(rng)
        if held_out(line) == evaluation and rare.isdisjoint(line.split()):
            yield line


def _distinct(candidates: Iterator[str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(next(candidates))
    return list(found)
