"""Reading the configuration that a training leaves beside its adapter; no torch, so that commands start fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml


def read_config(path: Path) -> dict[str, Any]:
    """Read exp/<tag>/config.yaml; UserError when it is missing, no YAML, or not of an adapter training.

    Its prompt_conf says how prompts are laid out; a training that did not say so yet had the first format.
    """
    config = read_yaml(path, "the configuration", "give the directory of a trained model (--model_dir)")
    if not isinstance(config, dict) or "adapter" not in config:
        raise UserError(f"{path} is not the configuration of an adapter training")
    config["prompt_conf"] = {"format": 1, **(config.get("prompt_conf") or {})}
    return config
