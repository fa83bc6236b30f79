"""What every frozen speech encoder offers to the encoding stage; who misses a method of it cannot be made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class EncoderOutput:
    """One batch of encoded speech."""

    frames: torch.Tensor  # (B, T, D) float32: the encoder's last layer
    lengths: torch.Tensor  # (B,) int64: valid frames of each utterance
    ctc_log_probs: torch.Tensor | None  # (B, T, V) float32 log-probabilities, None for encoders without CTC


class AbsSpeechEncoder(torch.nn.Module, ABC):
    """A frozen encoder. Always in eval mode and without gradients; the same result whatever else is in the batch."""

    sampling_rate: int  # Hz that `forward` expects
    dim: int  # D, width of a frame
    frame_shift: float  # seconds from one frame to the next
    blank_id: int | None  # CTC blank, None without CTC
    vocabulary: tuple[str, ...] | None  # the V CTC tokens, None without CTC
    min_samples: int  # fewest samples that give a frame
    padding: str = "exact"  # "allow": padded batches are taken although they alter the frames (speech_encoder_conf)

    @abstractmethod
    def forward(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> EncoderOutput:
        """Encode waveforms: speech (B, N) float32 in [-1, 1] zero-padded, speech_lengths (B,) in samples.

        Raises:
            ValueError: an utterance is shorter than `min_samples`.
        """

    @abstractmethod
    def ctc_text(self, token_ids: Sequence[int]) -> str:
        """Text of a CTC token sequence from which blanks and repetitions are already removed."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """What distinguishes this encoder, all strings: kind, model, revision, weights_sha256, dtype, sampling_rate."""

    def allow_padding(self) -> None:
        """Take padded batches even where padding alters the frames; nothing changes where it does not."""

    def train(self, mode: bool = True) -> AbsSpeechEncoder:
        """Stay in eval mode whatever is asked: a frozen model's dropout must never come back."""
        return super().train(False)


def ctc_greedy(log_probs: torch.Tensor, blank_id: int) -> tuple[list[int], list[int]]:
    """Best CTC path of one utterance.

    Args:
        log_probs: (T, V).
        blank_id: the blank's index.

    Returns:
        The tokens without blanks and repetitions, and the frame at which each begins.
    """
    return collapsed(log_probs.argmax(-1).tolist(), blank_id)


def collapsed(best: Sequence[int], blank_id: int) -> tuple[list[int], list[int]]:
    """Tokens of a CTC path without blanks and repetitions, and the frame at which each begins."""
    tokens, starts, previous = [], [], blank_id
    for frame, token in enumerate(best):
        if token != blank_id and token != previous:
            tokens.append(token)
            starts.append(frame)
        previous = token
    return tokens, starts
