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
MOST_SPELLINGS = 4  # of a phrase that are looked for


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
        self._spelled: dict[str, tuple[tuple[int, ...], ...]] = {}  # lists repeat from utterance to utterance

    @staticmethod
    def _spells(token: str) -> bool:
        """Special tokens such as <unk> spell nothing; [..] likewise (wordpiece style)."""
        return bool(token) and not (len(token) > 2 and (token[0], token[-1]) in (("<", ">"), ("[", "]")))

    @property
    def marks_words(self) -> bool:
        """Whether a phrase's ends can be told from the middle of a word."""
        return self.delimiter_id is not None or self.word_starts is not None

    def spellings(self, phrase: str) -> tuple[tuple[int, ...], ...]:
        """Token sequences that spell a phrase, without the delimiters around it; none (said once) if it cannot be.

        Single characters spell in one way. Pieces of several characters can be cut in many; how the encoder was trained
        to cut is not known here, but BPE and unigram models use few pieces, so that the MOST_SPELLINGS sequences of the
        fewest pieces are taken, among equals those whose first pieces are longer. Letter case falls back to lower, then
        upper.
        """
        if phrase not in self._spelled:
            variants = (self._phrase_spellings(text.split()) for text in (phrase, phrase.lower(), phrase.upper()))
            self._spelled[phrase] = next((found for found in variants if found), ())
            if not self._spelled[phrase]:
                logging.warning("phrase %r cannot be spelled in the encoder's vocabulary; it is not looked for", phrase)
        return self._spelled[phrase]

    def _phrase_spellings(self, words: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Spellings of all words in a row: the best combinations of those of each word."""
        delimiter = () if self.delimiter_id is None else (self.delimiter_id,)
        rows: list[tuple[int, ...]] = [()]
        for index, word in enumerate(words):
            cuts = self._word_spellings(WORD_START + word if self.word_starts is not None else word)
            joined = (row + (delimiter if index else ()) + cut for row in rows for cut in cuts)
            rows = sorted(joined, key=len)[:MOST_SPELLINGS]
        return tuple(row for row in rows if row)

    def _word_spellings(self, text: str) -> list[tuple[int, ...]]:
        """The cuts of a word into the fewest tokens, found from its end."""
        if self._longest == 1:
            ids = tuple(self._ids.get(char, -1) for char in text)
            return [] if -1 in ids else [ids]
        rest: list[list[tuple[int, ...]]] = [[] for _ in text] + [[()]]
        for at in reversed(range(len(text))):
            longest_first = range(min(len(text), at + self._longest), at, -1)
            pieces = [(self._ids[text[at:stop]], stop) for stop in longest_first if text[at:stop] in self._ids]
            cuts = [(piece, *tail) for piece, stop in pieces for tail in rest[stop]]
            rest[at] = sorted(cuts, key=len)[:MOST_SPELLINGS]
        return rest[0]

    def text(self, ids: Sequence[int]) -> str:
        """Text of CTC tokens from which blanks and repetitions are removed."""
        known = (i for i in ids if i == self.delimiter_id or self.tokens[i] in self._ids)
        pieces = [" " if i == self.delimiter_id else self.tokens[i] for i in known]
        return " ".join("".join(pieces).replace(WORD_START, " ").split())
