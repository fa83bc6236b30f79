"""The two frozen models of a trained adapter: where they are, and whether they are the ones it was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from slm_espnet.encodings.fingerprint import check_fingerprint
from slm_espnet.encodings.pipeline import EncodingPipeline
from slm_espnet.errors import UserError
from slm_espnet.foundation import Foundation


def with_models(pair: Foundation, speech_encoder: str | Path | None, llm: str | Path | None) -> Foundation:
    """The pair with models at other places; what they are is checked on loading."""
    changed = {}
    for name, place in (("speech_encoder", speech_encoder), ("llm", llm)):
        if place is None:
            continue
        path = Path(place).expanduser()
        if not path.is_dir():
            raise UserError(f"{name}={place}: no such directory; give that of the model, or leave it out to fetch it")
        conf = {key: value for key, value in vars(pair)[f"{name}_conf"].items() if key not in ("model", "revision")}
        changed[f"{name}_conf"] = {**conf, "model": str(path.resolve())}
    return replace(pair, **changed)


def place_on(device: str | None) -> tuple[str, dict[str, Any]]:
    """Where adapter and encoder go, and what of llm_conf says where the LLM goes.

    `auto` deals the LLM out to all visible GPUs. With `cuda`, or a GPU that is found when no device is given, the
    training's device_map is kept. A single device (cpu, cuda:1) holds everything, whatever the training's map was.

    Raises:
        UserError: auto, and there is no GPU.
    """
    there = torch.cuda.is_available()
    if device == "auto":
        if not there:
            raise UserError("device auto deals the language model out to GPUs, and torch finds none; use device cpu")
        return "cuda", {"device_map": "auto", "max_memory": None}
    if device in (None, "cuda") and there:
        return "cuda", {}
    return device or "cpu", {"device_map": None, "max_memory": None}


def llm_location(pair: Foundation, trained: dict[str, Any], dtype: str | None) -> dict[str, Any]:
    """What of llm_conf replaces the training's: where the model is, whether its pickles are read, and its dtype.

    Raises:
        UserError: the pair has another kind of language model.
    """
    if pair.llm != trained["llm"]:
        raise UserError(f"the adapter was trained for llm {trained['llm']}, the foundation has {pair.llm}")
    found = {"model": pair.llm_conf.get("model"), "revision": pair.llm_conf.get("revision")}
    if "trust_pickle" in pair.llm_conf:
        found["trust_pickle"] = pair.llm_conf["trust_pickle"]
    return found if dtype is None else {**found, "dtype": dtype}


def build_pipeline(pair: Foundation, trained: dict[str, Any], config: Path, device: str) -> EncodingPipeline:
    """Encoder and length reduction.

    Raises:
        UserError: they make other encodings than the adapter was trained on; names both.
    """
    expected = trained.get("encoding_fingerprint")
    if not expected:
        raise UserError(f"{config} does not say which encodings the adapter was trained on; train it again")
    pipeline = EncodingPipeline.from_foundation(pair, expected["storage_dtype"], device)
    check_encoder(expected["encoder"], pipeline.fingerprint["encoder"], config)
    cure = "use the foundation it was trained with"
    check_fingerprint(expected, pipeline.fingerprint, Path(str(pair.speech_encoder_conf.get("model"))), cure)
    return pipeline


def check_encoder(expected: dict[str, str], found: dict[str, str], config: Path) -> None:
    """Refuse an encoder with other weights than in training, naming both."""
    if expected.get("weights_sha256") == found.get("weights_sha256"):
        return
    raise UserError(
        f"{config} belongs to the speech encoder {expected.get('model')} (weights_sha256 "
        f"{expected.get('weights_sha256')}), not to {found.get('model')} ({found.get('weights_sha256')}); use the "
        "encoder it was trained with, or train an adapter for this one"
    )
