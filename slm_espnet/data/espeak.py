"""Speech synthesis by espeak-ng, through ctypes and the library that the package espeakng-loader brings.

Repeatability: left alone, espeak-ng draws the noise of breathy voices from a generator that it seeds with the time of
day; here the generator starts from the same seed for every utterance. The engine also keeps state between utterances,
so the same call made later in a process differs by some samples, but the *first* utterance after the start is always
the same. Whoever needs audio that can be made anew lets each utterance (`slm_espnet.data.speak`), or each fixed list of
them, be spoken by a fresh or freshly forked process.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np

SAMPLING_RATE = 16000  # Hz of everything that is returned
DEFAULT_RATE = 170  # speaking rate, words per minute
DEFAULT_PITCH = 50  # espeak-ng's own scale of 0 to 99; 50 is the voice's normal pitch

_AUDIO_OUTPUT_SYNCHRONOUS = 2  # samples go to the callback, and the call returns when all are there
_PARAMETER_RATE, _PARAMETER_PITCH = 1, 3
_CHARS_UTF8 = 1
_RANDOM_SEED = 1  # of breath and flutter
_SILENCE = 0.01  # full scale 1.0: below it is silence at the edges
_LEAD_SECONDS, _TAIL_SECONDS = 0.045, 0.07  # kept around the speech
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@functools.cache
def engine_version() -> str:
    """Name and version of what speaks, for the names of audio files.

    Raises:
        ModuleNotFoundError: espeakng-loader is not installed.
    """
    from importlib import metadata

    return f"espeakng-loader {metadata.version('espeakng-loader')}"


class Espeak:
    """One espeak-ng engine. The library is global: use one instance in a process."""

    def __init__(self, data_path: Path | None = None) -> None:
        """Start the engine, with espeak-ng's own data folder or one that is laid out like it."""
        import espeakng_loader

        self.data_path = Path(data_path or espeakng_loader.get_data_path())
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        path = str(self.data_path).encode()
        self._native_rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, path, 0)
        if self._native_rate <= 0:
            raise RuntimeError(f"espeak-ng did not start with the data in {self.data_path}")
        self._samples = bytearray()
        self._callback = _CALLBACK(self._collect)  # kept: ctypes does not hold a reference
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]

    def _collect(self, samples, count: int, _events) -> int:
        if samples and count > 0:
            self._samples.extend(ctypes.string_at(samples, count * 2))
        return 0

    def speak(self, text: str, voice: str, rate: int = DEFAULT_RATE, pitch: int = DEFAULT_PITCH) -> np.ndarray:
        """Synthesize one utterance.

        Args:
            text: words with or without punctuation, numbers and symbols, of any length.
            voice: a language file such as gmw/en-US, roa/es or sit/cmn, optionally with a variant: gmw/en-US+f2.
            rate: words per minute.
            pitch: 0 to 99.

        Returns:
            (N,) float32 in [-1, 1] at 16 kHz, silence at the edges trimmed.

        Raises:
            ValueError: espeak-ng does not know the voice, or said nothing.
        """
        self._set_voice(voice)
        self._library.espeak_SetParameter(_PARAMETER_RATE, rate, 0)
        self._library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
        self._library.espeak_ng_SetRandSeed(_RANDOM_SEED)
        self._samples.clear()
        data = text.replace("\0", " ").encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 1, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        audio = np.frombuffer(bytes(self._samples), np.int16).astype(np.float32) / 32768
        audio = trim(audio, self._native_rate)
        if audio.size == 0:
            raise ValueError(f"espeak-ng said nothing for {text!r} with voice {voice}")
        import soxr

        return soxr.resample(audio, self._native_rate, SAMPLING_RATE, quality="MQ").astype(np.float32)

    def has_variant(self, variant: str) -> bool:
        """Whether there is such a variant; espeak-ng itself speaks with the base voice where there is not."""
        return (self.data_path / "voices" / "!v" / variant).is_file()

    def _set_voice(self, voice: str) -> None:
        """Choose a voice; espeak-ng itself would keep the previous one where it does not know the name."""
        variant = voice.partition("+")[2]
        if variant and not self.has_variant(variant):
            raise ValueError(f"espeak-ng has no variant {variant!r} of a voice (asked for: {voice}), such as f2 or m3")
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}; voices are named like gmw/en, gmw/en-US+f2, roa/es")


def trim(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Cut silence at both edges, leaving a short margin; empty when all of it is silence."""
    loud = np.nonzero(np.abs(audio) > _SILENCE)[0]
    if loud.size == 0:
        return audio[:0]
    start = max(0, loud[0] - int(_LEAD_SECONDS * sampling_rate))
    return audio[start : loud[-1] + int(_TAIL_SECONDS * sampling_rate)]
