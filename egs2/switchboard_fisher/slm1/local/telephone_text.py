"""The words of transcripts of telephone speech, without the marks of the three corpora's annotators."""

from __future__ import annotations

import re

TAGS = re.compile(r"</?[a-z_]+(?:\s+\w+=\"[^\"]*\")*\s*>", re.IGNORECASE)  # <b_aside>, <contraction e_form="[we=>we]">
LAUGHED = re.compile(r"\[laughter-([^\]]+)\]")  # a word spoken while laughing
CORRECTED = re.compile(r"\[([^\]/]+)/[^\]]+\]")  # [said/meant]: what was said
PARTIAL = re.compile(r"\[[^\]]*\]-|-\[[^\]]*\]")  # part of a word that was not said
COINED = re.compile(r"\{([a-z' ]+)\}", re.IGNORECASE)  # a word that does not exist, in Switchboard
SOUNDS = re.compile(r"\[[^\]]*\]|\{[^}]*\}")  # [noise], {breath}
VARIANT = re.compile(r"\b([a-z']+)_\d\b", re.IGNORECASE)  # about_1: a pronunciation
SPELLED = re.compile(r"(?<=\b[a-z])\.|_", re.IGNORECASE)  # t. v., c.n.n. and c._n._n.


def switchboard_words(text: str) -> str:
    """Words of a line of Switchboard's Mississippi State transcripts, in lower case."""
    text = CORRECTED.sub(r"\1", LAUGHED.sub(r"\1", text))
    text = COINED.sub(r"\1", TAGS.sub(" ", text))
    return _plain(VARIANT.sub(r"\1", PARTIAL.sub("-", text)))


def fisher_words(text: str) -> str:
    """Words of a line of Fisher's transcripts, in lower case; guessed words `(( … ))` stay."""
    return _plain(SPELLED.sub(" ", text))


def hub5_words(text: str) -> str:
    """Words of a line of the HUB5 2000 reference, in lower case; hesitations lose their percent sign."""
    return _plain(TAGS.sub(" ", text).replace("%", " "))


def _plain(text: str) -> str:
    """Without sounds, brackets and punctuation; words that were broken off keep their hyphen."""
    text = SOUNDS.sub(" ", text)
    text = re.sub(r"[()\"?!,;:*+/]|\.(?=\s|$)|--", " ", text)
    words = [word.strip(".") for word in text.lower().split()]
    return " ".join(word for word in words if word.strip("-.'"))
