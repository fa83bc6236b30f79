"""The prompt template: the one place that knows how speech, context and instruction are put in order.

Training, decoding, packing and the demo all build their prompts here, so that they cannot differ. The model's input is
`prefix ids + speech embeddings + suffix ids`; with text in place of speech it is `prefix ids + text ids + suffix ids`,
which is what the untouched LLM reads (the dual-modal property of the paper, arXiv 2310.00230).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from slm_espnet.llm.base import AbsTokenizer

PARTS = ("speech", "context", "instruction")


@dataclass(frozen=True)
class Prompt:
    """Token ids around the place where the speech embeddings go."""

    prefix: tuple[int, ...]  # before the speech
    suffix: tuple[int, ...]  # after the speech

    def with_text(self, tokenizer: AbsTokenizer, text: str) -> list[int]:
        """The same prompt with text in place of speech."""
        return [*self.prefix, *tokenizer.encode(text), *self.suffix]


@dataclass(frozen=True)
class PromptTemplate:
    """How a prompt is laid out. Every string is tokenized by itself: its ids never depend on its neighbours."""

    order: tuple[str, ...] = PARTS  # a permutation of speech, context, instruction
    speech_begin: str = ""  # text or one special piece right before the speech
    speech_end: str = ""  # text or one special piece right after the speech
    context_format: str = "possible phrases: {phrases}"  # how the context phrases are put; left out when there are none
    phrase_separator: str = ", "  # between context phrases
    system: str = ""  # system message, only used with chat
    chat: bool = False  # wrap everything into the LLM's own chat template
    end: str = ""  # text or one special piece at the very end ("<eos>" means the tokenizer's EOS, as T5 expects)
    begin: str = ""  # likewise at the very beginning ("<bos>" means the tokenizer's BOS, nothing where there is none)

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", tuple(self.order))
        if sorted(self.order) != sorted(PARTS):
            raise ValueError(f"prompt order must name {', '.join(PARTS)} once each, not {self.order}")
        if "{phrases}" not in self.context_format:
            raise ValueError(f"context_format must contain {{phrases}}: {self.context_format!r}")

    @classmethod
    def from_dict(cls, values: dict) -> PromptTemplate:
        """Build from YAML values; an unknown key is an error that lists the known ones."""
        known = {f.name for f in fields(cls)}
        unknown = set(values) - known
        if unknown:
            raise ValueError(f"unknown prompt key(s) {sorted(unknown)}; known: {sorted(known)}")
        return cls(**values)

    def to_dict(self) -> dict:
        """Plain values for YAML and JSON."""
        return {**asdict(self), "order": list(self.order)}

    def build(self, tokenizer: AbsTokenizer, instruction: str, context: Sequence[str] = ()) -> Prompt:
        """Ids before and after the speech, for one utterance's instruction and context phrases."""
        before, after = self._edges(tokenizer)
        sides: tuple[list[int], list[int]] = (list(before), [])
        side = 0
        for part in self.order:
            if part == "speech":
                sides[0].extend(self._ids(tokenizer, self.speech_begin))
                sides[1].extend(self._ids(tokenizer, self.speech_end))
                side = 1
            elif part == "instruction":
                sides[side].extend(tokenizer.encode(instruction) if instruction else [])
            elif context:
                phrases = self.phrase_separator.join(context)
                sides[side].extend(tokenizer.encode(self.context_format.format(phrases=phrases)))
        return Prompt(tuple(sides[0]), (*sides[1], *after))

    def _edges(self, tokenizer: AbsTokenizer) -> tuple[list[int], list[int]]:
        before, after = self._ids(tokenizer, self.begin), self._ids(tokenizer, self.end)
        if self.chat:
            chat_before, chat_after = tokenizer.chat_parts("\u0001", self.system or None)
            before, after = [*chat_before, *before], [*after, *chat_after]
        return before, after

    @staticmethod
    def _ids(tokenizer: AbsTokenizer, piece: str) -> list[int]:
        """Ids of an edge: a marker, one special piece written as <piece>, or plain text."""
        if not piece:
            return []
        if piece == "<eos>":
            return [tokenizer.eos_id]
        if piece == "<bos>":
            return [] if tokenizer.bos_id is None else [tokenizer.bos_id]
        if piece.startswith("<") and piece.endswith(">"):
            return [tokenizer.special_id(piece)]
        return tokenizer.encode(piece)
