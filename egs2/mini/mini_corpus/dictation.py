"""Dictation as in the AN4 corpus: spelled names and words, digits, numbers, addresses, dates and editing commands."""

from __future__ import annotations

import random
import string

from mini_corpus import lexicon as lx

DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ORDINALS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
    "twentieth", "thirtieth",
)  # fmt: skip
COMMANDS = ("help", "stop", "go", "yes", "no", "repeat", "start", "enter", "erase", "rubout")
MONTHS = (*lx.MONTHS, "may")
STREETS = ("avenue", "street", "road", "drive", "lane", "place", "court", "boulevard", "apartment")
STREET_NAMES = (
    "forbes", "beacon", "wightman", "center", "fifth", "walnut", "highland", "morewood", "craig", "north", "south",
    "east", "west", "park", "hill", "maple", "jackson", "ellsworth", "bayard", "neville", "penn", "grant", "shady",
    "douglas",
)  # fmt: skip
SPELLED = (
    *lx.COMMON_NAMES, *lx.CITIES, *STREET_NAMES, *STREETS, *MONTHS, "pittsburgh", "p a", "pennsylvania", "new york",
    "ohio", "texas", "california", "smith", "johnson", "patterson", "wilson", "fitzgerald", "schwartz", "zimmerman",
    "quinn", "knox", "hawkins", "vazquez", "maxwell", "mcdonald", "rosenfeld", "fox", "wood", "young", "wright", "jr",
)  # fmt: skip


def generate_dictation(rng: random.Random) -> str:
    """One dictated utterance in lower case English words and single letters."""
    make = rng.choices(
        (_spelled, _letters_at_random, _digits, _numbers, _address, _date, _edit, _command), (5, 2, 5, 3, 2, 3, 6, 1)
    )[0]
    return make(rng)


def _spelled(rng: random.Random) -> str:
    return " ".join(rng.choice(SPELLED).replace(" ", ""))


def _letters_at_random(rng: random.Random) -> str:
    return " ".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(1, 8)))


def _digits(rng: random.Random) -> str:
    zero = rng.choice(("oh", "zero"))
    return " ".join(rng.choice((*DIGITS, zero)) for _ in range(rng.randint(1, 10)))


def _below_hundred(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(TEENS)
    if kind == 1:
        return rng.choice(TENS)
    return f"{rng.choice(TENS)} {rng.choice(DIGITS)}"


def _number(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(DIGITS)
    if kind == 1:
        rest = [_below_hundred(rng)] if rng.random() < 0.6 else []
        return " ".join((rng.choice(DIGITS), "hundred", *rest))
    if kind == 2:
        rest = [_below_hundred(rng)] if rng.random() < 0.5 else []
        return " ".join((rng.choice((*DIGITS, *TEENS)), "thousand", *rest))
    return _below_hundred(rng)


def _numbers(rng: random.Random) -> str:
    return " ".join(_number(rng) for _ in range(rng.randint(1, 4)))


def _address(rng: random.Random) -> str:
    number = _digits(rng) if rng.random() < 0.3 else _numbers(rng)
    return f"{number} {rng.choice(STREET_NAMES)} {rng.choice(STREETS)}"


def _date(rng: random.Random) -> str:
    day = rng.choice(ORDINALS) if rng.random() < 0.5 else f"{rng.choice(TENS[:2])} {rng.choice(ORDINALS[:9])}"
    month = rng.choice(MONTHS)
    year = rng.choice(("", f"nineteen {_below_hundred(rng)}", f"nineteen {_below_hundred(rng)}", "two thousand"))
    if rng.random() < 0.2:
        month, day = " ".join(month), rng.choice((*DIGITS, *TEENS, *TENS))
    return f"{month} {day} {year}".strip()


def _edit(rng: random.Random) -> str:
    command = rng.choice(("enter", "enter", "erase", "rubout", "rubout", ""))
    letters = " ".join(rng.choice(string.ascii_lowercase) for _ in range(rng.choice((0, 3, 4, 5, 5))))
    digits = _below_hundred(rng) if rng.random() < 0.4 else _digits(rng)
    return " ".join(part for part in (command, letters, digits) if part)


def _command(rng: random.Random) -> str:
    return rng.choice(COMMANDS)
