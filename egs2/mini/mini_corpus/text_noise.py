"""Recognition-like errors in text: the language model learns to answer in spite of them."""

from __future__ import annotations

import random
from collections.abc import Collection

LETTERS = "eeeaaaiiooonnrrttsslldduummcpbgfhkvywzjqx"

# what a recognizer confuses: sounds and spellings of one another
CONFUSIONS = (
    ("ph", "f"), ("f", "ph"), ("c", "k"), ("k", "c"), ("s", "z"), ("z", "s"), ("y", "i"), ("i", "e"), ("e", "i"),
    ("ie", "y"), ("th", "t"), ("t", "th"), ("a", "e"), ("o", "a"), ("u", "o"), ("er", "or"), ("ll", "l"), ("l", "ll"),
    ("v", "f"), ("b", "p"), ("d", "t"), ("g", "j"), ("m", "n"), ("n", "m"), ("qu", "kw"), ("x", "ks"), ("ee", "i"),
    ("h", ""), ("ea", "e"), ("i", "ea"), ("ey", "y"), ("nn", "n"), ("rr", "r"), ("tt", "t"), ("ck", "k"),
)  # fmt: skip


def confuse_sounds(rng: random.Random, word: str, edits: int) -> str:
    """The word misheard: `edits` times a spelling is replaced by one that sounds alike; never empty."""
    for _ in range(edits):
        possible = [(old, new) for old, new in CONFUSIONS if old in word]
        if not possible:
            break
        old, new = rng.choice(possible)
        places = [i for i in range(len(word)) if word.startswith(old, i)]
        i = rng.choice(places)
        word = word[:i] + new + word[i + len(old) :] or word
    return word


def edit_letters(rng: random.Random, word: str, rate: float) -> str:
    """Replace, insert or delete letters, each kind with a third of `rate` per letter."""
    letters: list[str] = []
    for letter in word:
        draw = rng.random() * 3
        if draw >= 3 * rate:
            letters.append(letter)
        elif draw < rate:
            letters.append(rng.choice(LETTERS))
        elif draw < 2 * rate:
            letters += [letter, rng.choice(LETTERS)]
    return "".join(letters)


def corrupt(rng: random.Random, text: str, rate: float, keep: Collection[str] = ()) -> str:
    """Text with about `rate` of its words misheard, some dropped or split; words in `keep` are left alone."""
    words: list[str] = []
    for word in text.split():
        if word in keep or rng.random() >= rate:
            words.append(word)
            continue
        kind = rng.random()
        if kind < 0.45:
            words.append(edit_letters(rng, word, rng.choice((0.15, 0.3))))
        elif kind < 0.85:
            words.append(confuse_sounds(rng, word, rng.randint(1, 2)))
        elif kind < 0.92 and len(word) > 3:
            cut = rng.randrange(1, len(word))
            words += [word[:cut], word[cut:]]
        elif len(word) <= 3:
            continue
        else:
            words.append(edit_letters(rng, word, 0.5))
    return " ".join(word for word in words if word)
