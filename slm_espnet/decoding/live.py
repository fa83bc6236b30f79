"""Encodings made while decoding, in place of those of stage 2: the same arrays, kept in memory for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slm_espnet.data.audio import AudioError, read_audio
from slm_espnet.data.datadir import Row
from slm_espnet.data.silence import may_hold_speech
from slm_espnet.encodings.layout import Encoding
from slm_espnet.encodings.pipeline import EncodingPipeline

MAX_SECONDS = 60.0  # longer audio is left out, as in stage 2
BATCH_SECONDS = 60.0  # of audio in a batch, padding included


def encode_waveforms(pipeline: EncodingPipeline, waveforms: Mapping[str, np.ndarray]) -> dict[str, Encoding]:
    """Encodings of waveforms (N,) by name, made in batches of similar length.

    Raises:
        ValueError: one is shorter than `pipeline.encoder.min_samples`.
    """
    batches: list[list[str]] = []
    for name in sorted(waveforms, key=lambda name: (-len(waveforms[name]), name)):
        longest = len(waveforms[batches[-1][0]]) if batches else 0
        if not batches or longest * (len(batches[-1]) + 1) > BATCH_SECONDS * pipeline.sampling_rate:
            batches.append([])
        batches[-1].append(name)
    encodings: dict[str, Encoding] = {}
    for names in batches:
        found = pipeline.encode_as_stored([waveforms[name] for name in names])
        encodings.update(zip(names, found, strict=True))
    return encodings


class LiveEncodings:
    """Encodings of the audio of some rows; offers what decoding uses of an EncodingReader."""

    def __init__(self, pipeline: EncodingPipeline, rows: Sequence[Row]):
        """Encode; audio that cannot be encoded is in `reasons` by key."""
        self.fingerprint: dict[str, Any] = pipeline.fingerprint
        self.reasons: dict[str, str] = {}
        waveforms, rate = self._read(pipeline, rows), pipeline.sampling_rate
        self.silent = frozenset(key for key, samples in waveforms.items() if not may_hold_speech(samples, rate))
        self._encodings = encode_waveforms(pipeline, waveforms)

    def _read(self, pipeline: EncodingPipeline, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        waveforms: dict[str, np.ndarray] = {}
        for key, source in {one.key: one for row in rows for one in row.recordings}.items():
            try:
                samples = read_audio(source, pipeline.sampling_rate)
            except AudioError as error:
                self.reasons[key] = error.reason
                continue
            if len(samples) < pipeline.encoder.min_samples:
                self.reasons[key] = "too short for one frame"
            elif len(samples) > MAX_SECONDS * pipeline.sampling_rate:
                self.reasons[key] = f"longer than {MAX_SECONDS:g} s; python -m slm_espnet.bin.segment cuts it"
            else:
                waveforms[key] = samples
        return waveforms

    def __contains__(self, key: object) -> bool:
        return key in self._encodings

    def __getitem__(self, key: str) -> Encoding:
        return self._encodings[key]

    def lengths(self, keys: Sequence[str]) -> np.ndarray:
        """(len(keys),) frames kept."""
        return np.array([len(self._encodings[key].frames) for key in keys], dtype=np.int64)

    def ctc_hypothesis(self, key: str) -> str:
        """Text of the best CTC path."""
        return self._encodings[key].ctc_hypothesis
