"""Finding a Hugging Face speech model, and the settings that all kinds share."""

from __future__ import annotations

from slm_espnet.errors import UserError
from slm_espnet.model_files import Wanted
from slm_espnet.model_source import ModelSource, locate_model

DTYPES = ("float32", "bfloat16")


def check_dtype(dtype: str) -> str:
    """The dtype; UserError where it is none that encoders compute in."""
    if dtype not in DTYPES:
        raise UserError(f"speech_encoder_conf: dtype is {dtype!r}; choose {' or '.join(DTYPES)}")
    return dtype


def find_model(
    name: str, revision: str | None = None, trust_pickle: bool = False, target_lang: str | None = None
) -> ModelSource:
    """The files of a directory or of a Hub repository, downloading what is not there yet.

    Args:
        name: a directory, or a Hub name such as facebook/mms-1b-all.
        revision: branch, tag, commit, or refs/pr/N of a Hub repository.
        trust_pickle: whether pytorch_model.bin may be used where there are no safetensors.
        target_lang: of MMS, the language whose adapter is used.

    Raises:
        UserError: as `locate_model`.
    """
    wanted = Wanted(trust_pickle=trust_pickle, target_lang=target_lang)
    return locate_model(name, revision, wanted, "speech encoder", "speech_encoder_conf: model (of ESPnet: espnet_ctc)")
