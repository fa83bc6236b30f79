"""Sentences of everyday requests with their meaning: `generate` draws one; `generate_dictation` draws plain dictation.

A template gives the English sentence, its Spanish translation, the reply of an assistant and what the same speaker
says next; slots are filled from the one-to-one tables of lexicon.py. Everything is a function of the English words
alone (and the English of the Spanish ones), so that answers can be scored by exact match.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mini_corpus import lexicon as lx
from mini_corpus.dictation import generate_dictation
from mini_corpus.lexicon import COMMON_NAMES, RARE_NAMES
from mini_corpus.templates import TEMPLATES, Template

__all__ = [
    "CATEGORIES",
    "COMMON_NAMES",
    "QUESTION_KEYS",
    "RARE_NAMES",
    "Sentence",
    "generate",
    "generate_dictation",
    "grammar_words",
    "held_out",
    "invented_name",
]

CATEGORIES = tuple(sorted({template.category for template in TEMPLATES}))

# slot letter of the templates -> (table, key of the question that asks for it)
SLOTS: dict[str, tuple[Mapping, str]] = {
    "C": (lx.CITIES, "city"),
    "O": (lx.CITIES, "origin"),
    "N": (lx.NUMBERS, "number"),
    "T": (lx.TIMES, "time"),
    "D": (lx.DAYS, "day"),
    "E": (lx.MONTHS, "month"),
    "I": (lx.OBJECTS, "object"),
    "K": (lx.COLORS, "color"),
    "R": (lx.ROOMS, "room"),
    "B": (lx.OPENINGS, "opening"),
    "A": (lx.TASKS, "task"),
    "G": (lx.GENRES, "genre"),
    "S": (lx.INSTRUMENTS, "instrument"),
    "F": (lx.FOODS, "food"),
    "J": (lx.FOODS, "second_food"),
    "V": (lx.VEHICLES, "vehicle"),
    "H": (lx.HOTEL_KINDS, "quality"),
    "M": (lx.RELATIVES, "relative"),
    "L": (lx.ANIMALS, "animal"),
    "Y": (lx.BODY_PARTS, "body_part"),
    "W": (lx.CLIMATES, "weather"),
    "X": (lx.RAINS, "precipitation"),
    "U": (lx.SWITCHES, "switch"),
}
NAME_SLOTS = {"P": "person", "Q": "second_person"}
QUESTION_KEYS = (*(key for _, key in SLOTS.values()), *NAME_SLOTS.values())
OTHER = {"O": "C", "J": "F"}  # slots of one table that must differ


@dataclass(frozen=True)
class Sentence:
    """One sentence and what is known about it; English of a-z, ' and space, Spanish also with áéíóúüñ."""

    english: str  # what is said
    spanish: str  # its one translation
    category: str  # its topic, one English word
    reply: str  # what an assistant answers, in English
    continuation: str  # what the same speaker says next, in English
    questions: tuple[tuple[str, str], ...]  # (key of the question, its answer), in order of the slots
    names: tuple[str, ...]  # personal names in it, in order


def generate(rng: random.Random, names: Sequence[str], *, need_name: bool = False) -> Sentence:
    """Draw a sentence whose personal names come from `names` (at least two); with `need_name` it has one or more."""
    if len(set(names)) < 2:
        raise ValueError(f"a sentence may need two different names, and {len(set(names))} given")
    templates = [t for t in TEMPLATES if t.needs("P")] if need_name else TEMPLATES
    template = rng.choice(templates)
    english, spanish = _fill(rng, template, names)
    sentence = _frame(rng, template, template.english.format(**english), template.spanish.format(**spanish))
    asked = [(key, english[slot]) for slot, key in _keys() if template.needs(slot)]
    return Sentence(
        english=sentence[0],
        spanish=_contract(sentence[1]),
        category=template.category,
        reply=template.reply.format(**english),
        continuation=template.continuation.format(**english),
        questions=tuple(asked),
        names=tuple(english[slot] for slot in NAME_SLOTS if template.needs(slot)),
    )


def _keys() -> list[tuple[str, str]]:
    return [*NAME_SLOTS.items(), *((slot, key) for slot, (_, key) in SLOTS.items())]


def _fill(rng: random.Random, template: Template, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Choose a value for each slot of the template: (English values, Spanish values with agreement)."""
    english: dict[str, str] = {}
    spanish: dict[str, str] = {}
    for slot, (table, _) in SLOTS.items():
        if template.needs(slot):
            choices = [word for word in table if word != english.get(OTHER.get(slot, ""))]
            english[slot] = rng.choice(choices)
            spanish[slot] = table[english[slot]]
    if template.needs("P"):
        english["P"], english["Q"] = rng.sample(list(names), 2)
        while english["P"] == english["Q"]:
            english["P"], english["Q"] = rng.sample(list(names), 2)
        spanish["P"], spanish["Q"] = english["P"], english["Q"]
    _agree(english, spanish)
    return english, spanish


def _agree(english: dict[str, str], spanish: dict[str, str]) -> None:
    """Give colours the gender of their noun: KI for an object, KL for an animal; K alone is masculine."""
    if "K" not in english:
        return
    masculine, feminine = lx.COLORS[english["K"]]
    spanish["K"] = masculine
    if "I" in spanish:
        spanish["KI"] = f"{spanish['I']} {feminine if spanish['I'].startswith('la ') else masculine}"
    if "L" in spanish:
        is_feminine = english["L"] in lx.FEMININE_ANIMALS
        spanish["KL"] = f"{'una' if is_feminine else 'un'} {spanish['L']} {feminine if is_feminine else masculine}"


def _frame(rng: random.Random, template: Template, english: str, spanish: str) -> tuple[str, str]:
    """Put an opener and a closer around a sentence, each in a third of the cases."""
    openers = lx.OPENERS | (lx.REQUEST_OPENERS if template.is_request else {})
    closers = lx.CLOSERS | (lx.REQUEST_CLOSERS if template.is_request else {})
    if rng.random() < 0.35:
        opener = rng.choice(list(openers))
        english, spanish = f"{opener} {english}", f"{openers[opener]} {spanish}"
    if rng.random() < 0.3:
        closer = rng.choice(list(closers))
        english, spanish = f"{english} {closer}", f"{spanish} {closers[closer]}"
    return english, spanish


def _contract(spanish: str) -> str:
    """Spanish contracts a + el to al and de + el to del."""
    return re.sub(r"\b(a|de) el\b", lambda m: "al" if m.group(1) == "a" else "del", spanish)


def grammar_words() -> frozenset[str]:
    """Every word that the grammar can say in either language, personal names aside."""
    texts: list[str] = []
    frames = (lx.OPENERS, lx.CLOSERS, lx.REQUEST_OPENERS, lx.REQUEST_CLOSERS)
    for table in (*(table for table, _ in SLOTS.values()), *frames):
        for english, spanish in table.items():
            texts += [english, *([spanish] if isinstance(spanish, str) else spanish)]
    for t in TEMPLATES:
        texts += [re.sub(r"\{\w+\}", " ", x) for x in (t.english, t.spanish, t.reply, t.continuation, t.category)]
    return frozenset(word for text in texts for word in text.split())


# Rare names shape no letter statistics: they must stay unheard in every way.
_NAME_MODEL = lx.NameModel(tuple(COMMON_NAMES), grammar_words() | frozenset(RARE_NAMES))


def invented_name(rng: random.Random) -> str:
    """A name-like word of 4 to 9 letters that is no listed name and no word of the grammar."""
    return _NAME_MODEL.sample(rng)


def held_out(english: str) -> bool:
    """Whether a sentence belongs to the 2.5 % (by its checksum) that are kept for tests: nothing may train on them."""
    return zlib.crc32(english.encode()) % 40 == 0
