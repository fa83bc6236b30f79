"""Weights of a frozen LLM in 8 or 4 bits (arXiv 2208.07339, 2305.14314), through transformers and bitsandbytes.

Linear layers are quantized while they are loaded; embeddings, norms and the output layer keep their dtype. Gradients
pass through to the adapter. LoRA works on top (QLoRA).
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from slm_espnet.errors import UserError

PACKAGES = ("bitsandbytes", "accelerate")


def check_quantization(quantization: str) -> None:
    """UserError where weights cannot be quantized: no CUDA GPU, or a package is missing."""
    setting = f"llm_conf: quantization {quantization}"
    if not torch.cuda.is_available():
        raise UserError(f"{setting} needs a CUDA GPU, which torch does not see here; leave quantization out")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{setting} needs {' and '.join(missing)}; pip install {' '.join(missing)}")


def quantized_layers(model: torch.nn.Module) -> list[str]:
    """Names of the layers whose weights are quantized: linear ones, but for the output and what stays float32."""
    kept = {"lm_head", *(model._keep_in_fp32_modules or ())}
    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and not kept.intersection(name.split("."))
    ]


def quantization_options(quantization: str, dtype: torch.dtype) -> dict[str, Any]:
    """What from_pretrained is given: 8bit is LLM.int8(), 4bit is NF4 with quantized scales."""
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    device = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
    return {"quantization_config": config, "device_map": {"": device}}
