"""Finding and reading an ESPnet model: a directory, a packed archive, or a name of espnet_model_zoo or of the Hub."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_espnet.compat import hub_errors
from slm_espnet.errors import UserError
from slm_espnet.model_files import NOT_TENSORS
from slm_espnet.weights import cache_file

# What packing calls configuration and weights, by task.
PACKED_KEYS = (("asr_train_config", "asr_model_file"), ("s2t_train_config", "s2t_model_file"))

WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")  # kinds of files of which a model uses one


@dataclass(frozen=True)
class ESPnetFiles:
    """An ESPnet model's files on this machine."""

    name: str  # as the configuration gives it
    revision: str  # as the configuration gives it; empty for a directory or an archive
    directory: Path  # what paths in the configuration may be relative to
    config: Path  # config.yaml of the training
    weights: Path  # *.safetensors or *.pth

    def every(self) -> tuple[str, ...]:
        """What is used, as paths from the directory: configuration, weights, and what lies beside them at the top."""
        beside = [path for path in self.directory.iterdir() if path.is_file() and path.suffix not in WEIGHTS]
        used = {path.relative_to(self.directory).as_posix() for path in (*beside, self.config, self.weights)}
        return tuple(sorted(used))

    def read_config(self) -> dict[str, Any]:
        """The training's configuration; paths of files in the directory are made absolute."""
        import yaml

        try:
            values = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{self.config}: not readable as YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict) or "encoder" not in values:
            raise UserError(f"{self.config} is not the configuration of an ESPnet recognition training")
        return _with_paths(values, self.directory)

    def read_weights(self) -> dict[str, Any]:
        """The state dict; nothing in it is executed."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            if self.weights.suffix == ".safetensors":
                return load_file(self.weights)
            state = torch.load(self.weights, map_location="cpu", weights_only=True)
        except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
            reason = NOT_TENSORS if isinstance(error, pickle.UnpicklingError) else str(error).splitlines()[0]
            raise UserError(f"{self.weights} cannot be read as weights ({reason}); copy or make it again") from error
        return state.get("model", state.get("module", state))  # checkpoint.pth, DeepSpeed, or weights alone


def find_espnet_model(name: str, revision: str | None = None, weights: str | None = None) -> ESPnetFiles:
    """The files of a model, downloading or unpacking what is not there yet.

    Args:
        name: a directory with config.yaml and weights or with meta.yaml, a packed model (.zip), or a name.
        revision: branch, tag or commit of a Hub repository.
        weights: the weight file's name in the directory; needed where there are several.

    Raises:
        UserError: nothing is there, or it is not an ESPnet model.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        found = _packed_files(path) or (path / "config.yaml", _weight_file(path, weights))
        files = ESPnetFiles(name, "", path, *found)
    elif not path.is_file() and (path.is_absolute() or name.startswith(".")):
        raise UserError(f"speech encoder {name} does not exist; correct speech_encoder_conf, or build the model first")
    else:
        files = _unpacked(name, revision or "")
    for file in (files.config, files.weights):
        if not file.is_file():
            raise UserError(f"{file} is missing: {name} is not a complete ESPnet model")
    return files


def _weight_file(directory: Path, weights: str | None) -> Path:
    if weights is not None:
        return directory / weights
    if (directory / "model.safetensors").is_file():
        return directory / "model.safetensors"
    found = [
        path for path in sorted(directory.glob("*.pth")) if path.name != "checkpoint.pth" and not path.is_symlink()
    ]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(path.name for path in found) or "none"
    raise UserError(f"{directory} needs one file of weights, it has {listed}; name one: speech_encoder_conf: weights")


def _packed_files(directory: Path) -> tuple[Path, Path] | None:
    """Configuration and weights that meta.yaml of a packed model names; None where there is no meta.yaml."""
    import yaml

    if not (directory / "meta.yaml").is_file():
        return None
    meta = yaml.safe_load((directory / "meta.yaml").read_text(encoding="utf-8")) or {}
    named = {**meta.get("yaml_files", {}), **meta.get("files", {})}
    return _chosen({key: str(directory / value) for key, value in named.items()}, str(directory))


def _chosen(named: dict[str, str], name: str) -> tuple[Path, Path]:
    for config, weights in PACKED_KEYS:
        if config in named and weights in named:
            return Path(named[config]), Path(named[weights])
    raise UserError(f"{name} packs {', '.join(sorted(named)) or 'nothing'}; a recognition model (asr or s2t) is needed")


def _unpacked(name: str, revision: str) -> ESPnetFiles:
    from espnet_model_zoo.downloader import ModelDownloader

    label = f"{name}@{revision}" if revision else name
    # a folder for each revision: the downloader rewrites configurations in place, also those that revisions share
    folder = cache_file(f"espnet/{hashlib.sha1(label.encode()).hexdigest()[:16]}")
    if folder is None:
        raise UserError(f"there is no home directory to keep {label} in; set XDG_CACHE_HOME to a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}) to keep {label} in; set XDG_CACHE_HOME") from error
    try:
        named = ModelDownloader(str(folder)).download_and_unpack(label)
    except (*hub_errors(), RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"speech encoder {label} is no directory, and ESPnet's model downloader cannot get it ({reason}); check "
            "the name, or download it where there is a network and give its directory"
        ) from error
    config, weights = _chosen(named, name)
    return ESPnetFiles(name, revision, config.parent, config, weights)


def _with_paths(value: Any, directory: Path) -> Any:
    """Strings that name files of the directory become their paths."""
    if isinstance(value, dict):
        return {key: _with_paths(item, directory) for key, item in value.items()}
    if isinstance(value, list):
        # a token list holds thousands of strings, none of them a path
        return value if len(value) > 100 else [_with_paths(item, directory) for item in value]
    if isinstance(value, str) and "." in value and len(value) < 1000 and (directory / value).is_file():
        return str((directory / value).resolve())
    return value
