"""Where a language model's files are, and whether they are what is asked for: found before anything is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_espnet.compat import hub_errors
from slm_espnet.errors import UserError
from slm_espnet.weights import weights_sha256

T5_FAMILY = ("t5", "mt5", "umt5")  # model types of encoder-decoders that are known here
TOKENIZER_FILES = ("*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken")
WEIGHT_FILES = ("*.safetensors",)


@dataclass(frozen=True)
class ModelSource:
    """A model's files on this machine."""

    name: str  # as the configuration gives it
    revision: str  # commit of a Hub model; empty for a directory
    directory: Path

    def weight_files(self) -> list[Path]:
        """The safetensors files; UserError when there are none."""
        files = sorted(self.directory.glob("*.safetensors"))
        if not files:
            raise UserError(
                f"{self.name} has no *.safetensors weights (others are not read, because they can run code); "
                "load it once with transformers and write it with save_pretrained(directory)"
            )
        return files

    def weights_sha256(self) -> str:
        """One hash of all weight files, 64 hexadecimal digits."""
        return weights_sha256(self.weight_files())


def find_model(name: str, revision: str | None = None, weights: bool = True) -> ModelSource:
    """The files of a directory or of a Hub repository, downloading what is not there yet.

    Args:
        name: a directory, or a Hub name such as google/mt5-small.
        revision: branch, tag or commit of a Hub repository.
        weights: False leaves the weights out (tokenizer only).

    Raises:
        UserError: it does not exist, is not a model, or cannot be downloaded.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{path} has no config.json, so it is no Hugging Face model; give a directory that has")
        return ModelSource(name, "", path)
    if path.is_absolute() or name.startswith(".") or name.count("/") > 1 or path.exists():
        raise UserError(f"language model {name} is not a directory; correct llm_conf: model, or build the model first")
    return _download(name, revision, weights)


def _download(name: str, revision: str | None, weights: bool) -> ModelSource:
    from huggingface_hub import snapshot_download

    patterns = [*TOKENIZER_FILES, *(WEIGHT_FILES if weights else ())]
    try:
        directory = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except hub_errors() as error:
        at = f" at revision {revision}" if revision else ""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"language model {name}{at} is neither a directory nor to be had from the Hub ({reason}); check the name, "
            "or download it where there is a network and give its directory"
        ) from error
    if not (directory / "config.json").is_file():
        raise UserError(f"Hub repository {name} has no config.json: it is not a Hugging Face model")
    return ModelSource(name, directory.name, directory)


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
    if encoder_decoder and kind not in T5_FAMILY:
        raise UserError(f"{source.name} is of type {kind}; hf_seq2seq knows {', '.join(T5_FAMILY)}")
