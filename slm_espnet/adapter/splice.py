"""Which frames become which embeddings, and where placed phrases go: index arithmetic shared by the adapter outputs.

Everything is computed for the whole batch at once; Python loops run over placed phrases only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from slm_espnet.adapter.base import Placement


@dataclass(frozen=True)
class Cover:
    """Placements of a batch as tensors."""

    covered: torch.Tensor  # (B, T) bool: frames that a placed phrase stands for
    tokens_at: torch.Tensor  # (B, T + 1) int64: placed tokens that go right before frame t
    rows: torch.Tensor  # (P,) int64: utterance of each placed token
    starts: torch.Tensor  # (P,) int64: frame before which it goes
    offsets: torch.Tensor  # (P,) int64: its place among the tokens that go before the same frame
    ids: torch.Tensor  # (P,) int64: LLM token ids


@dataclass(frozen=True)
class Layout:
    """Where everything goes in an output of (B, S) embeddings; flat indices count rows of (B * T) and (B * S)."""

    frames: torch.Tensor  # (N,) int64: flat index of each frame that is used
    segment: torch.Tensor  # (N,) int64: the segment 0 … G - 1 it belongs to
    slots: torch.Tensor  # (G,) int64: flat output index of each segment
    placed_ids: torch.Tensor  # (P,) int64
    placed_slots: torch.Tensor  # (P,) int64
    lengths: torch.Tensor  # (B,) int64: embeddings of each utterance
    sizes: tuple[int, ...]  # the same as plain numbers
    size: int  # S


def cover(placements: Sequence[Sequence[Placement]], lengths: torch.Tensor, size: int) -> Cover:
    """Check placements and turn them into tensors.

    Args:
        placements: for each utterance, spans in increasing order that do not overlap.
        lengths: (B,) frames of each utterance.
        size: T.

    Raises:
        ValueError: a span is empty of tokens, reversed, overlaps the one before, or ends beyond the utterance.
    """
    if len(placements) != len(lengths):
        raise ValueError(f"{len(placements)} lists of placements for a batch of {len(lengths)}")
    covered = torch.zeros(len(lengths), size, dtype=torch.bool)
    tokens_at = torch.zeros(len(lengths), size + 1, dtype=torch.int64)
    rows, starts, offsets, ids = [], [], [], []
    for row, (spans, frames) in enumerate(zip(placements, lengths.tolist(), strict=True)):
        before = 0
        for span in spans:
            if not span.token_ids or not before <= span.start <= span.stop <= frames:
                raise ValueError(f"placement {span} of utterance {row} overlaps, lacks tokens or ends past {frames}")
            covered[row, span.start : span.stop] = True
            for token in span.token_ids:
                rows.append(row)
                starts.append(span.start)
                offsets.append(int(tokens_at[row, span.start]))
                ids.append(token)
                tokens_at[row, span.start] += 1
            before = span.stop
    device = lengths.device
    placed = (torch.tensor(values, dtype=torch.int64, device=device) for values in (rows, starts, offsets, ids))
    return Cover(covered.to(device), tokens_at.to(device), *placed)


def lay_out(first: torch.Tensor, used: torch.Tensor, placed: Cover | None) -> Layout:
    """Number the segments of every utterance and find the place of each in the output.

    How large the output is depends on what is on the device, so this waits for a GPU, once.

    Args:
        first: (B, T) bool, frames that begin a segment.
        used: (B, T) bool, frames that belong to a segment; first implies used.
        placed: phrases to put in between.
    """
    batch, frames = first.shape
    tokens_at = first.new_zeros(batch, frames + 1, dtype=torch.int64) if placed is None else placed.tokens_at
    emitted = tokens_at.clone()
    emitted[:, :frames] += first
    before = emitted.cumsum(1) - emitted
    lengths = emitted.sum(1)
    *sizes, used_count, first_count = torch.cat([lengths, used.sum()[None], first.sum()[None]]).tolist()
    size = max(sizes)
    base = torch.arange(batch, device=first.device)[:, None] * size + before
    none = lengths.new_empty(0)
    taken = _places(used.flatten(), used_count)
    return Layout(
        frames=taken,
        segment=(first.flatten().cumsum(0) - 1)[taken],
        slots=(base + tokens_at)[:, :frames].flatten()[_places(first.flatten(), first_count)],
        placed_ids=none if placed is None else placed.ids,
        placed_slots=none if placed is None else base[placed.rows, placed.starts] + placed.offsets,
        lengths=lengths,
        sizes=tuple(sizes),
        size=size,
    )


def _places(chosen: torch.Tensor, count: int) -> torch.Tensor:
    """(count,) where chosen (n,) bool is True; `nonzero` would ask a GPU for the count."""
    slots = torch.where(chosen, chosen.cumsum(0) - 1, count)
    numbers = torch.arange(len(chosen), device=chosen.device)
    return numbers.new_empty(count + 1).scatter_(0, slots, numbers)[:count]


def fill(layout: Layout, segments: torch.Tensor, embedding_table: torch.Tensor) -> torch.Tensor:
    """Put segments (G, E) and placed tokens in their places: (B, S, E), zero where padded."""
    batch, width = len(layout.lengths), segments.size(1)
    filled = segments.new_zeros(batch * layout.size, width).index_copy(0, layout.slots, segments)
    if len(layout.placed_ids):
        filled = filled.index_copy(0, layout.placed_slots, embedding_table[layout.placed_ids].to(filled.dtype))
    return filled.view(batch, layout.size, width)
