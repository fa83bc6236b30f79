"""The CTC blank filter: drop frames that the encoder is sure to be blank (cf. arXiv 2306.07944)."""

from __future__ import annotations

import math

import torch

from slm_espnet.length_reduction.base import AbsStaticReduction, Reduced


class CTCBlankFilter(AbsStaticReduction):
    """Keeps the frames whose blank probability is at most a threshold; the least blank one where there is none."""

    def __init__(
        self,
        threshold: float = 0.95,  # probability above which a blank frame is dropped
    ) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold is a probability between 0 and 1, not {threshold}")
        self.threshold = float(threshold)

    def __call__(self, frames: torch.Tensor, ctc_log_probs: torch.Tensor | None, blank_id: int | None) -> Reduced:
        """frames (T, D), ctc_log_probs (T, V) → the kept frames, bit-identical."""
        if ctc_log_probs is None or blank_id is None:
            raise ValueError("ctc_blank needs an encoder with CTC; use length_reduction: stack or none")
        blank = ctc_log_probs[:, blank_id]
        limit = math.log(self.threshold) if self.threshold > 0 else -math.inf
        positions = (blank <= limit).nonzero().squeeze(1)
        if len(positions) == 0:
            positions = blank.argmin().unsqueeze(0)
        return Reduced(frames[positions], positions.int(), positions.int() + 1)

    def output_dim(self, input_dim: int) -> int:
        """The width stays."""
        return input_dim

    def identity(self) -> dict[str, str]:
        """Name and threshold."""
        return {"kind": "ctc_blank", "threshold": repr(self.threshold)}
