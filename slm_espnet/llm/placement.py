"""A large LLM over several GPUs of one process, layer by layer (llm_conf: device_map), by transformers and accelerate.

Layers lie one after the other on the GPUs, embeddings on the first, where the adapter is too; what passes between them
is moved by accelerate. That makes room, not speed: one GPU works at a time. More speed comes from more processes with
some GPUs each (--gpus_per_process).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from slm_espnet.errors import UserError
from slm_espnet.llm.quantization import quantized_layers

Device = int | str  # number of a GPU, or cpu, as transformers names them
ROOM = 0.9  # share of a GPU's free memory that weights may take


@dataclass(frozen=True)
class Placement:
    """Where each part of a model goes."""

    modules: Mapping[str, Device]  # name of a module → device, as transformers takes it
    weights: Mapping[Device, int]  # bytes of the weights on each device

    def describe(self) -> str:
        """`0: 9.3 GiB, 1: 9.1 GiB`."""
        return ", ".join(f"{device}: {size / 2**30:.1f} GiB" for device, size in self.weights.items())


def free_memory() -> dict[Device, int]:
    """Bytes that are free on each visible GPU; where there is none, on the CPU."""
    if torch.cuda.is_available():
        return {index: torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())}
    from accelerate.utils import get_max_memory

    return {"cpu": get_max_memory()["cpu"]}


def room(count: int) -> dict[Device, int]:
    """Bytes that weights may take of each of the first `count` visible GPUs, as `max_memory`."""
    return {device: int(ROOM * size) for device, size in list(free_memory().items())[:count]}


def place(
    model: torch.nn.Module,
    device_map: str,
    max_memory: Mapping[Device, int | str] | None = None,
    quantization: str | None = None,
    free: Mapping[Device, int] | None = None,
) -> Placement:
    """Deal a model out to devices.

    Args:
        model: on torch's meta device, in the dtype that it will be loaded in.
        device_map: auto | balanced | balanced_low_0 | sequential, as in transformers.
        max_memory: most that may be used of a device, in bytes or as "20GiB"; others are left out when given.
        quantization: of linear layers.
        free: bytes free on each device; looked up when not given.

    Raises:
        UserError: it does not fit, or a device does not exist.
    """
    from accelerate.utils import convert_file_size_to_int, get_balanced_memory, infer_auto_device_map

    available = dict(free_memory() if free is None else free)
    limits = {device: int(ROOM * size) for device, size in available.items()}
    if max_memory is not None:
        strangers = [str(device) for device in max_memory if device not in limits]
        if strangers:
            known = ", ".join(map(str, limits))
            raise UserError(f"llm_conf: max_memory names {', '.join(strangers)}, but there is only {known}")
        limits = {device: convert_file_size_to_int(size) for device, size in max_memory.items()}
    model.tie_weights()
    dtypes = _loaded_dtypes(model, quantization)
    whole = {"no_split_module_classes": list(model._no_split_modules or ()), "special_dtypes": dtypes}
    budget = dict(limits)
    if device_map != "sequential" and len(budget) > 1:
        budget = get_balanced_memory(model, max_memory=budget, low_zero=device_map == "balanced_low_0", **whole)
    modules = dict(infer_auto_device_map(model, max_memory={**budget, "disk": 2**60}, **whole))
    sizes = _bytes_by_device(model, modules, dtypes)
    outside = sum(size for device, size in sizes.items() if device not in limits)
    if outside:
        needed, there = sum(sizes.values()) / 2**30, sum(limits.values()) / 2**30
        raise UserError(
            f"llm_conf: device_map {device_map}: the weights take {needed:.1f} GiB and there is room for {there:.1f} "
            f"on {len(limits)} device(s); use more GPUs (training: --gpus_per_process, decoding: --ngpu, in "
            "slm.sh --decode_ngpu), quantization 8bit or 4bit, or a small LLM"
        )
    return Placement(modules, sizes)


def _loaded_dtypes(model: torch.nn.Module, quantization: str | None) -> dict[str, Any]:
    """Parameters that are loaded in another dtype than the model's."""
    if quantization is None:
        return {}
    from accelerate.utils import CustomDtype

    kind = {"8bit": torch.int8, "4bit": CustomDtype.INT4}[quantization]
    return {f"{name}.weight": kind for name in quantized_layers(model)}


def _bytes_by_device(
    model: torch.nn.Module, modules: Mapping[str, Device], dtypes: Mapping[str, Any]
) -> dict[Device, int]:
    from accelerate.utils import dtype_byte_size

    sizes: dict[Device, int] = {}
    for name, parameter in model.named_parameters():  # each once, also where two modules share it
        owners = [module for module in modules if not module or name == module or name.startswith(f"{module}.")]
        device = modules[max(owners, key=len)]
        size = parameter.numel() * dtype_byte_size(dtypes.get(name, parameter.dtype))
        sizes[device] = sizes.get(device, 0) + round(size)
    return sizes
