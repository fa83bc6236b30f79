"""A small, fast encoder for CTC: residual blocks of dilated convolution over stacked frames, as plain matrix products.

Built for CPUs, where a dense matrix product in bfloat16 is far quicker than a convolution or attention kernel: a
width-3 convolution is three shifted copies side by side and one linear layer.
"""

from __future__ import annotations

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch.nn import functional as F

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class ConvEncoder(AbsEncoder):
    """Stacked frames → residual dilated convolution blocks → layer norm.

    The output of an utterance does not depend on the padding of its batch: every frame beyond its length is zero
    wherever a neighbour could see it, and the pooled context averages over real frames only.

    Args:
        input_size: features per frame.
        output_size: width of the encoder.
        hidden_size: width inside a block, after the convolution.
        stride: frames that become one group; the output has one frame per group and sees three groups at once.
        dilations: one block for each, of groups.
        context_blocks: numbers of blocks (from 1) after which the utterance's mean is added to every frame.
        dropout_rate: share of hidden channels dropped, for all frames of an utterance alike: drawing one number per
            channel costs nothing, and neighbouring frames cannot fill in for each other.
        interctc_layer_idx: blocks (from 1) whose output is also returned, for ESPnet's intermediate CTC.
        interctc_use_conditioning: read by ESPnet's model; only False is supported.
        compute_dtype: "float32" or "bfloat16", for the matrix products; weights stay float32.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int = 256,
        hidden_size: int = 256,
        stride: int = 3,
        dilations: list[int] | tuple[int, ...] = (1, 1, 2, 2, 4, 4, 8, 8),
        context_blocks: list[int] | tuple[int, ...] = (2, 4),
        dropout_rate: float = 0.1,
        interctc_layer_idx: list[int] | tuple[int, ...] = (),
        interctc_use_conditioning: bool = False,
        compute_dtype: str = "bfloat16",
    ) -> None:
        super().__init__()
        if compute_dtype not in _DTYPES:
            raise ValueError(f"compute_dtype is {compute_dtype!r}; choose one of {', '.join(_DTYPES)}")
        if interctc_use_conditioning:
            raise ValueError("ConvEncoder has no self-conditioning; set interctc_use_conditioning to false")
        blocks = set(range(1, len(dilations) + 1))
        for name, chosen in (("context_blocks", context_blocks), ("interctc_layer_idx", interctc_layer_idx)):
            if not set(chosen) <= blocks:
                raise ValueError(f"{name} {list(chosen)} names blocks beyond the {len(dilations)} of dilations")
        self.stride = stride
        self.interctc_layer_idx = list(interctc_layer_idx)
        self.interctc_use_conditioning = False
        self.compute_dtype = _DTYPES[compute_dtype]
        self.embed = torch.nn.Linear(3 * stride * input_size, output_size)
        self.blocks = torch.nn.ModuleList(
            ConvBlock(output_size, hidden_size, dilation, dropout_rate) for dilation in dilations
        )
        self.contexts = torch.nn.ModuleDict({str(i): _zero_linear(output_size) for i in sorted(context_blocks)})
        self.after_norm = torch.nn.LayerNorm(output_size)
        self.interctc_norms = torch.nn.ModuleDict(
            {str(i): torch.nn.LayerNorm(output_size) for i in self.interctc_layer_idx}
        )
        self._output_size = output_size

    def output_size(self) -> int:
        return self._output_size

    def forward(
        self, xs_pad: torch.Tensor, ilens: torch.Tensor, prev_states: torch.Tensor | None = None, ctc=None
    ) -> tuple[torch.Tensor | tuple, torch.Tensor, None]:
        """Encode a batch.

        Args:
            xs_pad: (B, T, input_size) features.
            ilens: (B,) frames.
            prev_states, ctc: part of ESPnet's call, unused here.

        Returns:
            Frames (B, ceil(T / stride), output_size) float32, or with intermediate CTC a pair of those and a list of
            (block, frames); lengths (B,); None.
        """
        groups, lengths, mask = self._stack(xs_pad, ilens)
        mask = mask.to(self.compute_dtype)
        pooling = mask / lengths[:, None, None]
        hidden = _linear(self.embed, torch.cat([_shift(groups, 1), groups, _shift(groups, -1)], -1))
        intermediate = []
        for number, block in enumerate(self.blocks, 1):
            hidden = block(hidden, mask)
            if str(number) in self.contexts:
                mean = (hidden.float() * pooling.float()).sum(1, keepdim=True).to(hidden.dtype)
                hidden = hidden + _linear(self.contexts[str(number)], mean)
            if number in self.interctc_layer_idx:
                intermediate.append((number, self.interctc_norms[str(number)](hidden.float())))
        output = self.after_norm(hidden.float())
        return ((output, intermediate) if intermediate else output), lengths, None

    def _stack(self, xs_pad: torch.Tensor, ilens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scale to unit variance over each utterance and stack `stride` frames; padding is zero afterwards."""
        batch, frames, size = xs_pad.shape
        ilens = ilens.to(xs_pad.device)
        frame_mask = (torch.arange(frames, device=xs_pad.device) < ilens[:, None])[..., None]
        xs_pad = xs_pad * frame_mask
        variance = xs_pad.square().sum(1, keepdim=True) / ilens[:, None, None]
        xs_pad = xs_pad * (variance + 1e-2).rsqrt()
        padded = -(-frames // self.stride) * self.stride
        groups = F.pad(xs_pad, (0, 0, 0, padded - frames)).view(batch, padded // self.stride, self.stride * size)
        lengths = torch.div(ilens + self.stride - 1, self.stride, rounding_mode="floor")
        mask = (torch.arange(groups.size(1), device=groups.device) < lengths[:, None])[..., None]
        return groups.to(self.compute_dtype), lengths, mask


class ConvBlock(torch.nn.Module):
    """x + Linear(ReLU(dilated width-3 convolution(LayerNorm(x)))), on (B, T, size) of any floating dtype."""

    def __init__(self, size: int, hidden_size: int, dilation: int, dropout_rate: float) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(size)
        self.convolution = torch.nn.Linear(3 * size, hidden_size)
        self.output = torch.nn.Linear(hidden_size, size)
        self.dilation = dilation
        self.dropout_rate = dropout_rate
        # Small at first, so that a deep stack begins near the identity.
        torch.nn.init.normal_(self.output.weight, 0, 0.5 * hidden_size**-0.5)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x (B, T, size), mask (B, T, 1) of the same dtype, 1 where there is speech."""
        dtype = x.dtype
        normed = F.layer_norm(x, x.shape[-1:], self.norm.weight.to(dtype), self.norm.bias.to(dtype)) * mask
        neighbours = torch.cat([_shift(normed, self.dilation), normed, _shift(normed, -self.dilation)], -1)
        hidden = F.relu(_linear(self.convolution, neighbours))
        if self.training and self.dropout_rate > 0:
            keep = 1 - self.dropout_rate
            drawn = torch.rand(hidden.size(0), 1, hidden.size(2), device=hidden.device) < keep
            hidden = hidden * (drawn.to(dtype) / keep)
        return x + _linear(self.output, hidden)


def _linear(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """The layer in x's dtype: its float32 weights are rounded on the way, and the gradient reaches them."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _shift(x: torch.Tensor, steps: int) -> torch.Tensor:
    """x (B, T, C) moved along time by `steps` (positive: later), zeros moving in."""
    if abs(steps) >= x.size(1):
        return torch.zeros_like(x)
    if steps > 0:
        return F.pad(x, (0, 0, steps, 0))[:, :-steps]
    return F.pad(x, (0, 0, 0, -steps))[:, -steps:]


def _zero_linear(size: int) -> torch.nn.Linear:
    layer = torch.nn.Linear(size, size)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer
