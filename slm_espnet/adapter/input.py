"""What every adapter body begins with, and masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def valid_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """True where a position is within its utterance: lengths (B,) → (B, size) bool."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


class InputProjection(torch.nn.Module):
    """Normalise encodings, drop some of their values, project them to the body's width and normalise again.

    Dropout sits on the input because encodings of one encoder are redundant: it is the cheapest augmentation there is.
    """

    def __init__(self, input_size: int, output_size: int, dropout: float):
        super().__init__()
        self.input_norm = torch.nn.LayerNorm(input_size)
        self.linear = torch.nn.Linear(input_size, output_size)
        self.output_norm = torch.nn.LayerNorm(output_size)
        self.dropout = dropout

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(B, T, D) → (B, T, H)."""
        frames = F.dropout(self.input_norm(frames), self.dropout, self.training)
        return self.output_norm(self.linear(frames))


class StridedConv(torch.nn.Module):
    """One convolution over time whose result does not depend on padding; T' = ceil(T / stride)."""

    def __init__(self, input_size: int, output_size: int, kernel_size: int, stride: int):
        super().__init__()
        if kernel_size < stride:
            raise ValueError(f"kernel_size {kernel_size} is smaller than stride {stride}: frames would be skipped")
        self.conv = torch.nn.Conv1d(input_size, output_size, kernel_size, stride)
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """frames (B, T, D), lengths (B,) → (B, T', D'), (B,)."""
        frames = frames * valid_mask(lengths, frames.size(1))[..., None]
        steps = -(-frames.size(1) // self.stride)
        left = (self.kernel_size - self.stride) // 2
        right = (steps - 1) * self.stride + self.kernel_size - left - frames.size(1)
        reduced = self.conv(F.pad(frames.transpose(1, 2), (left, max(right, 0))))
        return reduced.transpose(1, 2)[:, :steps], -(-lengths // self.stride)
