"""Models without weights, made from configurations: of a directory here, or as a foundation file states them."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slm_espnet.compat import espnet_tasks
from slm_espnet.errors import UserError
from slm_espnet.foundation import Foundation
from slm_espnet.llm.quantization import quantized_layers

QUANTIZED_BYTES = {"8bit": 1.0, "4bit": 0.5 + 1 / 64 + 4 / (64 * 256)}  # per weight; NF4: with its scales of scales
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
HOP_SECONDS = 0.01  # of filter banks
NESTED = ("parakeet_ctc", "lasr_ctc")  # model types whose encoder has a configuration of its own
ESPNET_SYMBOLS = ("<blank>", "<unk>", "<na>", "<sop>", "<sos>", "<eos>")  # what building a model asks the list for


@dataclass(frozen=True)
class EncoderSize:
    """A speech encoder on paper."""

    name: str  # as the foundation gives it
    kind: str  # transformers' model type, or that of ESPnet's encoder
    model: torch.nn.Module  # on meta
    dim: int  # width of a frame
    frame_shift: float  # seconds
    vocab_size: int  # of CTC, 0 without
    bands: int  # filter banks it reads, 0: waveforms
    measurable: bool = True  # whether its code runs on tensors without data; ESPnet's does not


def encoder_on_paper(foundation: Foundation) -> EncoderSize:
    """The speech encoder of a foundation; UserError where neither files nor numbers tell what it is."""
    name = str(foundation.speech_encoder_conf.get("model"))
    if foundation.speech_encoder == "espnet_ctc":
        return _espnet(name, _numbers(name, foundation.speech_encoder_config, "speech_encoder", "config.yaml"))
    values = _numbers(name, foundation.speech_encoder_config, "speech_encoder", "config.json")
    return _transformers(name, _config(values, name), foundation.speech_encoder == "hf_ctc")


def llm_on_paper(foundation: Foundation) -> torch.nn.Module:
    """The language model of a foundation on `meta`, in its dtype; errors as above."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    name = str(foundation.llm_conf.get("model"))
    values = _numbers(name, foundation.llm_config, "llm", "config.json")
    config = _config(values, name)
    known = {"hf_seq2seq": AutoModelForSeq2SeqLM, "hf_causal": AutoModelForCausalLM}
    if foundation.llm not in known:
        kinds = " and ".join(known)
        raise UserError(f"no plan for the kind of LLM {foundation.llm}, only for {kinds}; try it on the longest data")
    auto = known[foundation.llm]
    dtype = getattr(torch, foundation.llm_conf.get("dtype", "float32"))
    try:
        with torch.device("meta"):
            model = auto.from_config(config, dtype=dtype)
    except ValueError as error:
        raise UserError(f"{name} cannot be a {foundation.llm}: {_one_line(error)}") from error
    if values.get("tie_word_embeddings") is False and model.lm_head.weight is model.get_input_embeddings().weight:
        # T5-like: transformers builds them tied, and unties them when it finds an output layer among the weights
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    return model.eval().requires_grad_(False)


def llm_bytes(model: torch.nn.Module, dtype: str, quantization: str | None) -> int:
    """Bytes of the weights as they are loaded: linear layers quantized, but for the output and what stays float32."""
    total = sum(parameter.numel() for parameter in model.parameters()) * DTYPE_BYTES[dtype]
    if quantization is None:
        return total
    for name in quantized_layers(model):
        saved = DTYPE_BYTES[dtype] - QUANTIZED_BYTES[quantization]
        total -= round(model.get_submodule(name).weight.numel() * saved)
    return total


def parameter_count(model: torch.nn.Module) -> int:
    """Parameters of a model, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def _numbers(name: str, stated: dict[str, Any], part: str, file: str) -> dict[str, Any]:
    """The configuration file of a directory, else what the foundation states."""
    path = Path(name).expanduser() / file
    if path.is_file():
        if file == "config.json":
            return json.loads(path.read_text(encoding="utf-8"))
        from slm_espnet.speech_encoder.espnet_files import find_espnet_model

        return find_espnet_model(name).read_config()
    if not stated:
        raise UserError(
            f"{name} is not here and the foundation has no {part}_config, so nothing tells its size; state there what "
            f"its {file} says, or give its directory"
        )
    return stated


def _config(values: dict[str, Any], name: str) -> Any:
    from transformers import AutoConfig

    values = dict(values)
    kind = values.pop("model_type", None)
    if kind is None:
        raise UserError(f"the configuration of {name} has no model_type; copy it from its config.json")
    try:
        return AutoConfig.for_model(kind, **values)
    except (ValueError, TypeError) as error:
        raise UserError(f"the configuration of {name} is none that transformers knows: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _transformers(name: str, config: Any, with_ctc: bool) -> EncoderSize:
    """Encoders as hf_ctc and hf_encoder load them."""
    from transformers import AutoModel, AutoModelForCTC

    kind = config.model_type
    try:
        with torch.device("meta"):
            model = (AutoModelForCTC if with_ctc else AutoModel).from_config(config)
    except ValueError as error:
        part = "hf_ctc" if with_ctc else "hf_encoder"
        raise UserError(f"{name} cannot be a {part}: {_one_line(error)}") from error
    if kind == "whisper":
        model, shift, width = model.get_encoder(), 2 * HOP_SECONDS, config.d_model
        return EncoderSize(name, kind, model.eval(), width, shift, 0, config.num_mel_bins)
    inner = config.encoder_config if kind in NESTED else config
    if kind == "wav2vec2-bert":
        shift, bands = 2 * HOP_SECONDS, inner.feature_projection_input_dim
    elif kind in NESTED:
        shift, bands = inner.subsampling_factor * HOP_SECONDS, inner.num_mel_bins
    else:
        shift, bands = config.inputs_to_logits_ratio / 16000, 0
    return EncoderSize(name, kind, model.eval(), inner.hidden_size, shift, config.vocab_size if with_ctc else 0, bands)


def _espnet(name: str, config: dict[str, Any]) -> EncoderSize:
    """An ASR or OWSM-CTC model as espnet_ctc loads it; `token_list` may be the number of tokens."""
    tokens = config.get("token_list")
    if isinstance(tokens, int):
        tokens = [*ESPNET_SYMBOLS, *(f"token{i}" for i in range(tokens - len(ESPNET_SYMBOLS)))]
    if "promptencoder" in config:
        with espnet_tasks():
            from espnet2.tasks.s2t_ctc import S2TTask as task
    else:
        from slm_espnet.asr.task import ASRTask as task
    empty = {name: {} for name in ("normalize_conf", "ctc_conf", "model_conf")}
    arguments = argparse.Namespace(**{**empty, "init": None, "input_size": None, **config, "token_list": tokens})
    arguments.specaug = None
    try:
        with torch.device("meta"):
            model = task.build_model(arguments)
    except (AttributeError, TypeError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"the configuration of {name} makes no ESPnet model: {error}") from error
    if "promptencoder" not in config:
        model.decoder = None
    frontend = config.get("frontend_conf") or {}
    hop = int(frontend.get("hop_length") or 128) / float(str(frontend.get("fs", 16000)).replace("k", "000"))
    conf = config["encoder_conf"]
    digits = "".join(c for c in str(conf.get("input_layer", "conv2d")) if c.isdigit()).removeprefix("2")
    stride = int(conf.get("stride") or digits or 4)  # conv2d8: 8; conv2d: 4
    bands = int(frontend.get("n_mels", 80))
    dim = model.ctc.ctc_lo.in_features
    return EncoderSize(name, config["encoder"], model.eval(), dim, stride * hop, len(tokens), bands, measurable=False)
