"""The adapter's pieces by name, and how a configuration becomes an adapter."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from slm_espnet.adapter.adapter import Adapter
from slm_espnet.adapter.base import AbsAdapterBody, AbsAdapterOutput
from slm_espnet.adapter.conv import ConvBody
from slm_espnet.adapter.embedding_mixture import EmbeddingMixtureOutput
from slm_espnet.adapter.linear import LinearOutput
from slm_espnet.adapter.mlp import MLPBody
from slm_espnet.adapter.transformer import TransformerBody
from slm_espnet.errors import UserError
from slm_espnet.length_reduction.base import AbsTrainedReduction
from slm_espnet.length_reduction.conv import ConvReduction

BODIES: dict[str, type[AbsAdapterBody]] = {"transformer": TransformerBody, "mlp": MLPBody, "conv": ConvBody}
OUTPUTS: dict[str, type[AbsAdapterOutput]] = {"linear": LinearOutput, "embedding_mixture": EmbeddingMixtureOutput}
REDUCTIONS: dict[str, type[AbsTrainedReduction]] = {"conv": ConvReduction}


def construct(option: str, classes: dict[str, type], kind: str, conf: dict[str, Any], **given: Any) -> torch.nn.Module:
    """Make `classes[kind](**given, **conf)`.

    Raises:
        UserError: an unknown kind, a key of conf that the class does not have, or a value that it refuses.
    """
    if kind not in classes:
        raise UserError(f"--{option} {kind}: no such choice; there is {', '.join(sorted(classes))}")
    allowed = [name for name in inspect.signature(classes[kind]).parameters if name not in given]
    unknown = sorted(set(conf) - set(allowed))
    if unknown:
        raise UserError(f"{option}_conf has unknown key(s) {', '.join(unknown)}; {kind} knows {', '.join(allowed)}")
    try:
        return classes[kind](**given, **conf)
    except (ValueError, TypeError) as error:
        raise UserError(f"{option}_conf: {error}") from error


def build_adapter(config: dict[str, Any], embedding_table: torch.Tensor) -> Adapter:
    """Build the adapter of a training configuration.

    Args:
        config: has input_size, adapter, adapter_output, length_reduction (each with its _conf).
        embedding_table: (V, E) of the LLM the adapter is for.
    """
    size = config["input_size"]
    reduction = None
    if config.get("length_reduction") not in (None, "none"):
        conf = config.get("length_reduction_conf") or {}
        reduction = construct("length_reduction", REDUCTIONS, config["length_reduction"], conf, input_size=size)
        size = reduction.output_size
    body = construct("adapter", BODIES, config["adapter"], config.get("adapter_conf") or {}, input_size=size)
    output = construct(
        "adapter_output",
        OUTPUTS,
        config["adapter_output"],
        config.get("adapter_output_conf") or {},
        input_size=body.output_size,
        vocab_size=embedding_table.size(0),
        embedding_size=embedding_table.size(1),
        embedding_std=float(embedding_table.float().std()),
    )
    return Adapter(reduction, body, output)
