"""The part of an ESPnet ASR model that encodes, built without ESPnet's ASR task.

The task imports every encoder, decoder and tokenizer that ESPnet has: seconds, most of the time that a short job
takes. Models made of the usual parts need few of them; all others go the long way.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch

FRONTENDS = {"default": "espnet2.asr.frontend.default:DefaultFrontend"}
NORMALIZERS = {
    "global_mvn": "espnet2.layers.global_mvn:GlobalMVN",
    "utterance_mvn": "espnet2.layers.utterance_mvn:UtteranceMVN",
}
ENCODERS = {
    "conv": "slm_espnet.asr.conv_encoder:ConvEncoder",
}


def has_usual_parts(config: dict[str, Any]) -> bool:
    """Whether `build` can build the model of a training's configuration."""
    return (
        (config.get("input_size") is not None or config.get("frontend") in FRONTENDS)
        and config.get("normalize") in (None, *NORMALIZERS)
        and config.get("encoder") in ENCODERS
        and config.get("model") in (None, "espnet")
        and config.get("decoder") != "transducer"
        and not any(config.get(name) for name in ("preencoder", "postencoder"))
        and isinstance(config.get("token_list"), list)
    )


def build(config: dict[str, Any]) -> torch.nn.Module:
    """ESPnet's ASR model with frontend, normalization, encoder and CTC; it has no decoder and no weights yet."""
    from espnet2.asr.ctc import CTC
    from espnet2.asr.espnet_model import ESPnetASRModel

    frontend, input_size = None, config.get("input_size")
    if input_size is None:
        frontend = _made(FRONTENDS, config, "frontend")
        input_size = frontend.output_size()
    normalize = _made(NORMALIZERS, config, "normalize") if config.get("normalize") else None
    encoder = _made(ENCODERS, config, "encoder", input_size=input_size)
    tokens = list(config["token_list"])
    return ESPnetASRModel(
        vocab_size=len(tokens),
        token_list=tokens,
        frontend=frontend,
        specaug=None,
        normalize=normalize,
        preencoder=None,
        encoder=encoder,
        postencoder=None,
        decoder=None,
        ctc=CTC(odim=len(tokens), encoder_output_size=encoder.output_size(), **(config.get("ctc_conf") or {})),
        joint_network=None,
        **(config.get("model_conf") or {}),
    )


def without_decoder(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights that such a model has."""
    return {name: value for name, value in state.items() if not name.startswith("decoder.")}


def _made(known: dict[str, str], config: dict[str, Any], part: str, **more: Any) -> Any:
    module, name = known[config[part]].split(":")
    return getattr(import_module(module), name)(**more, **(config.get(f"{part}_conf") or {}))
