"""Adapter files: safetensors that say which foundations they join, and a loader that accepts nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from slm_espnet.errors import UserError
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.files import temporary_beside
from slm_espnet.training.build import build_model
from slm_espnet.training.config import read_config

ADAPTER_FILE = "adapter.safetensors"
CONFIG_FILE = "config.yaml"
TRAINING_STATE = ("training_forwards",)  # belongs to a training run, not to the model
LLM_KEYS = ("kind", "weights_sha256")  # what makes two LLMs the same; where they lie and their dtype may differ


def save_adapter(state: dict[str, torch.Tensor], config: dict[str, Any], path: Path) -> None:
    """Write trained weights and the identity of both foundations, atomically.

    Args:
        state: a model's state dict (which holds trained keys only).
        config: the training configuration; llm_identity and encoding_fingerprint go into the file's metadata.
        path: where to.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items() if key not in TRAINING_STATE}
    metadata = {
        "format": "slm_espnet adapter 1",
        "llm_identity": json.dumps(config.get("llm_identity"), sort_keys=True),
        "encoding_fingerprint": json.dumps(config.get("encoding_fingerprint"), sort_keys=True),
    }
    temporary = temporary_beside(path)
    try:
        save_file(tensors, temporary, metadata)
        temporary.chmod(0o644)  # safetensors makes files that only their owner can read
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path} could not be written: {error}; free some space and run it again") from error


def read_adapter(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights, and the foundations they were trained between; UserError for a missing or foreign file."""
    if not path.exists():
        raise UserError(f"{path} does not exist; python -m slm_espnet.bin.average writes it after training")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}") from error
    if "llm_identity" not in metadata or "encoding_fingerprint" not in metadata:
        raise UserError(f"{path} does not say which foundations it belongs to; it was not written by this toolkit")
    return state, {key: json.loads(metadata[key]) for key in ("llm_identity", "encoding_fingerprint")}


def load_model(
    exp_dir_or_config: str | Path,
    adapter_file: str | Path | None = None,
    device: str = "cpu",
    llm_conf: dict[str, Any] | None = None,
) -> ESPnetSLMModel:
    """A trained model, ready to decode.

    Args:
        exp_dir_or_config: exp/<tag>, or its config.yaml.
        adapter_file: adapter.safetensors beside the configuration when not given.
        device: where to put it.
        llm_conf: replaces keys of the configuration's llm_conf, such as model where the LLM has moved, or dtype.

    Raises:
        UserError: a file is missing; a key is missing, unknown or misshapen; or the LLM is not the one that the adapter
            was trained for.
    """
    path = Path(exp_dir_or_config)
    config_file = path / CONFIG_FILE if path.is_dir() else path
    config = read_config(config_file)
    adapter_path = config_file.parent / ADAPTER_FILE if adapter_file is None else Path(adapter_file)
    state, trained_with = read_adapter(adapter_path)
    if trained_with["encoding_fingerprint"] != config.get("encoding_fingerprint"):
        raise UserError(f"{adapter_path} was trained on other encodings than {config_file} names; keep both together")
    config["llm_conf"] = {**(config.get("llm_conf") or {}), **(llm_conf or {})}
    model = build_model(config)
    check_llm(trained_with["llm_identity"] or {}, model.llm.identity(), adapter_path)
    load_weights(model, state, adapter_path)
    return model.to(device).eval()


def check_llm(expected: dict[str, str], found: dict[str, str], path: Path) -> None:
    """Refuse an LLM that is not the one that something was trained for, naming both."""
    different = [key for key in LLM_KEYS if expected.get(key) != found.get(key)]
    if different:
        sides = "; ".join(f"{key}: {expected.get(key)} in training, {found.get(key)} now" for key in different)
        raise UserError(
            f"{path} belongs to the LLM {expected.get('model')}, not to {found.get('model')} ({sides}); "
            "use the LLM it was trained with, or train an adapter for this one"
        )


def load_weights(model: ESPnetSLMModel, state: dict[str, torch.Tensor], source: Path) -> None:
    """Put weights into the model; every key must be there with its shape, and no other."""
    own = {key: value for key, value in model.state_dict().items() if key not in TRAINING_STATE}
    problems = [
        *(f"{key} is missing" for key in sorted(own.keys() - state.keys())),
        *(f"{key} is unknown" for key in sorted(state.keys() - own.keys())),
        *(
            f"{key} is {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
            for key in sorted(own.keys() & state.keys())
            if state[key].shape != own[key].shape
        ),
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise UserError(f"{source} does not fit the configuration beside it: {shown}")
    model.load_state_dict({**state, **{key: model.state_dict()[key] for key in TRAINING_STATE}})
