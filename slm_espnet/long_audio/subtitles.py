"""Cues of subtitles: texts of pieces in parts that can be read at a glance.

A cue has few lines of few letters and a few seconds. It ends where a sentence does, if it can, else at a comma, else
between two words. Within a piece, whose words have no times of their own, each cue has a part of the time that goes by
its letters. Nothing of the text is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from slm_espnet.long_audio.merging import UNSPACED

SENTENCE_END, CLAUSE_END = ".!?…。！？｡।؟", ",;:—–、，；：،"
CLOSING = "\"'”’»)]」』）"  # may stand behind such a mark
COST_OF_BREAK = {"sentence": 0.0, "clause": 0.4, "word": 0.8}  # beside 1 for each cue
LEAST_SECONDS = 0.1  # of a cue; a shorter piece is given SHOWN_SECONDS, or its text goes to the next one
SHOWN_SECONDS = 1.0


class Timed(Protocol):
    """A text and its time in seconds."""

    start: float
    stop: float
    text: str


@dataclass(frozen=True)
class Layout:
    """What a cue may be."""

    max_line_width: int = 42  # letters in a line; Han, kana and Hangul, which are wide, count as two
    max_line_count: int = 2  # lines
    max_seconds: float = 7.0  # of a cue

    def __post_init__(self) -> None:
        if self.max_line_width < 4 or self.max_line_count < 1 or not self.max_seconds > 0:
            raise ValueError("max_line_width must be at least 4, max_line_count 1, and max_seconds above 0")


@dataclass(frozen=True)
class Cue:
    """What is shown at a time."""

    start: float  # seconds
    stop: float  # seconds, after start
    lines: tuple[str, ...]


def cues_of(segments: Iterable[Timed], layout: Layout | None = None) -> list[Cue]:
    """Cues in order, which do not overlap; of segments without words there is none."""
    layout = layout or Layout()
    return [cue for start, stop, text in _shown(list(segments)) for cue in _cues(start, stop, text, layout)]


def _shown(segments: Sequence[Timed]) -> list[tuple[float, float, str]]:
    """Segments with words, each long enough to be seen."""
    found, waiting = [], ""
    for number, one in enumerate(segments):
        text = " ".join(f"{waiting} {one.text}".split())
        following = segments[number + 1].start if number + 1 < len(segments) else float("inf")
        stop = one.stop
        if stop - one.start < LEAST_SECONDS:
            stop = min(one.start + SHOWN_SECONDS, following)
        if stop - one.start < LEAST_SECONDS:
            waiting = text
        elif text:
            found.append((one.start, stop, text))
            waiting = ""
    return found


def _cues(start: float, stop: float, text: str, layout: Layout) -> list[Cue]:
    """The cues of one segment, of which as few as fit and with the best ends are chosen."""
    units = _units(text)
    sizes = [_width(unit.strip()) for unit in units]
    total, reached = sum(sizes), [0]
    for size in sizes:
        reached.append(reached[-1] + size)
    seconds = (stop - start) / total
    best: list[tuple[float, int, tuple[str, ...]]] = [(0.0, 0, ())]  # cost up to a unit, begin of its cue, its lines
    for end in range(1, len(units) + 1):
        options = []
        for begin in range(end - 1, -1, -1):
            lines = _wrapped("".join(units[begin:end]).strip(), layout)
            long = len(lines) > layout.max_line_count or (reached[end] - reached[begin]) * seconds > layout.max_seconds
            if long and begin < end - 1:  # a single unit is a cue in any case
                break
            last = 0.0 if end == len(units) else COST_OF_BREAK[_kind_of_end(units[end - 1])]
            options.append((best[begin][0] + 1.0 + last, begin, lines))
        best.append(min(options, key=lambda option: (option[0], -option[1])))
    cues, end = [], len(units)
    while end:
        _, begin, lines = best[end]
        cues.append(Cue(start + reached[begin] * seconds, start + reached[end] * seconds, lines))
        end = begin
    return cues[::-1]


def _units(text: str) -> list[str]:
    """What is not parted: words, and letters of scripts without blanks; each with the blanks before it."""
    units: list[str] = []
    for word in re.findall(r"\s*\S+", text):
        begin = 0
        for place in range(1, len(word)):
            left, right = word[place - 1], word[place]
            if (_stands_alone(left) or _stands_alone(right)) and not _clings(left, right) and word[begin:place].strip():
                units.append(word[begin:place])
                begin = place
        units.append(word[begin:])
    return units


def _stands_alone(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(UNSPACED)


def _clings(left: str, right: str) -> bool:
    """Whether a letter cannot begin a line, or the one before it end one: marks, combining letters, vowels of Thai."""
    return unicodedata.category(right)[0] in "MP" or unicodedata.category(left) in ("Ps", "Pi") or right in "ะาำๅๆ"


def _kind_of_end(unit: str) -> str:
    mark = unit.rstrip().rstrip(CLOSING)[-1:]
    return "sentence" if mark and mark in SENTENCE_END else "clause" if mark and mark in CLAUSE_END else "word"


def _width(text: str) -> int:
    """Letters of a text, wide ones twice, combining ones not."""
    return sum(
        0 if unicodedata.category(letter) == "Mn" else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    ) or 1


def _wrapped(text: str, layout: Layout) -> tuple[str, ...]:
    """Lines of about the same width, as few as there can be."""
    units = _units(text)
    count = len(_filled(units, layout.max_line_width))
    widest = max(_width(unit.strip()) for unit in units)
    least = max(widest, -(-_width(text) // count))
    width = next(w for w in range(least, max(least, layout.max_line_width) + 1) if len(_filled(units, w)) <= count)
    return tuple(_filled(units, width))


def _filled(units: Sequence[str], width: int) -> list[str]:
    """Lines filled one after the other; a unit that is wider has a line of its own."""
    lines: list[str] = []
    for unit in units:
        if lines and _width(lines[-1] + unit) <= width:
            lines[-1] += unit
        else:
            lines.append(unit.strip())
    return lines
