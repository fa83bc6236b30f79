"""A null model: what a phrase scores where it is not spoken.

Some phrases match anywhere (short ones, those made of frequent sounds), others nowhere; a share of the mean score over
a few background utterances, subtracted from a phrase's score, evens that out. Phrases are scored once and remembered.
"""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from slm_espnet.encodings.posteriors import FramePosteriors
from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write, discard, temporary_beside

BACKGROUND_SIZE = 16  # utterances; more change little
_SHAPE = ("frames", "vocabulary_size", "blank_id")  # whole numbers of FramePosteriors; its other fields are arrays
_ARRAYS = tuple(field.name for field in fields(FramePosteriors) if field.name not in _SHAPE)

# (background utterance, phrases) → scores (P,), NaN where a phrase does not fit
Scorer = Callable[[FramePosteriors, Sequence[str]], np.ndarray]


class NullModel:
    """Mean scores of phrases over background utterances, times a weight."""

    def __init__(self, background: Sequence[FramePosteriors], weight: float = 0.5) -> None:
        """Set up; without any background every offset is 0.

        Args:
            background: utterances of the same encoder, which hold few of the phrases that will be asked for.
            weight: share of the mean score that is subtracted.
        """
        self.background = tuple(background)
        self.weight = weight
        self._means: dict[str, float] = {}

    def offsets(self, phrases: Sequence[str], scorer: Scorer) -> np.ndarray:
        """What is to be subtracted from the scores of phrases: (P,) float32, 0 where a phrase fits no background."""
        if not self.background or not self.weight:
            return np.zeros(len(phrases), dtype=np.float32)
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._means]
        if new:
            scores = np.stack([scorer(posteriors, new) for posteriors in self.background])
            counts = np.isfinite(scores).sum(axis=0)
            means = np.divide(np.nansum(scores, axis=0), counts, out=np.zeros(len(new)), where=counts > 0)
            self._means.update(zip(new, means.tolist(), strict=True))
        return np.array([self.weight * self._means[phrase] for phrase in phrases], dtype=np.float32)


def choose_background(utterances: Sequence[FramePosteriors], seed: int = 0) -> list[FramePosteriors]:
    """A few of the utterances, at random; empty ones are passed over."""
    heard = [posteriors for posteriors in utterances if len(posteriors.rows)]
    return random.Random(seed).sample(heard, min(BACKGROUND_SIZE, len(heard)))


def save_background(path: str | Path, background: Sequence[FramePosteriors]) -> None:
    """Write background utterances into one .npz file, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {name: np.array([getattr(item, name) for item in background], dtype=np.int64) for name in _SHAPE}
    for name in _ARRAYS:
        arrays = [getattr(item, name) for item in background]
        values[name] = np.concatenate(arrays)
        values[f"{name}_lengths"] = np.array([len(array) for array in arrays], dtype=np.int64)
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **values)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        discard(temporary)


def load_background(path: str | Path, vocabulary_size: int, blank_id: int) -> list[FramePosteriors]:
    """Read background utterances.

    Raises:
        UserError: missing, damaged, or made by an encoder with another vocabulary.
    """
    try:
        with np.load(path, allow_pickle=False) as values:
            numbers = np.stack([values[name] for name in _SHAPE], axis=1).tolist()
            parts = {name: np.split(values[name], np.cumsum(values[f"{name}_lengths"])[:-1]) for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no readable background of biasing ({error}); tune the biasing again") from error
    found = [
        FramePosteriors(*shape, **{name: parts[name][index] for name in _ARRAYS})
        for index, shape in enumerate(numbers)
    ]
    if any((item.vocabulary_size, item.blank_id) != (vocabulary_size, blank_id) for item in found):
        raise UserError(f"{path}: made by an encoder with another vocabulary; tune the biasing again with this one")
    return found
