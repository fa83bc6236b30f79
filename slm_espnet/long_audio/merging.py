"""Texts of pieces as one text: what two pieces both heard is written once.

The end of a piece and the beginning of the next one were recognized from the same seconds of speech. The words of both
are aligned (an overlap alignment: a suffix of one against a prefix of the other, near matches counting half). The text
goes over from the first piece to the second at the matching word nearest to the middle, because each piece is least
sure at its own edge, where a word may be cut.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Sequence

from slm_espnet.long_audio.cutting import Piece

MISMATCH, GAP, NEAR = -1.0, -0.7, 0.6  # scores; NEAR: similarity of spelling from which two words match by half
EDGE = -0.2  # per word beyond the alignment at the two edges, where words may be cut or made up
OFFSET = -0.05  # per word that an alignment is away from the number of words expected: settles repetitions
SLACK = 3  # words more than expected that are looked at
# Scripts without blanks between words: Han, kana, Thai, Lao, Khmer, Burmese.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


def merge_texts(pieces: Sequence[Piece], texts: Sequence[str]) -> str:
    """One text.

    Args:
        pieces: of one recording, in order (cutting.cut).
        texts: what was recognized in each, or its translation.

    Raises:
        ValueError: their numbers differ.
    """
    if len(texts) == 1 == len(pieces):
        return texts[0]
    merged = ""
    for text in filter(None, divide_texts(pieces, texts)):
        merged += (" " if merged and _has_blank(merged[-1], text[0]) else "") + text
    return merged


def divide_texts(pieces: Sequence[Piece], texts: Sequence[str]) -> list[str]:
    """What of each piece's text is written, so that what two pieces both heard stands in one of them.

    Arguments and errors as `merge_texts`.
    """
    unspaced = _is_unspaced(texts)
    words: list[str] = []
    owners: list[int] = []  # the piece that each word comes from
    before = 0.0  # words per second of the piece before
    for number, (piece, text) in enumerate(zip(pieces, texts, strict=True)):
        units = _characters(text) if unspaced else text.split()
        rate = len(units) / max(piece.stop - piece.start, 1e-3)
        if piece.overlap and words and units:
            left, right = crossing(words, units, piece.overlap * before, piece.overlap * rate)
            words, owners, units = words[:left], owners[:left], units[right:]
        words += units
        owners += [number] * len(units)
        before = rate
    joiner = "" if unspaced else " "
    owned = ([w for w, owner in zip(words, owners, strict=True) if owner == n] for n in range(len(texts)))
    return [joiner.join(some).strip() for some in owned]


def crossing(left: Sequence[str], right: Sequence[str], left_count: float, right_count: float) -> tuple[int, int]:
    """Where to go over from one list of words to the next.

    Args:
        left, right: words of two pieces.
        left_count, right_count: about how many of them lie in what the pieces share.

    Returns:
        How many words of `left` to keep, and how many of `right` to leave out.
    """
    tail = min(len(left), math.ceil(1.5 * left_count) + SLACK)
    head = min(len(right), math.ceil(1.5 * right_count) + SLACK)
    first = len(left) - tail
    pairs = _align([_plain(w) for w in left[first:]], [_plain(w) for w in right[:head]], (left_count + right_count) / 2)
    if not pairs:  # they heard different things: each is believed in the half that is farther from its edge
        kept = len(left) - min(len(left), round(left_count / 2))
        return kept, min(len(right), round(right_count / 2))
    exact = [pair for pair in pairs if _plain(left[first + pair[0]]) == _plain(right[pair[1]])] or pairs
    middle = ((tail - left_count / 2) + right_count / 2) / 2  # of the shared words, in the mean of both countings
    i, j = min(exact, key=lambda pair: (abs(sum(pair) / 2 - middle), pair))
    return first + i + 1, j + 1


def _align(left: Sequence[str], right: Sequence[str], expected: float) -> list[tuple[int, int]]:
    """Matching words (index in left, index in right) of the best alignment of a suffix with a prefix; [] for none.

    score[i][j] is that of the best alignment that ends with i words of left and j of right used; an alignment may begin
    anywhere in left, leaving out words of right at EDGE each, and end anywhere in right, likewise for left.
    """
    rows, columns = len(left), len(right)
    score = [[EDGE * j for j in range(columns + 1)] for _ in range(rows + 1)]
    matched: list[list[tuple[int, int] | None]] = [[None] * (columns + 1) for _ in range(rows + 1)]
    best, end = 0.0, None
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            value = _similarity(left[i - 1], right[j - 1])
            options = [
                (score[i - 1][j - 1] + value, (i - 1, j - 1)),
                (score[i - 1][j] + GAP, (i - 1, j)),
                (score[i][j - 1] + GAP, (i, j - 1)),
            ]
            found, previous = max(options)
            if found > score[i][j]:
                score[i][j], matched[i][j] = found, previous
            total = score[i][j] + EDGE * (rows - i) + OFFSET * abs(j + rows - i - expected)
            if value > 0 and matched[i][j] == (i - 1, j - 1) and total > best:
                best, end = total, (i, j)
    pairs = []
    while end is not None:
        previous = matched[end[0]][end[1]]
        if previous == (end[0] - 1, end[1] - 1) and _similarity(left[previous[0]], right[previous[1]]) > 0:
            pairs.append(previous)
        end = previous
    return pairs[::-1]


def _similarity(left: str, right: str) -> float:
    """1 for the same word, 0.5 for nearly the same or the beginning or end of it, else MISMATCH."""
    if left == right:
        return 1.0
    if len(left) < 2 or len(right) < 2:
        return MISMATCH
    partial = left.startswith(right) or right.endswith(left) or left.endswith(right) or right.startswith(left)
    near = partial or difflib.SequenceMatcher(None, left, right, autojunk=False).ratio() >= NEAR
    return 0.5 if near else MISMATCH


def _plain(word: str) -> str:
    """A word without case and punctuation, as far as something is left."""
    folded = word.casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN") or folded


def _characters(text: str) -> list[str]:
    """Each letter by itself, for scripts without blanks; a blank stays with the letter that it precedes."""
    return re.findall(r"\s*\S", text.strip())


def _has_blank(left: str, right: str) -> bool:
    """Whether a blank goes between two letters where pieces meet.

    Not where both are of scripts without blanks, nor beside punctuation of those scripts.
    """
    wide = any(unicodedata.name(mark, "").startswith(("IDEOGRAPHIC", "FULLWIDTH")) for mark in (left, right))
    return not wide and not (_in_unspaced_script(left) and _in_unspaced_script(right))


def _in_unspaced_script(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(UNSPACED)


def _is_unspaced(texts: Sequence[str]) -> bool:
    """Whether most letters belong to scripts that put no blanks between words."""
    letters = [c for text in texts for c in text if c.isalpha()]
    unspaced = sum(map(_in_unspaced_script, letters))
    return 2 * unspaced > len(letters)
