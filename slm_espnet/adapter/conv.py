"""Convolutional body: strided convolutions over time, for encoders whose frames are not filtered beforehand."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from slm_espnet.adapter.base import AbsAdapterBody
from slm_espnet.adapter.input import InputProjection, StridedConv


class ConvBody(AbsAdapterBody):
    """Convolutions that look at neighbours and may shorten the sequence."""

    def __init__(
        self,
        input_size: int,
        layers: int = 2,  # convolutions
        size: int = 256,  # H, width
        kernel_size: int = 5,  # frames that one convolution sees; at least stride
        stride: int = 1,  # of each convolution; layers=2, stride=2 shortens four times
        dropout: float = 0.1,  # on what each layer puts out
        input_dropout: float = 0.15,  # on the normalised encodings
    ):
        super().__init__()
        self.output_size = size
        self.reduction_factor = stride**layers
        self.projection = InputProjection(input_size, size, input_dropout)
        self.convs = torch.nn.ModuleList(StridedConv(size, size, kernel_size, stride) for _ in range(layers))
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(size) for _ in range(layers))
        self.dropout = dropout

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """frames (B, T, D), lengths (B,) → (B, T', H), (B,)."""
        hidden = self.projection(frames)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            before = hidden
            hidden, lengths = conv(hidden, lengths)
            hidden = F.dropout(F.gelu(hidden), self.dropout, self.training)
            if conv.stride == 1:  # nothing is shortened: a residual layer
                hidden = hidden + before
            hidden = norm(hidden)
        return hidden, lengths
