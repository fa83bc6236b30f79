"""What a training will hold on each device, said before its language model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from slm_espnet.adapter.build import build_adapter
from slm_espnet.foundation import Foundation
from slm_espnet.llm.placement import Device, free_memory, place
from slm_espnet.llm.source import find_model
from slm_espnet.planning.activations import training_bytes
from slm_espnet.planning.models import llm_bytes, llm_on_paper, parameter_count
from slm_espnet.planning.plan import GIB, OPTIMIZER_BYTES, OVERHEAD
from slm_espnet.planning.workload import Workload
from slm_espnet.training.shapes import Shapes


def describe_training(
    config: Mapping[str, Any],
    shapes: Shapes,
    batches: tuple[np.ndarray, np.ndarray],
    processes: int,
    free: Mapping[Device, int] | None = None,
) -> str:
    """A line for each device of a process: what it will hold at the largest batch, and what is free.

    Args:
        config: llm, llm_conf, input_size, and the adapter's settings.
        shapes: of all examples.
        batches: of the training, before they are split between processes: members and bounds, as in largest_batch.
        processes: of the training.
        free: bytes free on each device; looked up when not given.
    """
    free = free_memory() if free is None else free
    conf = dict(config["llm_conf"])
    conf["model"] = str(find_model(conf["model"], conf.get("revision"), weights=False).directory)
    llm = llm_on_paper(Foundation("", config["llm"], llm_conf=conf))
    dtype, quantization = conf.get("dtype", "float32"), conf.get("quantization")
    weights: Mapping[Device, int] = {next(iter(free)): llm_bytes(llm, dtype, quantization)}
    if conf.get("device_map") is not None:
        weights = place(llm, conf["device_map"], conf.get("max_memory"), quantization, free).weights
    table = torch.zeros(()).expand(llm.get_input_embeddings().weight.shape)
    with torch.device("meta"):
        adapter = build_adapter(dict(config), table)
    frames, workload = largest_batch(shapes, *batches, processes)
    step = training_bytes(llm, adapter, config["input_size"], frames, workload)
    return "\n".join(_lines(free, weights, OPTIMIZER_BYTES * parameter_count(adapter), step, frames, workload))


def largest_batch(shapes: Shapes, members: np.ndarray, bounds: np.ndarray, processes: int) -> tuple[int, Workload]:
    """Frames and the rest of one process's part of the batch with the most frames, padding included.

    Args:
        shapes: of all examples: speech and, where there are more files, targets and prompts.
        members: (M,) examples, batch after batch.
        bounds: (B + 1,) where batches begin and end among the members.
        processes: of the training, each of which gets its part of a batch.
    """
    longest = np.maximum.reduceat(shapes.lengths[0][members], bounds[:-1])
    best = int(np.argmax(longest * np.diff(bounds)))
    batch = members[bounds[best] : bounds[best + 1]]
    size = -(-len(batch) // processes)
    if len(shapes.lengths) == 1:
        return int(longest[best]), Workload(batch_size=size)
    names = ("target_tokens", "prompt_tokens")
    found = {name: int(each[batch].max()) for name, each in zip(names, shapes.lengths[1:], strict=False)}
    return int(longest[best]), Workload(batch_size=size, **found)


def _lines(
    free: Mapping[Device, int], weights: Mapping[Device, int], trained: int, step: int, frames: int, workload: Workload
) -> list[str]:
    first, total = next(iter(weights)), sum(weights.values())
    size = f"{workload.batch_size} utterances of {frames} frames and {workload.target_tokens} target tokens"
    lines = [f"memory of each device in GiB, for batches of up to {size}:"]
    for device, size_here in weights.items():
        own = trained if device == first else 0
        share = round(step * size_here / total) if total else step
        overhead = OVERHEAD if isinstance(device, int) else 0
        needed = size_here + own + share + overhead
        name = f"GPU {device}" if isinstance(device, int) else device
        parts = f"LLM {size_here / GIB:.2f}, adapter and optimizer {own / GIB:.2f}, a step {share / GIB:.2f}"
        warning = " NOT ENOUGH" if needed > free[device] else ""
        lines.append(f"  {name}: {needed / GIB:.2f} of {free[device] / GIB:.1f} free{warning} ({parts})")
    return lines
