"""Reading the configuration that a training leaves beside its adapter; no torch, so that commands start fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from slm_espnet.errors import UserError


def read_config(path: Path) -> dict[str, Any]:
    """Read exp/<tag>/config.yaml; UserError when it is missing, no YAML, or not of an adapter training."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the directory of a trained model (--model_dir)") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict) or "adapter" not in config:
        raise UserError(f"{path} is not the configuration of an adapter training")
    return config
