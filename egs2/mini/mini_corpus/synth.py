"""Speech synthesis for the mini corpus: espeak-ng through ctypes, 16 kHz out.

espeak-ng keeps state between utterances: the same call made later in a process differs by some samples. A *fresh*
process repeats itself exactly, so whoever needs reproducible audio synthesizes a fixed list of utterances per
process (see `mini_corpus.audio_data`).
"""

from __future__ import annotations

import ctypes

import espeakng_loader
import numpy as np
import soxr

SAMPLING_RATE = 16000  # Hz of everything this module returns
RATE_RANGE = (140, 210)  # speaking rate, words per minute
PITCH_RANGE = (30, 70)  # espeak-ng's own scale, 50 is the voice's normal pitch

_AUDIO_OUTPUT_SYNCHRONOUS = 2  # samples go to the callback, and the call returns when all are there
_PARAMETER_RATE, _PARAMETER_PITCH = 1, 3
_CHARS_UTF8 = 1
_ENGLISH = "gmw/en"
_SILENCE = 0.01  # full scale 1.0: below it is silence at the edges
_LEAD_SECONDS, _TAIL_SECONDS = 0.045, 0.07  # kept around the speech

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Synthesizer:
    """One espeak-ng engine. The library is global: use one instance in a process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data_path = espeakng_loader.get_data_path().encode()
        self._native_rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, 0)
        if self._native_rate <= 0:
            raise RuntimeError(f"espeak-ng did not start with the data in {data_path.decode()}")
        self._samples = bytearray()
        self._callback = _CALLBACK(self._collect)  # kept: ctypes does not hold a reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count: int, _events) -> int:
        if samples and count > 0:
            self._samples.extend(ctypes.string_at(samples, count * 2))
        return 0

    def speak(self, words: str, voice: str, rate: int = 170, pitch: int = 50) -> np.ndarray:
        """Synthesize one utterance.

        Args:
            words: plain lower-case words.
            voice: `<base>+<variant>`, see `mini_corpus.voices`.
            rate: words per minute.
            pitch: 0 to 99.

        Returns:
            (N,) float32 in [-1, 1] at 16 kHz, silence at the edges trimmed.

        Raises:
            ValueError: espeak-ng does not know the base voice (it would keep the previous one), or said nothing.
        """
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}; the bases of mini_corpus.voices exist")
        self._library.espeak_SetParameter(_PARAMETER_RATE, rate, 0)
        self._library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0)
        self._samples.clear()
        text = (spell(words) if voice.startswith(_ENGLISH) else words).encode() + b"\0"
        self._library.espeak_Synth(text, len(text), 0, 1, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        audio = np.frombuffer(bytes(self._samples), np.int16).astype(np.float32) / 32768
        audio = trim(audio, self._native_rate)
        if audio.size == 0:
            raise ValueError(f"espeak-ng said nothing for {words!r} with voice {voice}")
        return soxr.resample(audio, self._native_rate, SAMPLING_RATE, quality="MQ").astype(np.float32)


def spell(words: str) -> str:
    """English words as they have to be written for espeak-ng: a spelled letter "a" is no article.

    "a" counts as a letter where it stands in a run of single letters with one that is not itself a word.
    """
    tokens = words.split()
    start = 0
    while start < len(tokens):
        stop = start
        while stop < len(tokens) and len(tokens[stop]) == 1:
            stop += 1
        if set(tokens[start:stop]) - {"a", "i"}:
            tokens[start:stop] = ["eigh" if token == "a" else token for token in tokens[start:stop]]
        start = stop + 1
    return " ".join(tokens)


def trim(audio: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Cut silence at both edges, leaving a short margin; empty when all of it is silence."""
    loud = np.nonzero(np.abs(audio) > _SILENCE)[0]
    if loud.size == 0:
        return audio[:0]
    start = max(0, loud[0] - int(_LEAD_SECONDS * sampling_rate))
    return audio[start : loud[-1] + int(_TAIL_SECONDS * sampling_rate)]


def check_variants(base: str, variants: tuple[str, ...]) -> list[str]:
    """Variants that do not change the sound of their base, because espeak-ng does not have them.

    Compared are long-term log spectra. Renderings of one voice differ a little from each other, because the engine
    keeps state; a variant has to differ clearly more than that.
    """
    synthesizer = Synthesizer()
    words = "please book a table for nine people and call me at half past eight"

    def spectrum(voice: str) -> np.ndarray:
        audio = synthesizer.speak(words, voice)
        frames = np.lib.stride_tricks.sliding_window_view(audio, 512)[::256] * np.hanning(512)
        return np.log(np.mean(np.abs(np.fft.rfft(frames)) ** 2, 0) + 1e-9)

    plain = spectrum(base)
    repeated = max(np.abs(spectrum(base) - plain).mean() for _ in range(4))
    return [v for v in variants if np.abs(spectrum(f"{base}+{v}") - plain).mean() < 1.5 * repeated]
