"""Variants of a recording for training: other speeds, levels and added noise, all decided by a seed."""

from __future__ import annotations

import numpy as np
import soxr
from mini_corpus.noise import coloured_noise, mix, swell

SPEEDS = (0.9, 1.0, 1.1)
SNR_DB = (5.0, 30.0)
GAIN_DB = (-10.0, 6.0)


def vary(samples: np.ndarray, sampling_rate: int, seed: list[int], noise_share: float) -> np.ndarray:
    """One variant of a recording.

    Args:
        samples: (N,) float32.
        sampling_rate: Hz, of both the recording and the result.
        seed: numbers that decide speed, level and noise.
        noise_share: probability that noise is added.

    Returns:
        (M,) int16.
    """
    rng = np.random.default_rng(seed)
    speed = SPEEDS[rng.integers(len(SPEEDS))]
    if speed != 1.0:
        samples = soxr.resample(samples, sampling_rate * speed, sampling_rate).astype(np.float32)
    gain_db = rng.uniform(*GAIN_DB)
    if rng.random() >= noise_share:
        return mix(samples, None, None, gain_db)
    noise = coloured_noise(rng, len(samples), rng.uniform(0, 1)) * swell(rng, len(samples), sampling_rate)
    return mix(samples, noise, rng.uniform(*SNR_DB), gain_db)
