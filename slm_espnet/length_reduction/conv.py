"""Trained length reduction: strided convolutions between the cached encodings and the adapter's body."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from slm_espnet.adapter.input import StridedConv
from slm_espnet.length_reduction.base import AbsTrainedReduction


class ConvReduction(AbsTrainedReduction):
    """Strided convolutions with GELU; each divides the length by `stride` (rounded up)."""

    def __init__(
        self,
        input_size: int,
        output_size: int | None = None,  # D'; input_size when not given
        layers: int = 1,  # convolutions; the length is divided by stride ** layers
        kernel_size: int = 3,  # frames that one convolution sees; at least stride
        stride: int = 2,  # of each convolution
    ):
        super().__init__()
        self.output_size = input_size if output_size is None else output_size
        self.reduction_factor = stride**layers
        sizes = [input_size] + [self.output_size] * layers
        self.norm = torch.nn.LayerNorm(input_size)
        self.convs = torch.nn.ModuleList(
            StridedConv(before, after, kernel_size, stride) for before, after in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """frames (B, T, D), lengths (B,) → (B, T', D'), (B,) with T' = ceil(T / stride ** layers)."""
        frames = self.norm(frames)
        for conv in self.convs:
            frames, lengths = conv(frames, lengths)
            frames = F.gelu(frames)
        return frames, lengths
