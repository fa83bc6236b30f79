"""Speech as users have it: paths, arrays of any rate and number of channels; and long audio in pieces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from slm_espnet.data.audio import AudioError, check_scale, mix_channels, read_audio
from slm_espnet.data.datadir import AudioSource
from slm_espnet.errors import UserError


def read_speech(speech: Any, rate: int | None, sampling_rate: int) -> np.ndarray:
    """Mono samples (N,) float32, full scale ±1.

    Args:
        speech: a path (wav, flac, mp3, ogg, …), an array (N,) or (N, channels), a pair (array, rate), or a mapping with
            `array` and `sampling_rate` as Hugging Face datasets has it. Of integers the type's range is full scale.
        rate: Hz of an array that comes without its own.
        sampling_rate: Hz of the result.

    Raises:
        UserError: it cannot be read, has no samples, or its rate is not known.
    """
    if isinstance(speech, str | Path):
        if str(speech).endswith("|"):  # a pipe of wav.scp: a name from outside must not run a command
            raise UserError(f"{speech}: a path ends in |; commands are not run here, give a file or an array")
        try:
            return read_audio(AudioSource(str(speech)), sampling_rate)
        except AudioError as error:
            raise UserError(f"{speech}: {error.message}; give a wav, flac, mp3 or ogg that plays") from error
    if isinstance(speech, Mapping) and {"array", "sampling_rate"} <= speech.keys():
        speech, rate = speech["array"], speech["sampling_rate"]
    elif isinstance(speech, tuple) and len(speech) == 2:
        speech, rate = speech
    samples = _as_float(speech)
    if rate is None or rate <= 0:
        raise UserError("an array needs its sampling rate in Hz: slm(samples, rate=16000)")
    if int(rate) == sampling_rate:
        return samples
    import soxr

    return soxr.resample(samples, int(rate), sampling_rate).astype(np.float32, copy=False)


def recordings_of(speech: Any) -> tuple[Any, ...]:
    """The recordings of one prompt: those of a tuple, but for a pair (array, rate), which is one."""
    is_pair = isinstance(speech, tuple) and len(speech) == 2 and isinstance(speech[1], Real | np.number)
    return speech if isinstance(speech, tuple) and not is_pair else (speech,)


def _as_float(speech: Any) -> np.ndarray:
    """(N,) float32 of an array; channels, on the shorter axis, are mixed."""
    values = np.asarray(speech)
    if values.dtype.kind not in "fiu" or values.ndim not in (1, 2):
        raise UserError(f"speech is a path or an array (N,) or (N, channels), not {type(speech).__name__}")
    if not values.size:
        raise UserError("speech has no samples")
    if values.dtype.kind == "i":
        values = values / -float(np.iinfo(values.dtype).min)
    elif values.dtype.kind == "u":  # 8-bit wav: silence is the middle
        middle = (np.iinfo(values.dtype).max + 1) / 2
        values = (values.astype(np.float64) - middle) / middle
    if values.ndim == 2:
        values = mix_channels(values if np.argmin(values.shape) else values.T, "an array of speech")
    if not np.isfinite(values).all():
        raise UserError("speech has samples that are NaN or infinite")
    check_scale(values, "an array of speech")
    return np.ascontiguousarray(values, dtype=np.float32)


def check_length(samples: np.ndarray, encoder: Any, name: str, max_seconds: float = math.inf) -> None:
    """Raises: UserError: too short for one frame of the encoder, or too long for one of several in a prompt."""
    seconds = len(samples) / encoder.sampling_rate
    if seconds > max_seconds:
        raise UserError(
            f"{name}: {seconds:.1f} s long; of several recordings in one prompt only the first of the instruction is "
            f"cut into pieces, the others may have up to {max_seconds:g} s"
        )
    if len(samples) < encoder.min_samples:
        least = math.ceil(1000 * encoder.min_samples / encoder.sampling_rate)
        raise UserError(f"{name}: too short for one frame of the speech encoder; at least {least} ms are needed")
