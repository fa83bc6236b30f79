"""Made-up CTC posteriors whose right answer is known by construction, as the fixture `ctc`."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from slm_espnet.biasing.keyword_spotting import Posteriors

CHARACTERS = ("<blank>", "<space>", *"abcdefghijklmnopqrstuvwxyz", "'", "<unk>")


def character_frames(text: str) -> list[str]:
    """CTC frames of a text: `_` is blank, space is the delimiter; equal neighbours are separated by a blank."""
    frames: list[str] = []
    for char in text:
        if frames and frames[-1] == char:
            frames.append("_")
        frames.append(char)
    return frames


def character_posteriors(
    frames: Sequence[str], *, keep_blanks: bool = False, top: float = 0.9, k: int = 30
) -> Posteriors:
    """Each frame's token has probability `top`; blank frames are dropped as the blank filter does."""
    ids, log_probs, positions = [], [], []
    for position, symbol in enumerate(frames):
        token = {"_": "<blank>", " ": "<space>"}.get(symbol, symbol)
        if token == "<blank>" and not keep_blanks:
            continue
        probs = np.full(len(CHARACTERS), (1 - top) / (len(CHARACTERS) - 1))
        probs[CHARACTERS.index(token)] = top
        order = np.argsort(-probs, kind="stable")[:k]
        ids.append(order)
        log_probs.append(np.log(probs[order]))
        positions.append(position)
    return Posteriors(np.array(ids), np.array(log_probs, dtype=np.float16), np.array(positions))


@pytest.fixture(scope="session")
def ctc() -> SimpleNamespace:
    """The vocabulary CHARACTERS (blank 0), character_frames and character_posteriors."""
    return SimpleNamespace(vocabulary=CHARACTERS, frames=character_frames, posteriors=character_posteriors)
