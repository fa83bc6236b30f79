"""The processes of a training: who this one is, and what they tell each other.

Numbers that decide what happens next (counts of tokens, whether to stop) go over the CPU (gloo), so that no GPU has to
be waited for. Gradients are summed by this module, once for each step of the optimizer, and only those of what is
trained. PyTorch's DistributedDataParallel would sum them while the backward pass goes on; but the adapter stands before
the LLM, its gradients are the last to come, and there is nothing left to overlap with. So nothing frozen is copied,
broadcast or bucketed, and parameters that a step does not use (LoRA in its first steps) need no special care.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist

BUCKET = 2**24  # numbers that are summed at a time: 64 MB


class Processes:
    """A training's processes as seen from one of them; by itself it is alone and nothing is sent."""

    def __init__(self, rank: int = 0, size: int = 1, group: dist.ProcessGroup | None = None):
        self.rank = rank  # this process, from 0; the first one writes all files
        self.size = size  # number of processes
        self._group = group  # for what stays on the CPU

    @classmethod
    def of_training(cls) -> Processes:
        """Those of the process group, where there is one; to be called by all processes at the same place."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        group = dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")
        return cls(dist.get_rank(), dist.get_world_size(), group)

    @property
    def first(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes, place by place."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total, group=self._group)
        return total.tolist()

    def gather(self, value: Any) -> list[Any]:
        """The value of every process, in the order of their ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def share_parameters(self, parameters: Sequence[torch.Tensor]) -> None:
        """Make all processes begin with the first one's values."""
        if self.size > 1:
            for parameter in parameters:
                dist.broadcast(parameter.data, 0)

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Sum gradients over the processes, in place; a parameter without one anywhere keeps none."""
        if self.size == 1:
            return
        used = self.sum([parameter.grad is not None for parameter in parameters])
        present = [parameter for parameter, count in zip(parameters, used, strict=True) if count]
        for parameter in present:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([parameter.grad for parameter in present]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            dist.all_reduce(flat)
            for gradient, total in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(total.view_as(gradient))


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Neighbours of one dtype and device, BUCKET numbers or one tensor at most."""
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        fits = bucket and (tensor.dtype, tensor.device) == (bucket[0].dtype, bucket[0].device)
        if bucket and not (fits and sum(other.numel() for other in bucket) + tensor.numel() <= BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
