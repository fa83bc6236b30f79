"""The part of an ESPnet model that encodes, built without ESPnet's tasks.

A task imports every encoder, decoder and tokenizer that ESPnet has: seconds, most of the time that a short job takes.
Models made of the usual parts need few of them; all others go the long way.
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
SHARED_ENCODERS = {
    "conformer": "espnet2.asr.encoder.conformer_encoder:ConformerEncoder",
    "transformer": "espnet2.asr.encoder.transformer_encoder:TransformerEncoder",
    "branchformer": "espnet2.asr.encoder.branchformer_encoder:BranchformerEncoder",
    "e_branchformer": "espnet2.asr.encoder.e_branchformer_encoder:EBranchformerEncoder",
}
ENCODERS = SHARED_ENCODERS | {"conv": "slm_espnet.asr.conv_encoder:ConvEncoder"}
S2T_CTC_ENCODERS = SHARED_ENCODERS | {
    "e_branchformer_ctc": "espnet2.asr.encoder.e_branchformer_ctc_encoder:EBranchformerCTCEncoder",
}


def has_usual_parts(config: dict[str, Any]) -> bool:
    """Whether `build` can build the model of a training's configuration."""
    common = (
        (config.get("input_size") is not None or config.get("frontend") in FRONTENDS)
        and config.get("normalize") in (None, *NORMALIZERS)
        and isinstance(config.get("token_list"), list)
    )
    if "promptencoder" in config:
        return (
            common
            and config["promptencoder"] in SHARED_ENCODERS
            and config.get("encoder") in S2T_CTC_ENCODERS
            and config.get("model") == "espnet_ctc"
        )
    return (
        common
        and config.get("encoder") in ENCODERS
        and config.get("model") in (None, "espnet")
        and (config.get("model_conf") or {}).get("ctc_weight") != 0
        and config.get("decoder") != "transducer"
        and not any(config.get(name) for name in ("preencoder", "postencoder"))
    )


def build(config: dict[str, Any]) -> torch.nn.Module:
    """ESPnet's ASR or OWSM-CTC model without weights: frontend, normalization, encoder and CTC; no decoder."""
    frontend, input_size = None, config.get("input_size")
    if input_size is None:
        frontend = _made(FRONTENDS, config, "frontend")
        input_size = frontend.output_size()
    parts = {"frontend": frontend, "specaug": None}
    parts["normalize"] = _made(NORMALIZERS, config, "normalize") if config.get("normalize") else None
    make = _s2t_ctc if "promptencoder" in config else _asr
    return make(config, input_size, parts)


def _asr(config: dict[str, Any], input_size: int, parts: dict[str, Any]) -> torch.nn.Module:
    from espnet2.asr.espnet_model import ESPnetASRModel

    encoder = _made(ENCODERS, config, "encoder", input_size=input_size)
    # the weight matters to training alone, and below 1 the model insists on a decoder
    settings = (config.get("model_conf") or {}) | {"ctc_weight": 1.0}
    unused = dict.fromkeys(("preencoder", "postencoder", "decoder", "joint_network"))
    return ESPnetASRModel(encoder=encoder, **parts, **unused, **_output(config, encoder), **settings)


def _s2t_ctc(config: dict[str, Any], input_size: int, parts: dict[str, Any]) -> torch.nn.Module:
    from espnet2.s2t.espnet_ctc_model import ESPnetS2TCTCModel

    encoder = _made(S2T_CTC_ENCODERS, config, "encoder", input_size=input_size)
    width = config["promptencoder_conf"]["output_size"]
    prompt = _made(SHARED_ENCODERS, config, "promptencoder", input_size=width, input_layer=None)
    settings = config.get("model_conf") or {}
    return ESPnetS2TCTCModel(encoder=encoder, prompt_encoder=prompt, **parts, **_output(config, encoder), **settings)


def _output(config: dict[str, Any], encoder: torch.nn.Module) -> dict[str, Any]:
    """Tokens and CTC layer."""
    from espnet2.asr.ctc import CTC

    tokens = list(config["token_list"])
    ctc = CTC(odim=len(tokens), encoder_output_size=encoder.output_size(), **(config.get("ctc_conf") or {}))
    return {"vocab_size": len(tokens), "token_list": tokens, "ctc": ctc}


def without_decoder(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights that such a model has."""
    return {name: value for name, value in state.items() if not name.startswith("decoder.")}


def _made(known: dict[str, str], config: dict[str, Any], part: str, **more: Any) -> Any:
    module, name = known[config[part]].split(":")
    return getattr(import_module(module), name)(**more, **(config.get(f"{part}_conf") or {}))
