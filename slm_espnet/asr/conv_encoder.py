"""A small, fast encoder for CTC: residual blocks of dilated convolution over stacked frames, as plain matrix products.

Built for CPUs, where a dense matrix product in bfloat16 is far quicker than a convolution or attention kernel.
"""

from __future__ import annotations

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch.nn import functional as F

from slm_espnet.asr.packed import Layout, ResidualConv

ROWS_MULTIPLE = 256  # of a packed batch
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class ConvEncoder(AbsEncoder):
    """Stacked frames → residual dilated convolution blocks → layer norm.

    The output of an utterance does not depend on the padding of its batch: utterances lie behind one another with
    zeros between (`slm_espnet.asr.packed`), and the pooled context averages over real frames only.

    Args:
        input_size: features per frame.
        output_size: width of the encoder.
        hidden_size: width inside a block, after the convolution.
        stride: frames that become one group; the output has one frame per group and sees three groups at once.
        dilations: one block for each, of groups.
        context_blocks: numbers of blocks (from 1) after which the utterance's mean is added to every frame.
        dropout_rate: share of hidden channels dropped, for all frames of an utterance alike: neighbouring frames
            cannot fill in for each other.
        interctc_layer_idx: blocks (from 1) whose output is also returned, for ESPnet's intermediate CTC.
        interctc_use_conditioning: add what these blocks' CTC predicts to the input of the next block
            (self-conditioned CTC, Nozaki and Komatsu 2021, arXiv 2104.02724); ESPnet's model makes the layer for it.
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
        blocks = set(range(1, len(dilations) + 1))
        for name, chosen in (("context_blocks", context_blocks), ("interctc_layer_idx", interctc_layer_idx)):
            if not set(chosen) <= blocks:
                raise ValueError(f"{name} {list(chosen)} names blocks beyond the {len(dilations)} of dilations")
        self.stride = stride
        self.dropout_rate = dropout_rate
        self.interctc_layer_idx = list(interctc_layer_idx)
        self.interctc_use_conditioning = interctc_use_conditioning
        self.conditioning_layer: torch.nn.Linear | None = None  # ESPnet's model sets it
        self.compute_dtype = _DTYPES[compute_dtype]
        self.gap = max(dilations)
        self.embed = torch.nn.Linear(3 * stride * input_size, output_size)
        self.blocks = torch.nn.ModuleList(ConvBlock(output_size, hidden_size, dilation) for dilation in dilations)
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
            prev_states: part of ESPnet's call, unused here.
            ctc: the model's CTC layer, for self-conditioning.

        Returns:
            Frames (B, ceil(T / stride), output_size) float32, or with intermediate CTC a pair of those and a list of
            (block, frames); lengths (B,); None.
        """
        groups, lengths = self._stack(xs_pad, ilens)
        layout = Layout.of(lengths, groups.size(1), self.gap, ROWS_MULTIPLE)
        hidden = _linear(self.embed, _with_neighbours(layout.pack(groups)))
        pooling = layout.pooling(hidden.dtype) if self.contexts else None
        intermediate = []
        for number, block in enumerate(self.blocks, 1):
            hidden = block(hidden, layout, self.dropout_rate)
            if str(number) in self.contexts:
                context = _linear(self.contexts[str(number)], pooling @ hidden)
                hidden = hidden + context.index_select(0, layout.utterance)
            if number in self.interctc_layer_idx:
                heard = self.interctc_norms[str(number)](hidden.float())
                intermediate.append((number, layout.unpack(heard)))
                if self.conditioning_layer is not None:
                    predicted = ctc.softmax(heard[None])[0].to(hidden.dtype)
                    hidden = hidden + _linear(self.conditioning_layer, predicted)
        output = layout.unpack(self.after_norm(hidden.float()))
        return ((output, intermediate) if intermediate else output), lengths, None

    def _stack(self, xs_pad: torch.Tensor, ilens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale to unit variance over each utterance and stack `stride` frames."""
        batch, frames, size = xs_pad.shape
        ilens = ilens.to(xs_pad.device)
        frame_mask = (torch.arange(frames, device=xs_pad.device) < ilens[:, None])[..., None]
        xs_pad = xs_pad * frame_mask
        variance = xs_pad.square().sum(1, keepdim=True) / ilens[:, None, None]
        xs_pad = xs_pad * (variance + 1e-2).rsqrt()
        padded = -(-frames // self.stride) * self.stride
        groups = F.pad(xs_pad, (0, 0, 0, padded - frames)).view(batch, padded // self.stride, self.stride * size)
        lengths = torch.div(ilens + self.stride - 1, self.stride, rounding_mode="floor")
        return groups.to(self.compute_dtype), lengths


class ConvBlock(torch.nn.Module):
    """The weights of one residual convolution block, applied to packed rows (rows, size) of any floating dtype."""

    def __init__(self, size: int, hidden_size: int, dilation: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(size)
        self.convolution = torch.nn.Linear(3 * size, hidden_size)
        self.output = torch.nn.Linear(hidden_size, size, bias=False)
        self.dilation = dilation
        # Small at first, so that a deep stack begins near the identity.
        torch.nn.init.normal_(self.output.weight, 0, 0.5 * hidden_size**-0.5)

    def forward(self, x: torch.Tensor, layout: Layout, dropout_rate: float) -> torch.Tensor:
        """x (rows, size) in `layout`; the same shape comes back, and means nothing in the gaps."""
        keep = None
        if self.training and dropout_rate > 0:
            shape = (len(layout.lengths), self.convolution.out_features)
            drawn = torch.rand(shape, device=x.device) >= dropout_rate
            keep = (drawn.to(x.dtype) / (1 - dropout_rate)).index_select(0, layout.utterance)
        return ResidualConv.apply(
            x, layout.gaps, self.dilation, keep, self.norm.weight, self.norm.bias,
            self.convolution.weight, self.convolution.bias, self.output.weight,
        )  # fmt: skip


def _linear(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """The layer in x's dtype: its float32 weights are rounded on the way, and the gradient reaches them."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _with_neighbours(rows: torch.Tensor) -> torch.Tensor:
    """(N, C) → (N, 3 C): the row before, the row, the row after; zeros beyond the edges."""
    before, after = F.pad(rows, (0, 0, 1, 0))[:-1], F.pad(rows, (0, 0, 0, 1))[1:]
    return torch.cat([before, rows, after], 1)


def _zero_linear(size: int) -> torch.nn.Linear:
    layer = torch.nn.Linear(size, size)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer
