"""Audio to encode where there is no corpus: noise in files, as long as real utterances are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

# Read speech from audio books: half of the utterances are shorter than 5.8 s, the mean is 7.4 s.
MEDIAN, SIGMA, SHORTEST, LONGEST = 5.8, 0.69, 1.5, 35.0
DISTRIBUTION = f"log-normal, median {MEDIAN} s, sigma {SIGMA}, cut at {SHORTEST} and {LONGEST} s"


def drawn_seconds(count: int, seed: int = 0) -> np.ndarray:
    """(count,) lengths of utterances in seconds, drawn from DISTRIBUTION."""
    drawn = np.random.default_rng(seed).lognormal(np.log(MEDIAN), SIGMA, count)
    return drawn.clip(SHORTEST, LONGEST)


def write_noise(directory: Path, seconds: np.ndarray, rate: int) -> Path:
    """A data directory of one flac file of noise for each length, in the order given."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    lines = {"wav.scp": [], "text": []}
    for number, length in enumerate(seconds):
        path = directory / f"{number:05d}.flac"
        soundfile.write(path, 0.1 * generator.standard_normal(round(length * rate)).clip(-3, 3), rate)
        lines["wav.scp"].append(f"utt{number:05d} {path}\n")
        lines["text"].append(f"utt{number:05d} noise\n")
    for name, rows in lines.items():
        (directory / name).write_text("".join(rows), encoding="utf-8")
    return directory
