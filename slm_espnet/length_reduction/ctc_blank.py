"""The CTC blank filter: drop frames that the encoder is sure to be blank (cf. arXiv 2306.07944)."""

from __future__ import annotations

import math

import torch

from slm_espnet.length_reduction.base import AbsStaticReduction, CTCPath, Reduced


class CTCBlankFilter(AbsStaticReduction):
    """Keeps the frames whose blank probability is at most a threshold; the least blank one where there is none."""

    def __init__(
        self,
        threshold: float = 0.95,  # probability above which a blank frame is dropped
    ) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold is a probability between 0 and 1, not {threshold}")
        self.threshold = float(threshold)

    def __call__(self, frames: torch.Tensor, path: CTCPath | None) -> Reduced:
        """frames (T, D) → the kept frames, bit-identical."""
        if path is None:
            raise ValueError("ctc_blank needs an encoder with CTC; use length_reduction: stack or none")
        limit = math.log(self.threshold) if self.threshold > 0 else -math.inf
        positions = (path.blank <= limit).nonzero().squeeze(1)
        if len(positions) == 0:
            positions = path.blank.argmin().unsqueeze(0)
        return Reduced(frames[positions], positions.int(), positions.int() + 1)

    def output_dim(self, input_dim: int) -> int:
        """The width stays."""
        return input_dim

    def identity(self) -> dict[str, str]:
        """Name and threshold."""
        return {"kind": "ctc_blank", "threshold": repr(self.threshold)}
