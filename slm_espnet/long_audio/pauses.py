"""Pauses of a recording, by its energy, by a silero VAD model, or by the blanks of a CTC encoder.

Each finder walks through a recording in windows and gives the spans without speech as (start, stop) in seconds, sorted.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from slm_espnet.errors import UserError
from slm_espnet.long_audio.recording import Recording

if TYPE_CHECKING:
    from slm_espnet.speech_encoder.base import EncoderOutput

Pause = tuple[float, float]  # seconds
PauseFinder = Callable[[Recording], list[Pause]]

BLOCK_SECONDS = 300.0  # read at once where no window is needed
MIN_PAUSE = 0.2  # seconds; shorter ones are between sounds, not between words
ENERGY_FRAME = 0.02  # seconds
SILENCE = -70.0  # dB below full scale: whatever is quieter is silence
LEAST_RANGE = 12.0  # dB between quiet and loud frames; with less, speech cannot be told from noise by energy
LEAST_SPEECH = 0.06  # seconds; shorter noises in a pause do not end it
CTC_WINDOW = 30.0  # seconds encoded at once
CTC_MARGIN = 2.0  # seconds at each side of a window whose frames are only context
SILERO_RATE, SILERO_CHUNK, SILERO_CONTEXT = 16000, 512, 64  # what the model is made for


def energy_pauses(recording: Recording) -> list[Pause]:
    """Pauses by energy: frames much nearer to the noise floor (10th percentile) than to speech (95th).

    A recording without such a difference (steady noise, music, or speech without any pause) has none.
    """
    levels = np.concatenate([_levels(samples, recording.sampling_rate) for samples in _blocks(recording)])
    heard = levels[levels > SILENCE]
    if len(heard) == 0:
        return [(0.0, recording.seconds)]
    floor, speech = max(SILENCE, float(np.percentile(levels, 10))), float(np.percentile(heard, 95))
    threshold = SILENCE if speech - floor < LEAST_RANGE else floor + (speech - floor) / 3
    return _runs(levels <= threshold, ENERGY_FRAME, recording.seconds)


class SileroPauses:
    """Pauses by a silero VAD model (ONNX), which also knows speech in noise."""

    def __init__(self, model: str | Path, threshold: float = 0.5):
        """Load the model.

        Args:
            model: silero_vad.onnx.
            threshold: probability of speech below which a chunk (32 ms) belongs to a pause.

        Raises:
            UserError: the file is missing or is another model, or onnxruntime is not installed.
        """
        if not Path(model).is_file():
            raise UserError(f"{model}: no such file; give the path of silero_vad.onnx")
        if importlib.util.find_spec("onnxruntime") is None:
            raise UserError("a silero model needs onnxruntime: pip install onnxruntime, or find pauses by energy")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        names = {value.name for value in self._session.get_inputs()}
        if names != {"input", "state", "sr"}:
            raise UserError(f"{model} has inputs {', '.join(sorted(names))}; silero VAD 5 or later is needed")
        self.threshold = threshold

    def __call__(self, recording: Recording) -> list[Pause]:
        """See the module."""
        if recording.sampling_rate != SILERO_RATE:
            raise UserError(f"silero VAD hears {SILERO_RATE} Hz, the recording was read at {recording.sampling_rate}")
        state, context = np.zeros((2, 1, 128), np.float32), np.zeros(SILERO_CONTEXT, np.float32)
        probabilities, rest = [], np.zeros(0, np.float32)
        for samples in itertools.chain(_blocks(recording), [None]):
            last = samples is None
            rest = np.pad(rest, (0, -len(rest) % SILERO_CHUNK)) if last else np.concatenate([rest, samples])
            usable = len(rest) // SILERO_CHUNK * SILERO_CHUNK
            for chunk in rest[:usable].reshape(-1, SILERO_CHUNK):
                inputs = {"input": np.concatenate([context, chunk])[None], "state": state}
                output, state = self._session.run(None, {**inputs, "sr": np.array(SILERO_RATE, np.int64)})
                probabilities.append(float(output[0, 0]))
                context = chunk[-SILERO_CONTEXT:]
            rest = rest[usable:]
        quiet = np.array(probabilities) < self.threshold
        return _runs(quiet, SILERO_CHUNK / SILERO_RATE, recording.seconds)


class CTCEncoder(Protocol):
    """What is needed of a speech encoder (speech_encoder/base.py)."""

    frame_shift: float
    blank_id: int | None
    min_samples: int

    def __call__(self, speech, speech_lengths) -> EncoderOutput: ...


class CTCPauses:
    """Pauses by runs of blank of a CTC encoder: where it recognizes nothing, no word is cut."""

    def __init__(self, encoder: CTCEncoder):
        """Use an encoder; ValueError for one without CTC."""
        if encoder.blank_id is None:
            raise ValueError("pauses by CTC need an encoder with CTC")
        self.encoder = encoder

    def __call__(self, recording: Recording) -> list[Pause]:
        """See the module. A long recording is encoded in windows, of which the outermost parts are only context."""
        shift = self.encoder.frame_shift
        blank = np.ones(int(recording.seconds / shift) + 1, dtype=bool)
        step = CTC_WINDOW - 2 * CTC_MARGIN
        starts = np.arange(0.0, max(shift, recording.seconds - 2 * CTC_MARGIN), step)
        for start in starts:
            first = 0.0 if start == 0 else start + CTC_MARGIN
            last = recording.seconds if start == starts[-1] else start + CTC_WINDOW - CTC_MARGIN
            found = self._blanks(recording, float(start), min(float(start) + CTC_WINDOW, recording.seconds))
            frames = np.arange(len(found))
            times = start + frames * shift
            inside = (times >= first - shift / 2) & (times < last - shift / 2)
            places = np.round(times[inside] / shift).astype(int)
            kept = places < len(blank)
            blank[places[kept]] = found[inside][kept]
        return _runs(blank, shift, recording.seconds)

    def _blanks(self, recording: Recording, start: float, stop: float) -> np.ndarray:
        """(T,) whether blank is the best token."""
        import torch

        samples = recording.read(start, stop)
        if len(samples) < self.encoder.min_samples:
            return np.ones(0, dtype=bool)
        speech = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))[None]
        output = self.encoder(speech, torch.tensor([len(samples)]))
        best = output.ctc_log_probs[0, : int(output.lengths[0])].argmax(-1)
        return (best == self.encoder.blank_id).cpu().numpy()


def _blocks(recording: Recording) -> Iterator[np.ndarray]:
    """A recording in blocks of a whole number of frames."""
    for start in np.arange(0.0, recording.seconds, BLOCK_SECONDS):
        samples = recording.read(float(start), min(float(start) + BLOCK_SECONDS, recording.seconds))
        if len(samples):
            yield samples


def _levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """(frames,) mean energy in dB relative to full scale."""
    size = round(ENERGY_FRAME * rate)
    padded = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size).astype(np.float64)
    return 10 * np.log10(np.maximum(np.square(padded).mean(axis=1), 1e-12))


def _runs(quiet: np.ndarray, shift: float, seconds: float) -> list[Pause]:
    """Runs of quiet frames as times; short noises in them are bridged, short runs left out."""
    pauses: list[Pause] = []
    for start, stop in _spans(quiet):
        begin, end = start * shift, min(stop * shift, seconds)
        if pauses and begin - pauses[-1][1] < LEAST_SPEECH:
            pauses[-1] = (pauses[-1][0], end)
        else:
            pauses.append((begin, end))
    return [(begin, end) for begin, end in pauses if end - begin >= MIN_PAUSE]


def _spans(flags: np.ndarray) -> Iterable[tuple[int, int]]:
    """First and past-the-last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
