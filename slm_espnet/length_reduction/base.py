"""What every length reduction offers; who misses a method of it cannot be made.

Reductions without parameters (ctc_blank, ctc_merge, stack, none) run once, in the encoding stage, and are part of the
cache's fingerprint; those with parameters (conv) run in the trained model, after the cache.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Reduced:
    """One utterance after reduction."""

    frames: torch.Tensor  # (K, D')
    positions: torch.Tensor  # (K,) int32: the encoder frame at which each kept frame begins, increasing
    stops: torch.Tensor  # (K,) int32: one past the last encoder frame that it stands for, at most the next position


@dataclass(frozen=True)
class CTCPath:
    """What a reduction may know of an utterance's CTC probabilities."""

    best: torch.Tensor  # (T,) int64: likeliest token of each frame
    blank: torch.Tensor  # (T,) float32: log-probability of the blank
    blank_id: int

    @classmethod
    def of(cls, log_probs: torch.Tensor, blank_id: int) -> CTCPath:
        """The path of log-probabilities (T, V), or paths (B, T) of a batch (B, T, V)."""
        blank = log_probs[..., blank_id].contiguous()  # a view would keep all of them alive
        return cls(log_probs.argmax(-1), blank, blank_id)

    def row(self, row: int, length: int) -> CTCPath:
        """The path of one utterance of a batch."""
        return CTCPath(self.best[row, :length], self.blank[row, :length], self.blank_id)


class AbsStaticReduction(ABC):
    """A reduction without parameters, applied to one utterance in the encoding stage."""

    @abstractmethod
    def __call__(self, frames: torch.Tensor, path: CTCPath | None) -> Reduced:
        """Reduce one utterance: frames (T, D), path None without CTC. K ≥ 1 always holds for T ≥ 1."""

    @abstractmethod
    def output_dim(self, input_dim: int) -> int:
        """D' for a given D."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Name and settings, for the fingerprint."""


class AbsTrainedReduction(torch.nn.Module, ABC):
    """A reduction with parameters, trained together with the adapter and run on batches."""

    output_size: int  # D'

    @abstractmethod
    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reduce frames (B, T, D), lengths (B,) to (B, T', D') and lengths (B,); padding never leaks in."""
