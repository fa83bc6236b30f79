"""Real recordings for the encoder: read a corpus folder with a manifest, vary them, write a Kaldi data directory.

A corpus folder has `manifest.tsv` (tab-separated, named columns: id, audio, split, speaker, text, …) and the audio.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from mini_corpus.audio_data import write_data_dir
from mini_corpus.noise import coloured_noise, mix, swell
from mini_corpus.synth import SAMPLING_RATE, trim

SPEEDS = (1.0, 0.9, 1.1)  # copies of a recording take turns


class Recording(NamedTuple):
    """One utterance of a corpus."""

    utt_id: str
    path: Path
    speaker: str
    words: str


def read_corpus(folder: Path, corpus: str, split: str, speakers: Collection[str] | None = None) -> list[Recording]:
    """Recordings of a split, optionally of some speakers only; those with digits in their text are left out.

    Raises:
        ValueError: the manifest lacks a column, or nothing is left; names the file and the cure.
    """
    manifest = folder / "manifest.tsv"
    header, *lines = manifest.read_text(encoding="utf-8").splitlines()
    column = {name: index for index, name in enumerate(header.split("\t"))}
    missing = {"id", "audio", "split", "speaker", "text"} - set(column)
    if missing:
        raise ValueError(f"{manifest}: no column {', '.join(sorted(missing))}; the first line must name the columns")
    recordings = []
    for line in lines:
        fields = line.split("\t")
        speaker, words = fields[column["speaker"]], normalize(fields[column["text"]])
        if fields[column["split"]] != split or words is None or (speakers is not None and speaker not in speakers):
            continue
        utt_id = f"{corpus}_{speaker}-{fields[column['id']]}"
        recordings.append(Recording(utt_id, folder / fields[column["audio"]], f"{corpus}_{speaker}", words))
    if not recordings:
        raise ValueError(f"{manifest}: no usable utterance in split {split!r}; check the split and speaker columns")
    return recordings


def normalize(text: str) -> str | None:
    """Lower case, only a-z, apostrophe and single spaces; None where digits would have to be guessed."""
    if re.search(r"\d", text):
        return None
    words = re.sub(r"[^a-z' ]+", " ", text.lower().replace("’", "'"))
    return " ".join(word for word in words.split() if word.strip("'")) or None


def write_varied(recordings: list[Recording], data_dir: Path, audio_dir: Path, copies: int, seed: int) -> None:
    """Write each recording `copies` times: the first as it is, the others at another speed and level, half noisy."""
    audio_dir.mkdir(parents=True, exist_ok=True)
    entries = {}
    for index, recording in enumerate(recordings):
        audio, rate = soundfile.read(recording.path, dtype="float32")
        if rate != SAMPLING_RATE:
            audio = soxr.resample(audio, rate, SAMPLING_RATE)
        trimmed = trim(audio / (np.abs(audio).max() + 1e-9), SAMPLING_RATE)
        for copy in range(copies):
            rng = np.random.default_rng([seed, index, copy])
            # Half of the copies keep the recording's own leading and trailing silence.
            samples = vary(rng, audio if copy == 0 or rng.random() < 0.5 else trimmed, copy)
            utt_id = f"{recording.utt_id}-v{copy}" if copies > 1 else recording.utt_id
            path = audio_dir / f"{utt_id}.wav"
            temporary = path.with_suffix(".tmp.wav")
            soundfile.write(temporary, samples, SAMPLING_RATE, subtype="PCM_16")
            os.replace(temporary, path)
            entries[utt_id] = (path, recording.words, recording.speaker, "en", len(samples))
    write_data_dir(data_dir, entries)


def vary(rng: np.random.Generator, audio: np.ndarray, copy: int) -> np.ndarray:
    """One variant of a recording as int16; copy 0 only gets the common level."""
    if copy == 0:
        return mix(audio, None, None, 0.0)
    speed = SPEEDS[copy % len(SPEEDS)]
    if speed != 1.0:
        audio = soxr.resample(audio, SAMPLING_RATE * speed, SAMPLING_RATE)
    gain_db = rng.uniform(-10, 6)
    if rng.random() < 0.5:
        return mix(audio, None, None, gain_db)
    noise = coloured_noise(rng, len(audio), rng.uniform(0, 1)) * swell(rng, len(audio))
    return mix(audio, noise, rng.uniform(3, 30), gain_db)
