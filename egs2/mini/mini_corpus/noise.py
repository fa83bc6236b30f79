"""Noise for synthetic speech: coloured noise that swells and fades, babble, and mixing at a given SNR. All seeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BABBLE_SHARE = 0.3  # of noisy utterances
SPEECH_LEVEL_DB = -26.0  # RMS of the speech at gain 0, relative to full scale
PEAK = 0.98  # louder mixtures are scaled down as a whole
_MODULATION_HZ = 2.0  # how often the noise level changes its direction
_MODULATION_DB = 5.0  # standard deviation of the noise level


def coloured_noise(rng: np.random.Generator, length: int, tilt: float) -> np.ndarray:
    """Noise with power falling as 1 / f^(2 tilt): tilt 0 is white, 0.5 pink, 1 brown. Returns (length,) float32."""
    size = 1 << max(1, length - 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    # Below bin `corner` (about 50 Hz at 16 kHz) the spectrum stays flat, or brown noise would be all rumble.
    corner = max(1.0, size * 50 / 16000)
    spectrum /= np.maximum(np.arange(len(spectrum)), corner) ** tilt
    return np.fft.irfft(spectrum, size)[:length].astype(np.float32)


def swell(rng: np.random.Generator, length: int, sampling_rate: int = 16000) -> np.ndarray:
    """Slow level changes: a (length,) float32 gain that wanders by some dB about 1."""
    points = int(length / sampling_rate * _MODULATION_HZ) + 2
    level_db = np.interp(np.linspace(0, points - 1, length), np.arange(points), rng.normal(0, _MODULATION_DB, points))
    return (10 ** (level_db / 20)).astype(np.float32)


def babble(rng: np.random.Generator, length: int, others: Sequence[np.ndarray], talkers: int = 5) -> np.ndarray:
    """Several other utterances at once, each looped from a random start and at its own level: (length,) float32."""
    mixture = np.zeros(length, np.float32)
    for _ in range(talkers):
        other = others[int(rng.integers(len(others)))]
        start = int(rng.integers(len(other)))
        level = 10 ** (rng.uniform(-6, 6) / 20) / (np.sqrt(np.mean(other**2)) + 1e-9)
        mixture += np.float32(level) * np.resize(np.roll(other, -start), length)
    return mixture


def random_noise(rng: np.random.Generator, length: int, others: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Noise of a random kind: babble where other utterances are given (30 %), else random tilt and swelling."""
    use_babble = rng.random() < BABBLE_SHARE
    if use_babble and others:
        return babble(rng, length, others)
    return coloured_noise(rng, length, rng.uniform(0, 1)) * swell(rng, length)


def mix(speech: np.ndarray, noise: np.ndarray | None, snr_db: float | None, gain_db: float) -> np.ndarray:
    """Set the level of the speech and add noise.

    Args:
        speech: (N,) float32.
        noise: (N,) float32, or None where there is none.
        snr_db: power of speech over power of noise, both over the whole utterance; None leaves the speech clean.
        gain_db: level of the speech relative to -26 dB of full scale.

    Returns:
        (N,) int16. A mixture that would clip is scaled down as a whole, so the SNR holds.
    """
    rms = np.sqrt(np.mean(speech**2)) + 1e-9
    mixture = speech * (10 ** ((SPEECH_LEVEL_DB + gain_db) / 20) / rms)
    if noise is not None and snr_db is not None:
        noise_rms = np.sqrt(np.mean(noise**2)) + 1e-9
        mixture = mixture + noise * (10 ** ((SPEECH_LEVEL_DB + gain_db - snr_db) / 20) / noise_rms)
    mixture = mixture * min(1.0, PEAK / (np.abs(mixture).max() + 1e-9))
    return np.round(mixture * 32767).astype(np.int16)
