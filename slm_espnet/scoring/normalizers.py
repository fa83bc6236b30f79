"""Text normalization before scoring, by name. What was applied is part of every result."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

# Right and left quotation mark, modifier letter, full width; and the accents that are typed in their place.
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\uff07\u00b4`", "'"))
DOTTED_I = str.maketrans({"I": "\u0131", "\u0130": "i"})  # of Turkish and Azerbaijani
ZERO_WIDTH_SPACE = "\u200b"  # parts words; other invisible characters (joiners, soft hyphens, …) are inside of words


def normalize_none(text: str) -> str:
    """The text as it is, outer and repeated spaces apart."""
    return " ".join(text.split())


def normalize_basic(text: str) -> str:
    """Lower case, compatibility forms unified, punctuation and symbols to spaces; apostrophes within a word stay.

    Invisible characters such as joiners and soft hyphens go: whether they are written is a matter of the keyboard.
    """
    text = unicodedata.normalize("NFKC", text.translate(APOSTROPHES)).lower()
    kept = []
    for index, char in enumerate(text):
        if char == "'" and 0 < index < len(text) - 1 and text[index - 1].isalnum() and text[index + 1].isalnum():
            kept.append(char)
        elif unicodedata.category(char) != "Cf" or char == ZERO_WIDTH_SPACE:
            kept.append(" " if unicodedata.category(char)[0] in "PSZC" else char)
    return " ".join("".join(kept).split())


def normalize_turkish(text: str) -> str:
    """`basic` for Turkish and Azerbaijani, where the small letters of I and \u0130 are \u0131 and i."""
    return normalize_basic(unicodedata.normalize("NFC", text).translate(DOTTED_I))


@lru_cache(maxsize=1)
def _whisper_english() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    # The table of British spellings comes with Whisper checkpoints, not with the library: spellings are left alone.
    return EnglishTextNormalizer({})


def normalize_english(text: str) -> str:
    """Whisper's English normalization from transformers (contractions, numbers, fillers), without spelling table.

    Every kind of apostrophe is made the one that its contractions are written with.
    """
    return _whisper_english()(text.translate(APOSTROPHES)).strip()


NORMALIZERS: dict[str, Callable[[str], str]] = {
    "none": normalize_none,
    "basic": normalize_basic,
    "english": normalize_english,
    "turkish": normalize_turkish,
}
