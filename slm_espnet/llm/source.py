"""Finding a language model and reading its configuration, before anything is loaded."""

from __future__ import annotations

import json
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.model_files import Wanted
from slm_espnet.model_source import ModelSource, locate_model


def find_model(
    name: str, revision: str | None = None, weights: bool = True, trust_pickle: bool = False
) -> ModelSource:
    """The files of a directory or of a Hub repository, downloading what is not there yet.

    Args:
        name: a directory, or a Hub name such as google/mt5-small.
        revision: branch, tag, commit, or refs/pr/N of a Hub repository.
        weights: False leaves the weights out (tokenizer only).
        trust_pickle: whether pytorch_model.bin may be used where there are no safetensors.

    Raises:
        UserError: as `locate_model`.
    """
    return locate_model(name, revision, Wanted(weights, trust_pickle), "language model", "llm_conf: model")


def read_config(source: ModelSource) -> Any:
    """The model's transformers configuration; UserError when it cannot be read or its type is unknown."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.directory, local_files_only=True)
    except (ValueError, KeyError, OSError, json.JSONDecodeError) as error:
        raise UserError(
            f"{source.directory / 'config.json'} is not a configuration that transformers knows: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error


def check_family(source: ModelSource, config: Any, encoder_decoder: bool) -> None:
    """Refuse a decoder-only model where an encoder-decoder is expected, and the reverse."""
    kind = config.model_type
    if encoder_decoder and not config.is_encoder_decoder:
        raise UserError(f"{source.name} ({kind}) is no encoder-decoder model; use llm: hf_causal for it")
    if not encoder_decoder and config.is_encoder_decoder:
        raise UserError(f"{source.name} ({kind}) is an encoder-decoder model; use llm: hf_seq2seq for it")
