"""LoRA (arXiv 2106.09685) on an otherwise frozen LLM: an option, off by default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch

from slm_espnet.errors import UserError


@dataclass(frozen=True)
class LoraOptions:
    """Settings of the low-rank updates."""

    r: int = 8  # rank
    alpha: float = 16.0  # updates are scaled by alpha / r
    dropout: float = 0.0  # on the input of the updates, in training
    target_modules: tuple[str, ...] | None = None  # ends of linear layers' names; None: peft's choice by model type

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LoraOptions:
        """From YAML values; an unknown key or a wrong value is a UserError."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(f"llm_conf: lora has unknown key(s) {', '.join(unknown)}; known: {', '.join(known)}")
        targets = values.get("target_modules")
        if isinstance(targets, str):
            raise UserError(f"llm_conf: lora: target_modules must be a list of names, not {targets!r}")
        options = cls(**{**values, "target_modules": None if targets is None else tuple(targets)})
        if options.r < 1 or not 0 <= options.dropout < 1:
            given = f"{options.r} and {options.dropout}"
            raise UserError(f"llm_conf: lora: r must be at least 1 and dropout at least 0 and below 1, not {given}")
        return options


def add_lora(model: torch.nn.Module, options: LoraOptions) -> Sequence[torch.nn.Module]:
    """Put LoRA into a model in place; only its parameters (float32) require gradients.

    Returns:
        The dropout modules that have to follow training mode.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    targets = None if options.target_modules is None else list(options.target_modules)
    config = LoraConfig(r=options.r, lora_alpha=options.alpha, lora_dropout=options.dropout, target_modules=targets)
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        raise UserError(f"llm_conf: lora does not fit this model: {' '.join(str(error).split())[:300]}") from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return [layer.lora_dropout for layer in model.modules() if isinstance(layer, LoraLayer)]


@contextmanager
def without_lora(model: torch.nn.Module) -> Iterator[None]:
    """Leave out a model's LoRA updates for a while; what requires gradients is afterwards what it was before."""
    from peft.tuners.lora import LoraLayer

    layers = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def lora_state_dict(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The LoRA parameters by name: all of a frozen LLM that is ever saved."""
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
