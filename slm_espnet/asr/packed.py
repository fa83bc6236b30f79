"""Utterances of a batch behind one another in one matrix, and a residual convolution block on such a matrix.

Between utterances lie a few rows of zeros, so a dilated convolution is three matrix products on shifted slices of one
buffer: nothing is padded to the longest utterance, nothing is copied to bring neighbours together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

NORM_EPS = 1e-5


@dataclass(frozen=True)
class Layout:
    """Where the frames of each utterance lie among the rows."""

    rows: int  # frames and gaps together
    source: torch.Tensor  # (rows,) long: frame of the padded batch, as one list; gaps point to frame 0
    gaps: torch.Tensor  # (n,) long: rows between utterances
    utterance: torch.Tensor  # (rows,) long: whose row it is; a gap counts with the utterance before it
    position: torch.Tensor  # (B, T) long: row of each frame of the padded batch; padding points to the first gap
    lengths: torch.Tensor  # (B,) long: frames

    @classmethod
    def of(cls, lengths: torch.Tensor, frames: int, gap: int, multiple: int = 1) -> Layout:
        """Layout of a padded batch (B, frames) with `gap` rows before, between and after its utterances.

        The last gap grows until the number of rows is a multiple of `multiple`: matrix products of ever new sizes
        would each have their code generated anew.
        """
        device, batch = lengths.device, len(lengths)
        starts = gap + F.pad((lengths + gap).cumsum(0)[:-1], (1, 0))
        rows = -(-(gap + int((lengths + gap).sum())) // multiple) * multiple
        time = torch.arange(frames, device=device)
        real = time < lengths[:, None]
        position = torch.where(real, starts[:, None] + time, 0)
        source = torch.zeros(rows, dtype=torch.long, device=device)
        is_gap = torch.ones(rows, dtype=torch.bool, device=device)
        source[position[real]] = torch.arange(batch * frames, device=device).view(batch, frames)[real]
        is_gap[position[real]] = False
        utterance = (torch.searchsorted(starts, torch.arange(rows, device=device), right=True) - 1).clamp(min=0)
        return cls(rows, source, is_gap.nonzero().squeeze(1), utterance, position, lengths)

    def pack(self, padded: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (rows, C), gaps zero."""
        return padded.flatten(0, 1).index_select(0, self.source).index_fill_(0, self.gaps, 0)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """(rows, C) → (B, T, C); what stands in the padding means nothing."""
        return packed.index_select(0, self.position.flatten()).view(*self.position.shape, -1)

    def pooling(self, dtype: torch.dtype) -> torch.Tensor:
        """(B, rows): times packed rows it gives the mean of each utterance."""
        weight = torch.zeros(len(self.lengths), self.rows, dtype=dtype, device=self.source.device)
        share = (1 / self.lengths)[self.utterance].index_fill(0, self.gaps, 0)
        return weight.scatter_(0, self.utterance[None], share[None].to(dtype))


class ResidualConv(torch.autograd.Function):
    """x + ReLU(dilated width-3 convolution(LayerNorm(x))) @ out, with what the backward pass needs and no more.

    Written by hand because on a CPU the passes over memory between the matrix products, not the products, are the
    cost of a block: autograd's own needs about three times as many.
    """

    @staticmethod
    def forward(ctx, x, gaps, dilation, keep, norm_weight, norm_bias, conv_weight, conv_bias, out_weight):
        """x (rows, C); gaps (n,) rows that count as zero; keep (rows, H) to multiply the hidden rows with, or None;
        conv_weight (H, 3 C): of the row `dilation` before, the row, the row after; out_weight (C, H)."""
        dtype, rows = x.dtype, x.size(0) - 2 * dilation
        normed, mean, rstd = torch.native_layer_norm(x, x.shape[-1:], norm_weight, norm_bias, NORM_EPS)
        normed.index_fill_(0, gaps, 0)
        taps = [tap.contiguous() for tap in conv_weight.to(dtype).chunk(3, 1)]
        hidden = torch.addmm(conv_bias.to(dtype), normed[:rows], taps[0].t())
        for number in (1, 2):
            hidden.addmm_(normed[number * dilation :][:rows], taps[number].t())
        hidden.relu_()
        if keep is not None:
            hidden.mul_(keep[dilation:][:rows])
        out = out_weight.to(dtype)
        result = x.clone()
        result[dilation:][:rows].addmm_(hidden, out.t())
        ctx.dilation, ctx.taps, ctx.out = dilation, taps, out
        ctx.save_for_backward(x, gaps, keep, norm_weight, norm_bias, normed, mean, rstd, hidden)
        return result

    @staticmethod
    def backward(ctx, grad):
        x, gaps, keep, norm_weight, norm_bias, normed, mean, rstd, hidden = ctx.saved_tensors
        dilation, rows = ctx.dilation, hidden.size(0)
        inner = grad[dilation:][:rows]
        d_out = inner.t() @ hidden
        d_hidden = torch.ops.aten.threshold_backward(inner @ ctx.out, hidden, 0)
        if keep is not None:
            d_hidden.mul_(keep[dilation:][:rows])
        d_conv = torch.cat([d_hidden.t() @ normed[number * dilation :][:rows] for number in range(3)], 1)
        d_normed = torch.zeros_like(x)
        for number, tap in enumerate(ctx.taps):
            d_normed[number * dilation :][:rows].addmm_(d_hidden, tap)
        d_normed.index_fill_(0, gaps, 0)
        d_x, d_norm_weight, d_norm_bias = torch.ops.aten.native_layer_norm_backward(
            d_normed, x, x.shape[-1:], mean, rstd, norm_weight, norm_bias, [True, True, True]
        )
        d_bias = d_hidden.sum(0, dtype=torch.float32)
        return d_x.add_(grad), None, None, None, d_norm_weight, d_norm_bias, d_conv.float(), d_bias, d_out.float()
