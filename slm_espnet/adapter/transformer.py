"""Transformer body, the paper's (arXiv 2310.00230, section 2: two transformer layers between encoder and LLM)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from slm_espnet.adapter.base import AbsAdapterBody
from slm_espnet.adapter.input import InputProjection, valid_mask

POSITIONS = ("sinusoidal", "rotary", "none")


def sinusoids(length: int, width: int, device: torch.device) -> torch.Tensor:
    """Angles of the usual geometric frequencies: (length, width // 2)."""
    steps = torch.arange(0, width, 2, device=device, dtype=torch.float32)[: width // 2]
    return torch.arange(length, device=device)[:, None] * torch.exp(steps * (-math.log(10000.0) / width))


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864, equation 34) on queries or keys (..., T, d).

    A pair of numbers is one complex number that is turned: a seventh of the time of four real products.
    """
    angles = sinusoids(x.size(-2), x.size(-1), x.device)
    turned = torch.view_as_complex(x.float().unflatten(-1, (-1, 2))) * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


class Convolution(torch.nn.Module):
    """Pre-norm gated depthwise convolution over neighbouring frames, Conformer's (arXiv 2005.08100, section 2.2).

    Without its batch normalisation: what a frame becomes must not depend on the batch.
    """

    def __init__(self, size: int, kernel: int):
        super().__init__()
        self.norm = torch.nn.LayerNorm(size)
        self.gated = torch.nn.Linear(size, 2 * size)
        self.depthwise = torch.nn.Conv1d(size, size, kernel, padding=kernel // 2, groups=size)
        self.out = torch.nn.Linear(size, size)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x (B, T, H), mask (B, T, 1) bool, False on padding → what is added to x."""
        hidden = F.glu(self.gated(self.norm(x))) * mask
        return self.out(F.silu(self.depthwise(hidden.transpose(1, 2)).transpose(1, 2)))


class TransformerLayer(torch.nn.Module):
    """Pre-norm self-attention, convolution where there is one, and feed-forward."""

    def __init__(
        self,
        size: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        attention_dropout: float,
        rotary: bool,
        convolution: int,
    ):
        super().__init__()
        self.attention_norm = torch.nn.LayerNorm(size)
        self.query_key_value = torch.nn.Linear(size, 3 * size)
        self.attention_out = torch.nn.Linear(size, size)
        self.convolution = Convolution(size, convolution) if convolution else None
        self.feed_forward_norm = torch.nn.LayerNorm(size)
        self.feed_forward_in = torch.nn.Linear(size, feed_forward)
        self.feed_forward_out = torch.nn.Linear(feed_forward, size)
        self.heads, self.dropout, self.attention_dropout, self.rotary = heads, dropout, attention_dropout, rotary

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x (B, T, H), mask (B, 1, 1, T) bool, True where attended."""
        x = x + F.dropout(self._attend(self.attention_norm(x), mask), self.dropout, self.training)
        if self.convolution is not None:
            x = x + F.dropout(self.convolution(x, mask[:, 0, 0, :, None]), self.dropout, self.training)
        hidden = self.feed_forward_out(F.gelu(self.feed_forward_in(self.feed_forward_norm(x))))
        return x + F.dropout(hidden, self.dropout, self.training)

    def _attend(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, size = x.shape
        qkv = self.query_key_value(x).view(batch, length, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv
        if self.rotary:
            query, key = rotate(qkv[:2])
        dropout = self.attention_dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        return self.attention_out(attended.transpose(1, 2).reshape(batch, length, size))


class TransformerBody(AbsAdapterBody):
    """Layers of self-attention over the kept frames."""

    def __init__(
        self,
        input_size: int,
        layers: int = 2,  # the paper's depth
        size: int = 256,  # H, width
        heads: int = 4,  # attention heads; divides size
        feed_forward: int | None = None,  # inner width of the feed-forward; 4 × size when not given
        dropout: float = 0.1,  # on what each half layer adds
        attention_dropout: float = 0.0,  # on attention weights
        input_dropout: float = 0.15,  # on the normalised encodings
        positions: str = "sinusoidal",  # sinusoidal | rotary | none
        convolution: int = 0,  # frames that a convolution in each layer spans, odd; 0: none, as in the paper
    ):
        super().__init__()
        if convolution and not (convolution > 0 and convolution % 2):
            raise ValueError(f"convolution must be an odd number of frames, or 0 for none, not {convolution}")
        if size % heads or (size // heads) % 2:
            raise ValueError(f"size {size} must be an even multiple of heads {heads}")
        if positions not in POSITIONS:
            raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, not {positions!r}")
        self.output_size = size
        self.projection = InputProjection(input_size, size, input_dropout)
        inner = 4 * size if feed_forward is None else feed_forward
        rotary = positions == "rotary"
        self.layers = torch.nn.ModuleList(
            TransformerLayer(size, heads, inner, dropout, attention_dropout, rotary, convolution) for _ in range(layers)
        )
        self.final_norm = torch.nn.LayerNorm(size)
        # half the size of a normalised frame, learnable: content should outweigh position from the first step on
        self.position_scale = torch.nn.Parameter(torch.tensor(0.5)) if positions == "sinusoidal" else None

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """frames (B, T, D), lengths (B,) → (B, T, H), (B,)."""
        hidden = self.projection(frames)
        if self.position_scale is not None:
            angles = sinusoids(hidden.size(1), hidden.size(2), hidden.device)
            hidden = hidden + self.position_scale * torch.cat((angles.sin(), angles.cos()), -1).to(hidden.dtype)
        mask = valid_mask(lengths, frames.size(1))[:, None, None]
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return self.final_norm(hidden), lengths
