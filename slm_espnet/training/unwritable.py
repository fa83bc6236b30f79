"""Letters that a language model's tokenizer cannot write, in the targets of a data directory.

T5's vocabulary has no `{`, `~` or Cyrillic: such letters become the unknown token, and decoding drops them. An error
rate then has a floor that nobody sees. Byte-level tokenizers write everything.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

from slm_espnet.llm.base import AbsTokenizer

LINE_ENDS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
SHOWN = 20  # letters named in a message


class Writability:
    """Tells which letters of a text are lost; each distinct letter is tokenized once.

    A letter is lost when the tokenizer does not give it back. Two changes are made on purpose and are no loss:
    Unicode's NFKC, and one kind of blank for another.
    """

    def __init__(self, tokenizer: AbsTokenizer):
        self._tokenizer = tokenizer
        self._written: set[str] = set()
        self._lost: set[str] = set()

    def lost(self, text: str) -> set[str]:
        """Letters of a text, after NFKC, that cannot be written."""
        letters = set(unicodedata.normalize("NFKC", text))
        for letter in letters - self._written - self._lost:
            (self._written if self._is_written(letter) else self._lost).add(letter)
        return letters & self._lost if self._lost else set()

    def _is_written(self, letter: str) -> bool:
        if letter in LINE_ENDS:  # stripped at the end of a text: looked for within one
            return letter in self._round_trip(f"a{letter}b")
        return letter.isspace() or unicodedata.normalize("NFKC", self._round_trip(letter)) == letter

    def _round_trip(self, text: str) -> str:
        return self._tokenizer.decode(self._tokenizer.encode(text))


def spelled(letter: str) -> str:
    """A letter as a message shows it: with its code where it cannot be seen."""
    visible = letter.isprintable() and not letter.isspace() and not unicodedata.combining(letter)
    return letter if visible else f"U+{ord(letter):04X}"


def describe(rows: int, letters: Counter[str] | dict[str, int]) -> str:
    """One line: how many rows, and which letters, most frequent first with their rows."""
    ordered = most_frequent(letters)
    named = [f"{spelled(letter)} ({count})" for letter, count in list(ordered.items())[:SHOWN]]
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return f"{rows} rows have letters that this LLM cannot write: {' '.join(named)}{more}"


def most_frequent(letters: Counter[str] | dict[str, int]) -> dict[str, int]:
    """Letters by falling number of rows, then by code."""
    return dict(sorted(letters.items(), key=lambda item: (-item[1], item[0])))


def count_lost(tokenizer: AbsTokenizer, texts: Iterable[str]) -> tuple[int, dict[str, int]]:
    """Number of texts with letters that cannot be written, and those letters as `most_frequent` gives them."""
    writability, rows, letters = Writability(tokenizer), 0, Counter()
    for text in texts:
        lost = writability.lost(text)
        rows += bool(lost)
        letters.update(lost)
    return rows, most_frequent(letters)
