"""Pieces of speech that is already in memory: what inference on recordings of any length begins with.

    pieces = cut_waveform(samples, 16000, encoder)
    texts = [recognize(samples[round(p.start * 16000) : round(p.stop * 16000)]) for p in pieces]
    text = merge_texts(pieces, texts)
"""

from __future__ import annotations

import numpy as np

from slm_espnet.long_audio.cutting import CuttingOptions, Piece, cut
from slm_espnet.long_audio.pauses import CTCEncoder, CTCPauses, energy_pauses
from slm_espnet.long_audio.recording import Waveform


def cut_waveform(
    samples: np.ndarray, sampling_rate: int, encoder: CTCEncoder | None = None, options: CuttingOptions | None = None
) -> list[Piece]:
    """Pieces of a waveform, in order.

    Args:
        samples: (N,) float32, full scale ±1.
        sampling_rate: Hz; the encoder's where one is given.
        encoder: finds the pauses where it has CTC; otherwise energy does.
        options: lengths.
    """
    options = options or CuttingOptions()
    recording = Waveform(samples, sampling_rate)
    if recording.seconds <= options.max_seconds:
        return cut(recording.seconds, (), options)
    with_ctc = encoder is not None and encoder.blank_id is not None
    find_pauses = CTCPauses(encoder) if with_ctc else energy_pauses
    return cut(recording.seconds, find_pauses(recording), options)
