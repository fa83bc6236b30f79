"""Made-up CTC posteriors whose right answer is known by construction, as the fixture `ctc`."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from slm_espnet.encodings.posteriors import FramePosteriors

CHARACTERS = ("<blank>", "<space>", *"abcdefghijklmnopqrstuvwxyz", "'", "<unk>")


def character_frames(text: str) -> list[str]:
    """CTC frames of a text: `_` is blank, space is the delimiter; equal neighbours are separated by a blank."""
    frames: list[str] = []
    for char in text:
        if frames and frames[-1] == char:
            frames.append("_")
        frames.append(char)
    return frames


def character_posteriors(frames: Sequence[str], *, top: float = 0.9, blank: float = 0.9999) -> FramePosteriors:
    """Each frame's token has probability `top`, a blank `blank`: a sure one where nothing else is said."""
    probabilities = np.zeros((len(frames), len(CHARACTERS)))
    for row, symbol in zip(probabilities, frames, strict=True):
        token = CHARACTERS.index({"_": "<blank>", " ": "<space>"}.get(symbol, symbol))
        peak = top if token else blank
        row[:] = (1 - peak) / (len(CHARACTERS) - 1)
        row[token] = peak
    return FramePosteriors.from_dense(np.log(probabilities), 0)


@pytest.fixture(scope="session")
def ctc() -> SimpleNamespace:
    """The vocabulary CHARACTERS (blank 0), character_frames and character_posteriors."""
    return SimpleNamespace(vocabulary=CHARACTERS, frames=character_frames, posteriors=character_posteriors)
