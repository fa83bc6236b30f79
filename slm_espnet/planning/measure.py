"""Peak memory of a computation that is never carried out: torch runs it on tensors without data.

The model's own code runs on torch's `meta` device, and every storage that it makes is counted from its making to its
end. What that leaves out is the library's own workspace and the allocator's rounding (`OVERHEAD` in plan.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Counts bytes of the storages made while it is active; `peak` is the most that lived together."""

    def __init__(self, known: Iterable[torch.Tensor] = ()):
        """Set up; storages of `known` (parameters) are not counted."""
        super().__init__()
        self.current = self.peak = 0
        self._live = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        name = storage._cdata
        if name in self._live:
            return
        self._live[name] = storage.nbytes()
        self.current += storage.nbytes()
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._forget, name)

    def _forget(self, name: int) -> None:
        self.current -= self._live.pop(name)


class FusedAttention(TorchFunctionMode):
    """Scaled dot-product attention as GPUs run it, which never holds all weights; `meta` would multiply them out."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return _fused(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    groups = query.size(1) // key.size(1)
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    if attn_mask is not None:
        size = (query.size(0), query.size(1), query.size(2), key.size(2))
        attn_mask = attn_mask.to(query.dtype).expand(size)
    training = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value))
    return torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, training, dropout_p, is_causal, scale=scale
    )[0]


def peak_bytes(model: torch.nn.Module, compute: Callable[[], Any]) -> int:
    """Most bytes that `compute` holds at once beside the model's parameters and buffers; all of it on `meta`."""
    memory = PeakMemory([*model.parameters(), *model.buffers()])
    with torch.device("meta"), FusedAttention(), memory:
        compute()
    return memory.peak
