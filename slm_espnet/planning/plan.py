"""The plan of a foundation: parameters, and the memory of one GPU for encoding, training and decoding.

Weights are counted from the configurations. Activations are those of one real step of the models' own code, run on
tensors without data (measure.py); only ESPnet encoders, whose code looks into its data, are estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from slm_espnet.adapter.build import build_adapter
from slm_espnet.foundation import Foundation
from slm_espnet.length_reduction.build import build_static_reduction
from slm_espnet.planning.activations import (
    adapted_positions,
    decoding_bytes,
    encoding_bytes,
    training_bytes,
)
from slm_espnet.planning.models import EncoderSize, encoder_on_paper, llm_bytes, llm_on_paper, parameter_count
from slm_espnet.planning.workload import Workload

GIB = 2**30
OVERHEAD = 1 * GIB  # CUDA context, workspaces of its libraries, rounding of the allocator
KEPT = {"ctc_blank": 0.4, "ctc_merge": 0.3, "none": 1.0}  # share of frames assumed to be left; `stack` says it itself
OPTIMIZER_BYTES = 12  # a trained parameter and Adam's two moments, float32; its gradient is among the activations


@dataclass(frozen=True)
class Plan:
    """What a foundation needs; memory in bytes, OVERHEAD included."""

    encoder_parameters: int
    llm_parameters: int
    adapter_parameters: int
    llm_weights: int  # bytes of the LLM's weights as they are loaded
    positions: int  # embeddings that stand for the speech of one utterance
    encoding: int  # stage 2
    training: int  # stage 4, which does not load the speech encoder
    decoding: int  # stage 5, from encodings

    @property
    def trained_share(self) -> float:
        """Trained parameters among all of them."""
        return self.adapter_parameters / (self.encoder_parameters + self.llm_parameters + self.adapter_parameters)


def make_plan(foundation: Foundation, training: dict[str, Any], workload: Workload) -> Plan:
    """Plan a foundation.

    Args:
        foundation: the pair.
        training: adapter, adapter_output and length_reduction, each with its _conf, as in the YAML of a training.
        workload: what is done at once.

    Raises:
        UserError: a model is neither here nor described, or a setting is wrong.
    """
    encoder = encoder_on_paper(foundation)
    llm = llm_on_paper(foundation)
    width, frames = reduced(foundation, encoder, workload.seconds)
    table = torch.zeros(()).expand(llm.get_input_embeddings().weight.shape)  # its size matters, not what is in it
    with torch.device("meta"):
        adapter = build_adapter({**training, "input_size": width}, table)
    dtype, quantization = foundation.llm_conf.get("dtype", "float32"), foundation.llm_conf.get("quantization")
    weights, trained = llm_bytes(llm, dtype, quantization), parameter_count(adapter)
    positions = adapted_positions(adapter, frames, workload.seconds)
    step = training_bytes(llm, adapter, width, frames, workload)
    return Plan(
        encoder_parameters=parameter_count(encoder.model),
        llm_parameters=parameter_count(llm),
        adapter_parameters=trained,
        llm_weights=weights,
        positions=positions,
        encoding=OVERHEAD + 4 * parameter_count(encoder.model) + encoding_bytes(encoder, workload),
        training=OVERHEAD + weights + OPTIMIZER_BYTES * trained + step,
        decoding=OVERHEAD + weights + 4 * trained + decoding_bytes(llm, positions, workload),
    )


def reduced(foundation: Foundation, encoder: EncoderSize, seconds: float) -> tuple[int, int]:
    """Width and number of the frames that the static reduction leaves of an utterance."""
    reduction = build_static_reduction(foundation.length_reduction, foundation.length_reduction_conf)
    frames = seconds / encoder.frame_shift
    if foundation.length_reduction == "stack":
        frames /= reduction.factor
    else:
        frames *= KEPT[foundation.length_reduction]
    return reduction.output_dim(encoder.dim), max(1, math.ceil(frames))
