"""Multi-layer perceptron body: every frame by itself, the smallest adapter."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from slm_espnet.adapter.base import AbsAdapterBody
from slm_espnet.adapter.input import InputProjection


class MLPBody(AbsAdapterBody):
    """Residual two-layer perceptrons on each frame; neighbours are seen only through the encoder."""

    def __init__(
        self,
        input_size: int,
        layers: int = 2,  # residual perceptrons
        size: int = 256,  # H, width
        feed_forward: int | None = None,  # inner width; 4 × size when not given
        dropout: float = 0.1,  # on what each layer adds
        input_dropout: float = 0.15,  # on the normalised encodings
    ):
        super().__init__()
        self.output_size = size
        self.projection = InputProjection(input_size, size, input_dropout)
        inner = 4 * size if feed_forward is None else feed_forward
        self.layers = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.LayerNorm(size), torch.nn.Linear(size, inner), torch.nn.GELU(), torch.nn.Linear(inner, size)
            )
            for _ in range(layers)
        )
        self.final_norm = torch.nn.LayerNorm(size)
        self.dropout = dropout

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """frames (B, T, D), lengths (B,) → (B, T, H), (B,)."""
        hidden = self.projection(frames)
        for layer in self.layers:
            hidden = hidden + F.dropout(layer(hidden), self.dropout, self.training)
        return self.final_norm(hidden), lengths
