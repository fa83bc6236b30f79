"""Forgetting a different number of positions in each row of a KV cache.

A draft is accepted to another length in every row of a batch. What was rejected is dropped, and the rows are moved to
the right so that all of them end in the same slot: distances between slots then stay distances between tokens, which is
what relative position biases and attention windows count. Nothing is computed again.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)  # of which the order of slots is known here


def can_drop(cache: Cache) -> bool:
    """Whether positions can be taken back: not where a layer keeps a running state (Mamba and the like)."""
    return all(type(layer) in LAYERS for layer in cache.layers)


def keep_windows(cache: DynamicCache) -> None:
    """Let layers with a window keep what leaves it until the next `drop_last`: dropped positions bring it back."""
    for layer in cache.layers:
        if type(layer) is DynamicSlidingWindowLayer:
            layer.activate_past_recording()


def drop_last(cache: DynamicCache, counts: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Forget the last positions of each row.

    Args:
        cache: with (B, heads, L, width) in every layer; L may be less in layers with a window.
        counts: (B,) how many positions of each row are forgotten, not more than were added since the last call.
        mask: (B, L) int64, 1 where a slot holds a position of the row.

    Returns:
        The mask of what is left, (B, L').
    """
    least, most = counts.aminmax()
    shift = (counts - least) if int(most) > int(least) else None
    for layer in cache.layers:
        if not layer.is_initialized:  # layers that share another's keys
            continue
        if shift is not None:
            layer.keys, layer.values = _moved_right(layer.keys, shift), _moved_right(layer.values, shift)
        if int(most) > 0 or type(layer) is DynamicLayer or layer.record_past:  # others refuse even to drop nothing
            layer.crop(-int(least))
    if shift is not None:
        source = torch.arange(mask.size(1), device=mask.device) - shift[:, None]
        mask = mask.gather(1, source.clamp(min=0)) * (source >= 0)
    mask = mask[:, : mask.size(1) - int(least)]
    return _without_empty_slots(cache, mask) if shift is not None else mask


def _moved_right(states: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """(B, heads, L, width) with row b moved by shift[b] slots; what comes in on the left is masked."""
    shift = shift.to(states.device)  # layers may be on several devices
    source = (torch.arange(states.size(2), device=states.device) - shift[:, None]).clamp(min=0)
    return states.gather(2, source[:, None, :, None].expand_as(states))


def _without_empty_slots(cache: DynamicCache, mask: torch.Tensor) -> torch.Tensor:
    """Cut slots off the left that no row uses; layers with a window count all slots and keep them."""
    used = int(mask.sum(1).max())
    if used == mask.size(1) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return mask
    for layer in cache.layers:
        if layer.is_initialized:
            layer.keys, layer.values = layer.keys[:, :, -used:], layer.values[:, :, -used:]
    return mask[:, -used:]
