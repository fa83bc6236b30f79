"""A recording of any length, read span by span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from slm_espnet.data.audio import audio_seconds, read_audio
from slm_espnet.data.datadir import AudioSource


class Recording(Protocol):
    """What the search for pauses reads."""

    sampling_rate: int  # Hz
    seconds: float  # length

    def read(self, start: float, stop: float) -> np.ndarray:
        """Samples (N,) float32 between two times in seconds."""


@dataclass(frozen=True)
class Waveform:
    """A recording in memory."""

    samples: np.ndarray  # (N,) float32, full scale ±1
    sampling_rate: int  # Hz

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.sampling_rate

    def read(self, start: float, stop: float) -> np.ndarray:
        """Samples (N,) float32 between two times in seconds."""
        return self.samples[round(start * self.sampling_rate) : round(stop * self.sampling_rate)]


class File:
    """A recording, or a span of one, on disk: only what is asked for is in memory."""

    def __init__(self, source: AudioSource, sampling_rate: int):
        """Look at the header; a pipe is run to know its length.

        Raises:
            AudioError: it cannot be read.
        """
        self.source, self.sampling_rate = source, sampling_rate
        seconds = audio_seconds(source)
        self.seconds = len(read_audio(source, sampling_rate)) / sampling_rate if seconds is None else seconds
        self._first = source.start or 0.0

    def read(self, start: float, stop: float) -> np.ndarray:
        """Samples (N,) float32 between two times in seconds, counted from the beginning of the span."""
        span = AudioSource(self.source.path, self._first + start, self._first + min(stop, self.seconds))
        return read_audio(span, self.sampling_rate)
