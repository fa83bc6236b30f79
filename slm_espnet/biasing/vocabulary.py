"""Phrases in the tokens of a speech encoder's CTC vocabulary, and CTC tokens back to text.

Two ways of marking words are known: a delimiter token between words (characters with `<space>`, or `|` as in wav2vec2),
and sentencepiece's mark at the start of a word. A vocabulary with neither (Chinese characters) has no boundaries to
respect.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

DELIMITERS = ("<space>", "|", " ")
WORD_START = "\u2581"


class CTCVocabulary:
    """The encoder's V CTC tokens with what phrase spotting needs to know of them."""

    def __init__(self, tokens: Sequence[str], blank_id: int) -> None:
        """Read a vocabulary: tokens in the order of their ids, and the blank's id."""
        self.tokens = tuple(tokens)
        self.blank_id = blank_id
        self.delimiter_id = next((self.tokens.index(d) for d in DELIMITERS if d in self.tokens), None)
        pieces = np.array([token.startswith(WORD_START) for token in self.tokens], dtype=bool)
        self.word_starts = pieces if self.delimiter_id is None and pieces.any() else None  # (V,) bool, or None
        self._ids = {token: i for i, token in enumerate(self.tokens) if i != blank_id and self._spells(token)}
        self._longest = max(map(len, self._ids), default=1)
        self._spelled: dict[str, tuple[int, ...] | None] = {}  # lists repeat from utterance to utterance

    @staticmethod
    def _spells(token: str) -> bool:
        """Special tokens such as <unk> spell nothing; [..] likewise (wordpiece style)."""
        return bool(token) and not (len(token) > 2 and (token[0], token[-1]) in (("<", ">"), ("[", "]")))

    @property
    def marks_words(self) -> bool:
        """Whether a phrase's ends can be told from the middle of a word."""
        return self.delimiter_id is not None or self.word_starts is not None

    def phrase_ids(self, phrase: str) -> tuple[int, ...] | None:
        """Token ids of a phrase without the delimiters around it, or None (said once) if it cannot be spelled.

        Each word is cut greedily into the longest tokens; letter case falls back to lower, then upper. A unigram or BPE
        model may cut differently, so that vocabularies of single characters are spotted best.
        """
        if phrase not in self._spelled:
            variants = (self._words_ids(text.split()) for text in (phrase, phrase.lower(), phrase.upper()))
            self._spelled[phrase] = next((ids for ids in variants if ids), None)
            if self._spelled[phrase] is None:
                logging.warning("phrase %r cannot be spelled in the encoder's vocabulary; it is not looked for", phrase)
        return self._spelled[phrase]

    def _words_ids(self, words: Sequence[str]) -> tuple[int, ...] | None:
        ids: list[int] = []
        for index, word in enumerate(words):
            if index and self.delimiter_id is not None:
                ids.append(self.delimiter_id)
            pieces = self._longest_match(WORD_START + word if self.word_starts is not None else word)
            if pieces is None:
                return None
            ids.extend(pieces)
        return tuple(ids)

    def _longest_match(self, text: str) -> list[int] | None:
        ids, at = [], 0
        while at < len(text):
            for stop in range(min(len(text), at + self._longest), at, -1):
                if text[at:stop] in self._ids:
                    ids.append(self._ids[text[at:stop]])
                    at = stop
                    break
            else:
                return None
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Text of CTC tokens from which blanks and repetitions are removed."""
        known = (i for i in ids if i == self.delimiter_id or self.tokens[i] in self._ids)
        pieces = [" " if i == self.delimiter_id else self.tokens[i] for i in known]
        return " ".join("".join(pieces).replace(WORD_START, " ").split())
