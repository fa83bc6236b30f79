"""What every adapter is made of: a body (frames → hidden states) and an output (hidden states → LLM embeddings).

A class that misses a method of its base cannot be made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Placement:
    """A phrase that is put in place of what was heard in a span of encodings (contextual biasing)."""

    start: int  # first encoding (index among the kept frames) that belongs to the phrase
    stop: int  # one past the last
    token_ids: tuple[int, ...]  # the phrase in the LLM's tokens


@dataclass(frozen=True)
class SpeechEmbeddings:
    """One batch of speech in the LLM's input-embedding space."""

    embeddings: torch.Tensor  # (B, S, E) zero where padded
    lengths: torch.Tensor  # (B,) int64
    ctc_logits: torch.Tensor | None = None  # (B, T, 1 + V) float32, blank and LLM tokens, before collapsing; or no CTC
    ctc_lengths: torch.Tensor | None = None  # (B,) valid T of ctc_logits
    heard: torch.Tensor | None = None  # (B, L) best CTC path in LLM tokens, placed phrases in it; or no CTC
    heard_lengths: torch.Tensor | None = None  # (B,) valid L of heard
    sizes: tuple[int, ...] | None = None  # lengths as plain numbers, where a GPU had to be asked; None: the body's
    stats: dict[str, torch.Tensor] = field(default_factory=dict)  # scalars worth logging

    @property
    def ctc_log_probs(self) -> torch.Tensor | None:
        """(B, T, 1 + V), or None without CTC; computed at every call, as decoding seldom needs them."""
        return None if self.ctc_logits is None else self.ctc_logits.log_softmax(-1)


class AbsAdapterBody(torch.nn.Module, ABC):
    """frames (B, T, D) → hidden states (B, T, H)."""

    output_size: int  # H
    reduction_factor: int = 1  # T' is ceil(T / reduction_factor)

    @abstractmethod
    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states (B, T', H) and lengths (B,). Padded frames never influence valid ones."""


class AbsAdapterOutput(torch.nn.Module, ABC):
    """hidden states (B, T, H) → LLM embeddings."""

    has_ctc: bool  # whether SpeechEmbeddings come with ctc_log_probs

    @abstractmethod
    def forward(
        self,
        hidden: torch.Tensor,
        lengths: torch.Tensor,
        embedding_table: torch.Tensor,
        placements: list[list[Placement]] | None = None,
    ) -> SpeechEmbeddings:
        """Map hidden (B, T, H), lengths (B,) into the space of embedding_table (V, E), splicing placements in."""
