"""Whether a waveform can hold speech at all: silence and steady noise do not.

Encoders with CTC write letters on silence and noise too (the mini encoder writes "ien" for zeros), and a language model
that is given phrases may answer with one of them. So recognition is not asked about a waveform without speech.

Steady noise (white, pink, brown) varies by chance alone: the level of a frequency band, in dB, then has a known
deviation from frame to frame, that of the logarithm of a gamma variable. Speech varies more in some band, in loud noise
too. Music, babble and clatter vary as speech does: they pass.
"""

from __future__ import annotations

import numpy as np

SILENCE = -84.0  # dB below full scale of the loudest frame: two steps of 16 bit; soft speech is louder
FRAME_SECONDS = 0.032
MIN_FRAMES = 10  # a shorter waveform is judged by its loudness alone
EDGES = (150, 300, 500, 750, 1050, 1500, 2100, 3000, 3900)  # Hz, of the bands
# Deviation of the levels over that of steady noise, in the band that varies most: 1.25, and for T frames 2 / √T more.
# Measured: 60 noises each of 0.5, 2 and 10 s have at most 1.76, 1.48 and 1.30; of 300 real utterances clean ones have
# at least 4.9, in white noise at 5 dB 2.4, and at 0 dB one of them is below.
LEAST_VARIATION, OF_FEW = 1.25, 2.0
HANN_BINS = 1.5  # neighbouring bins of a Hann window that count as one


def may_hold_speech(samples: np.ndarray, rate: int) -> bool:
    """Whether a waveform (N,) with full scale ±1, at `rate` Hz, is neither silent nor steady noise."""
    samples = np.asarray(samples, dtype=np.float64)
    size = round(FRAME_SECONDS * rate)
    if not len(samples):
        return False
    short = np.pad(samples - samples.mean(), (0, max(0, size - len(samples))))
    frames = short[: len(short) // size * size].reshape(-1, size)
    loudness = 10 * np.log10((frames**2).mean(axis=1).max() + 1e-12)
    if loudness <= SILENCE:
        return False
    return len(frames) < MIN_FRAMES or variation(frames, rate) >= LEAST_VARIATION + OF_FEW / len(frames) ** 0.5


def variation(frames: np.ndarray, rate: int) -> float:
    """Deviation of levels over that of steady noise, in the band of frames (T, N) that varies most."""
    size = frames.shape[1]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    places = np.searchsorted(np.fft.rfftfreq(size, 1 / rate), EDGES)
    found = []
    for first, last in zip(places, places[1:], strict=False):
        if last > first:
            levels = 10 * np.log10(power[:, first:last].sum(axis=1) + 1e-12)
            count = max(1.0, (last - first) / HANN_BINS)  # of independent values that are added up
            found.append(levels.std() / (10 / np.log(10) * np.sqrt(1 / count + 1 / (2 * count**2))))
    return max(found)
