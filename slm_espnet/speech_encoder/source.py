"""Where a Hugging Face speech model's files are, and the settings that all kinds share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slm_espnet.compat import hub_errors
from slm_espnet.errors import UserError

DTYPES = ("float32", "bfloat16")
# Weights in several formats are fetched in one: safetensors where there are such.
OTHER_FORMATS = ("*.h5", "*.msgpack", "*.ot", "*.onnx*", "*.gguf", "*.tflite", "*.nemo", "*.arpa*", "language_model/*")


@dataclass(frozen=True)
class ModelSource:
    """A model's files on this machine."""

    name: str  # as the configuration gives it
    revision: str  # commit of a Hub model; empty for a directory
    directory: Path

    def weight_files(self, extra: tuple[str, ...] = ()) -> list[Path]:
        """The weights that transformers reads, and the files named `extra` beside them."""
        files = sorted(self.directory.glob("model*.safetensors")) or sorted(self.directory.glob("pytorch_model*.bin"))
        if not files:
            raise UserError(f"{self.name} has no model.safetensors and no pytorch_model.bin; save the model there")
        return files + [self.directory / name for name in extra if (self.directory / name).is_file()]


def check_dtype(dtype: str) -> str:
    """The dtype; UserError where it is none that encoders compute in."""
    if dtype not in DTYPES:
        raise UserError(f"speech_encoder_conf: dtype is {dtype!r}; choose {' or '.join(DTYPES)}")
    return dtype


def find_model(name: str, revision: str | None = None) -> ModelSource:
    """The files of a directory or of a Hub repository, downloading what is not there yet.

    Raises:
        UserError: it does not exist, is no transformers model, or cannot be downloaded.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{path} has no config.json, so it is no transformers model (of ESPnet: espnet_ctc)")
        return ModelSource(name, "", path)
    if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise UserError(f"speech encoder {name} does not exist; correct speech_encoder_conf, or bring the model first")
    directory = _download(name, revision)
    if not (directory / "config.json").is_file():
        raise UserError(f"{name} has no config.json, so it is no transformers model (of ESPnet: espnet_ctc)")
    return ModelSource(name, directory.name, directory)


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    ignored = [*OTHER_FORMATS, *_second_formats(name, revision)]
    try:
        return Path(snapshot_download(name, revision=revision, ignore_patterns=ignored))
    except hub_errors() as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        at = f" at revision {revision}" if revision else ""
        raise UserError(
            f"speech encoder {name}{at} is neither a directory nor to be had from the Hub ({reason}); check the name, "
            "or download it where there is a network and give its directory"
        ) from error


def _second_formats(name: str, revision: str | None) -> tuple[str, ...]:
    """Formats that a repository with safetensors has besides; none where no server can be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return ()
    try:
        files = HfApi().list_repo_files(name, revision=revision)
    except hub_errors():  # the download itself finds what is in the cache, or says what is wrong
        return ()
    has_safetensors = any(file.startswith("model") and file.endswith(".safetensors") for file in files)
    return ("*.bin", "*.pt") if has_safetensors else ()
