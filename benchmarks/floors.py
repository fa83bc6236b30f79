"""The least time that a computation can take: its matrix products at this machine's rate, its bytes at the copy rate.

Both rates are measured in the run that they are used in, with the threads and on the device of that run; on a CPU in
CPU time, as the ways of a benchmark are (common.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

SIDES = {"cpu": 1024, "cuda": 8192}  # of the square matrices that are multiplied
COPIED = {"cpu": 1 << 27, "cuda": 1 << 32}  # bytes that are copied, far more than caches hold
TRIES = 5  # of which the fastest counts
# What FlopCounterMode does not count by itself: products added in place, and attention on a CPU.
UNCOUNTED = {
    torch.ops.aten.addmm_: lambda _, left, right, **__: 2 * left[0] * left[1] * right[1],
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
}


@dataclass(frozen=True)
class Floor:
    """Rates of the machine."""

    operations: float  # per second, of matrix products in `dtype`; a multiplication and an addition are two
    bytes: float  # per second, read or written by a copy
    device: str
    dtype: str

    def __str__(self) -> str:
        return f"{self.operations / 1e9:.0f} G operations/s ({self.dtype} products), {self.bytes / 1e9:.1f} GB/s (copy)"

    def seconds(self, operations: float, moved: float = 0.0) -> float:
        """The longer of both times, for so many operations and bytes."""
        return max(operations / self.operations, moved / self.bytes)


def measure(device: str = "cpu", dtype: str = "float32") -> Floor:
    """The rates of a device."""
    kind = torch.device(device).type
    side = SIDES[kind]
    left, right = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(left)
    best = _fastest(lambda: torch.mm(left, right, out=product), device)
    source = torch.ones(COPIED[kind] // 4, dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    copied = _fastest(lambda: target.copy_(source), device)
    return Floor(2 * side**3 / best, 2 * COPIED[kind] / copied, device, dtype)


def operations(compute: Callable[[], object]) -> int:
    """Operations of the matrix products, convolutions and attention of a computation, which is carried out."""
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
        compute()
    return counter.get_total_flops()


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes that a pass through all of a model's weights reads."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def synchronize(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _fastest(run: Callable[[], object], device: str) -> float:
    # as benchmarks do: CPU time, which others on the machine disturb least
    clock = time.process_time if torch.device(device).type == "cpu" else time.perf_counter
    run()
    clock = time.process_time if torch.device(device).type == "cpu" else time.perf_counter
    seconds = []
    for _ in range(TRIES):
        synchronize(device)
        began = clock()
        run()
        synchronize(device)
        seconds.append(clock() - began)
    return min(seconds)
