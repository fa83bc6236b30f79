"""Texts of tokens that do not end with a whole character: emoji, Chinese and accents may need several tokens."""

from __future__ import annotations

from collections.abc import Sequence

from slm_espnet.llm.base import AbsTokenizer

HALF = "\ufffd"  # what a decoder writes for bytes that are no character (yet)
MOST_BYTES = 4  # of a character in UTF-8; a token holds at least one


class PartialText:
    """The text of an answer while it grows. What was given before stays its beginning, but for blanks at the end."""

    def __init__(self, tokenizer: AbsTokenizer):
        self._tokenizer = tokenizer
        self._shown = ""

    def of(self, ids: Sequence[int]) -> str:
        """The text of all tokens so far without a half character at its end.

        Decoders with byte fallback may take back whole characters while the next one is incomplete; then the text of
        before is given again.
        """
        text = self._tokenizer.decode(ids)
        if text.endswith(HALF):
            text = text.rstrip(HALF).rstrip()
            if not text.startswith(self._shown):
                return self._shown
        self._shown = text
        return text


def token_texts(ids: Sequence[int], tokenizer: AbsTokenizer) -> list[str]:
    """The text of each token alone; that of a character of several tokens stands at the last of them."""
    texts: list[str] = []
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        text = tokenizer.decode(waiting)
        if text.endswith(HALF) and len(waiting) < MOST_BYTES:
            texts.append("")
        else:
            texts.append(text)
            waiting = []
    if waiting:
        texts[-1] = tokenizer.decode(waiting)
    return texts
