"""What every frozen language model offers to training and decoding; who misses a method of it cannot be made.

Encoder-decoder and decoder-only models differ only behind this interface: `target_states` and `logits` for training,
and `start`/`begin`/`step` on a `DecodingState` (which holds the KV cache) for search.
"""

from __future__ import annotations

import contextlib
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

WITHOUT_BLANKS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")  # scripts with none between words
Sizes = tuple[Sequence[int], Sequence[int]]  # lengths of inputs and of targets, as plain numbers


@dataclass(frozen=True)
class Piece:
    """A stretch of text that is tokenized together with its neighbours."""

    text: str
    is_free: bool = True  # words of a user or of data: no control token comes of them, whatever they look like


@dataclass(frozen=True)
class Tokens:
    """Ids of a whole text, and where in it each stands."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]  # characters [start, stop); (0, 0) for what the tokenizer has added

    def inside(self, start: int, stop: int) -> slice:
        """Tokens that have a character of [start, stop) in them; an empty slice in its place where there is none."""
        met = [n for n, (first, last) in enumerate(self.spans) if first < stop and last > start]
        if met:
            return slice(met[0], met[-1] + 1)
        before = sum(last <= start for _, last in self.spans)
        return slice(before, before)


class AbsTokenizer(ABC):
    """Text ↔ token ids."""

    eos_id: int
    pad_id: int  # a valid id even where the model defines none (then eos)
    bos_id: int | None
    end_of_turn: int | None  # what the chat template ends an answer with; None where it ends in no single token
    answer_lead: str  # blanks that the chat template writes before an answer, behind its generation prompt
    closes_text: bool  # whether EOS follows a text by itself, as encoder-decoder models read it

    @abstractmethod
    def tokenize(self, pieces: Sequence[Piece], add_special_tokens: bool) -> Tokens:
        """The whole text at once; with `add_special_tokens` also the BOS or EOS that the tokenizer puts around it."""

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, also where it looks like a control token; no BOS, no EOS."""
        return list(self.tokenize([Piece(text)], add_special_tokens=False).ids)

    def encode_within(self, text: str) -> list[int]:
        """Ids of words as they stand within a text: with the blank before them, where that is part of a token."""
        if not text or unicodedata.name(text[0], "").startswith(WITHOUT_BLANKS):
            return self.encode(text)
        tokens = self.tokenize([Piece("a ", is_free=False), Piece(text)], add_special_tokens=False)
        found = tokens.inside(1, 2 + len(text))
        lone = found.stop - found.start > 1 and tokens.spans[found.start][1] <= 2  # the blank is a token of its own
        return list(tokens.ids[found.start + lone : found.stop])

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens skipped, surrounding space stripped."""

    @abstractmethod
    def special_id(self, piece: str) -> int:
        """Id of one whole piece such as `<sp>`; UserError if the vocabulary lacks it."""

    @abstractmethod
    def chat_frame(self, roles: Sequence[str], date: str) -> tuple[str, ...]:
        """What the chat template writes before, between and after messages.

        Args:
            roles: of the messages: system, user, assistant. The last is the user's, and an answer is begun after it.
            date: YYYY-MM-DD, for templates that write today's.

        Returns:
            One text more than there are messages.

        Raises:
            UserError: there is no template, or it refuses these roles.
        """


class DecodingState(ABC):
    """KV cache and masks of one batch during search. Subclasses keep the tensors."""

    @abstractmethod
    def reorder(self, index: torch.Tensor) -> None:
        """Make row i continue old row index[i] (beam search; also drops finished rows: index may be shorter)."""

    @abstractmethod
    def can_crop(self) -> bool:
        """Whether positions can be forgotten again; where not, drafts cannot be tried."""

    @abstractmethod
    def crop(self, counts: torch.Tensor) -> None:
        """Forget the last counts[i] positions of row i, (B,): at most those of the last `begin` or `step`."""


class AbsLLM(torch.nn.Module, ABC):
    """A frozen LLM. Always in eval mode; parameters get no gradient unless they belong to LoRA."""

    tokenizer: AbsTokenizer
    is_encoder_decoder: bool
    dim: int  # E
    vocab_size: int  # rows of the embedding table
    stop_ids: frozenset[int]  # tokens that end an answer: EOS, the chat template's end of turn, those of the model
    max_positions: int | None  # longest prompt and answer together, None where there is no end

    @abstractmethod
    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings of ids (...,) → (..., E), scaled as the model's own forward would."""

    @abstractmethod
    def embedding_table(self) -> torch.Tensor:
        """(V, E): embed() of every id, so also scaled; shares memory with the model where no scale is needed."""

    @abstractmethod
    def target_states(
        self,
        inputs: torch.Tensor,
        input_lengths: torch.Tensor,
        target: torch.Tensor,
        target_lengths: torch.Tensor,
        sizes: Sizes | None = None,
    ) -> torch.Tensor:
        """What `logits` turns into logits, at the valid target positions only.

        Args:
            inputs: (B, S, E) right-padded prompt + speech embeddings; input_lengths: (B,).
            target: (B, U) right-padded target ids that end in EOS; target_lengths: (B,).
            sizes: both lengths as plain numbers, for which no GPU has to be asked then.

        Returns:
            (sum(target_lengths), H): utterance by utterance; the row for target[b, u] predicts target[b, u].
        """

    @abstractmethod
    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(N, H) of `target_states` → (N, V), by the model's own output layer with its scales and caps."""

    @property
    @abstractmethod
    def trains_output(self) -> bool:
        """Whether the output layer has trained parameters: LoRA that was put there."""

    def loss_logits(
        self, inputs: torch.Tensor, input_lengths: torch.Tensor, target: torch.Tensor, target_lengths: torch.Tensor
    ) -> torch.Tensor:
        """(sum(target_lengths), V) logits of `target_states`, all at once."""
        return self.logits(self.target_states(inputs, input_lengths, target, target_lengths))

    @abstractmethod
    def begin(
        self, inputs: torch.Tensor, input_lengths: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[DecodingState, torch.Tensor]:
        """Read the prompt (B, S, E right-padded) and the first tokens (B, k) of an answer, k may be 0.

        Returns:
            The state, and float32 logits (B, 1 + k, V) for the first token and for what follows each of `tokens`.
        """

    def start(self, inputs: torch.Tensor, input_lengths: torch.Tensor) -> tuple[DecodingState, torch.Tensor]:
        """Read the prompt (B, S, E right-padded); return the state and float32 logits (B, V) for the first token."""
        state, logits = self.begin(inputs, input_lengths, input_lengths.new_empty(len(inputs), 0))
        return state, logits[:, 0]

    @abstractmethod
    def step(self, state: DecodingState, tokens: torch.Tensor) -> torch.Tensor:
        """Append tokens (B, k); return float32 logits (B, k, V): logits[:, j] predict what follows tokens[:, j]."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """kind, model, revision, weights_sha256, dtype (all strings)."""

    def without_lora(self) -> contextlib.AbstractContextManager:
        """Within it the model is what it was before LoRA; nothing changes where there is none."""
        return contextlib.nullcontext()

    def train(self, mode: bool = True) -> AbsLLM:
        """Stay in eval mode: a frozen model's dropout must never come back (LoRA's is handled by its wrapper)."""
        return super().train(False)
