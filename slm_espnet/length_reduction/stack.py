"""Reductions that need no CTC: several neighbouring frames side by side as one, and none at all."""

from __future__ import annotations

import torch

from slm_espnet.length_reduction.base import AbsStaticReduction, CTCPath, Reduced


class FrameStacking(AbsStaticReduction):
    """Puts `factor` neighbouring frames side by side; the last group is filled with zeros."""

    def __init__(
        self,
        factor: int = 4,  # frames that become one
    ) -> None:
        if not isinstance(factor, int) or factor < 1:
            raise ValueError(f"factor is a number of frames from 1, not {factor!r}")
        self.factor = factor

    def __call__(self, frames: torch.Tensor, path: CTCPath | None) -> Reduced:
        """frames (T, D) → (ceil(T / factor), factor * D)."""
        missing = -len(frames) % self.factor
        padded = torch.nn.functional.pad(frames, (0, 0, 0, missing))
        positions = torch.arange(0, len(frames), self.factor, dtype=torch.int32, device=frames.device)
        stops = (positions + self.factor).clamp_max(len(frames))
        return Reduced(padded.reshape(len(positions), -1), positions, stops)

    def output_dim(self, input_dim: int) -> int:
        """factor times as wide."""
        return input_dim * self.factor

    def identity(self) -> dict[str, str]:
        """Name and factor."""
        return {"kind": "stack", "factor": str(self.factor)}


class NoReduction(AbsStaticReduction):
    """Keeps every frame."""

    def __call__(self, frames: torch.Tensor, path: CTCPath | None) -> Reduced:
        """frames (T, D), as they are."""
        positions = torch.arange(len(frames), dtype=torch.int32, device=frames.device)
        return Reduced(frames, positions, positions + 1)

    def output_dim(self, input_dim: int) -> int:
        """The width stays."""
        return input_dim

    def identity(self) -> dict[str, str]:
        """The name."""
        return {"kind": "none"}
