"""Speech synthesis for the mini corpus: espeak-ng with our own voice variants, 16 kHz out.

The engine (`slm_espnet.data.espeak`) keeps state between utterances: the same call made later in a process differs by
some samples. A *fresh* process repeats itself exactly, so whoever needs reproducible audio synthesizes a fixed list of
utterances per process (see `mini_corpus.audio_data`).
"""

from __future__ import annotations

import shutil
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

import espeakng_loader
import numpy as np

from mini_corpus.voices import VARIANTS, drawn_variant
from slm_espnet.data.espeak import DEFAULT_PITCH, DEFAULT_RATE, SAMPLING_RATE, Espeak, trim

__all__ = ["PITCH_RANGE", "RATE_RANGE", "SAMPLING_RATE", "Synthesizer", "check_variants", "spell", "trim"]

RATE_RANGE = (140, 210)  # speaking rate, words per minute
PITCH_RANGE = (30, 70)  # espeak-ng's own scale, 50 is the voice's normal pitch

_ENGLISH = "gmw/en"


class Synthesizer(Espeak):
    """One espeak-ng engine with the variants of `mini_corpus.voices`: use one instance in a process."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="espeak-"))
        # A variant is read when it first speaks, so the folder stays to the end of the process. Workers of a pool end
        # without Python's own clearing up; this kind they do.
        Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)
        super().__init__(_with_our_variants(Path(espeakng_loader.get_data_path()), folder))

    def speak(self, text: str, voice: str, rate: int = DEFAULT_RATE, pitch: int = DEFAULT_PITCH) -> np.ndarray:
        """Plain lower-case words as samples; arguments and errors as in `Espeak.speak`, letters spelled in English."""
        return super().speak(spell(text) if voice.startswith(_ENGLISH) else text, voice, rate, pitch)


def _with_our_variants(data: Path, folder: Path) -> Path:
    """A copy of espeak-ng's data folder, as links, with our variants alone (it can list only 350 voices)."""
    variants = folder / data.name / "voices" / "!v"
    variants.mkdir(parents=True)
    for place, copy in ((data, variants.parent.parent), (data / "voices", variants.parent)):
        for entry in place.iterdir():
            if not (copy / entry.name).exists():
                (copy / entry.name).symlink_to(entry)
    for name in (name for names in VARIANTS.values() for name in names):
        text = drawn_variant(name)
        if text is None:
            (variants / name).symlink_to(data / "voices" / "!v" / name)
        else:
            (variants / name).write_text(text)
    return variants.parent.parent


def spell(words: str) -> str:
    """English words as they have to be written for espeak-ng: a spelled letter "a" is no article.

    "a" counts as a letter where it stands in a run of single letters with one that is not itself a word.
    """
    tokens = words.split()
    start = 0
    while start < len(tokens):
        stop = start
        while stop < len(tokens) and len(tokens[stop]) == 1:
            stop += 1
        if set(tokens[start:stop]) - {"a", "i"}:
            tokens[start:stop] = ["eigh" if token == "a" else token for token in tokens[start:stop]]
        start = stop + 1
    return " ".join(tokens)


def check_variants(base: str, variants: tuple[str, ...]) -> list[str]:
    """Variants that do not change the sound of their base, because espeak-ng does not have them.

    Compared are long-term log spectra. Renderings of one voice differ a little from each other, because the engine
    keeps state; a variant has to differ clearly more than that.
    """
    synthesizer = Synthesizer()
    words = "please book a table for nine people and call me at half past eight"

    def spectrum(voice: str) -> np.ndarray:
        audio = synthesizer.speak(words, voice)
        frames = np.lib.stride_tricks.sliding_window_view(audio, 512)[::256] * np.hanning(512)
        return np.log(np.mean(np.abs(np.fft.rfft(frames)) ** 2, 0) + 1e-9)

    plain = spectrum(base)
    repeated = max(np.abs(spectrum(base) - plain).mean() for _ in range(4))
    return [
        v
        for v in variants
        if not synthesizer.has_variant(v) or np.abs(spectrum(f"{base}+{v}") - plain).mean() < 1.5 * repeated
    ]
