"""Turn rows of words into a Kaldi data directory of synthetic speech, in parallel and reproducibly.

    python -m mini_corpus.audio_data --rows rows.tsv --data_dir data/train --audio_dir dump/audio/train --nj 2

`rows.tsv` has one utterance a line, tab-separated, in the order of `SpeechRow`; an empty snr_db is clean speech.
Rows are cut into chunks of a fixed size and each chunk is spoken by a fresh process: the audio is the same for any
number of jobs, and a run that was killed goes on with the chunks that are missing.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import multiprocessing
import os
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mini_corpus.voices import speaker_of, voices
from slm_espnet.files import temporary_beside

CHUNK = 200  # rows that one process speaks; part of the result, see the module's docstring


class SpeechRow(NamedTuple):
    """One utterance to be spoken."""

    utt_id: str
    words: str  # lower case, no punctuation
    language: str  # "en" or "es"; goes into utt2lang
    voice: str  # espeak-ng voice, see mini_corpus.voices
    rate: int  # words per minute
    pitch: int  # 0 to 99
    snr_db: float | None  # None: clean
    gain_db: float  # level of the speech relative to -26 dB of full scale
    noise_seed: int  # decides kind and samples of the noise


def random_rows(
    words: Sequence[str],
    language: str,
    split: str,
    seed: int,
    prefix: str,
    *,
    snr_range: tuple[float, float] | None = None,
    clean_share: float = 0.0,
    gain_range: tuple[float, float] = (-10.0, 6.0),
) -> list[SpeechRow]:
    """Give each sentence a voice of the split, a rate, a pitch and a noise condition.

    The choices for sentence i depend on (seed, prefix, i) only. `snr_range` None means clean; otherwise a share
    `clean_share` of the rows is clean and the rest uniform in dB.
    """
    from mini_corpus.synth import PITCH_RANGE, RATE_RANGE

    choices = voices(language, split)
    rows = []
    for index, sentence in enumerate(words):
        rng = random.Random(f"{seed} {prefix} {index}")
        voice, rate, pitch = rng.choice(choices), rng.randint(*RATE_RANGE), rng.randint(*PITCH_RANGE)
        noisy = snr_range is not None and rng.random() >= clean_share
        snr_db = round(rng.uniform(*snr_range), 2) if noisy else None
        utt_id = f"{speaker_of(voice)}-{prefix}{index:06d}"  # the speaker first, as Kaldi sorts
        rows.append(
            SpeechRow(
                utt_id, sentence, language, voice, rate, pitch, snr_db, round(rng.uniform(*gain_range), 2),
                rng.getrandbits(32),
            )
        )  # fmt: skip
    return rows


def synthesize_rows(rows: Iterable[SpeechRow | tuple], data_dir: Path, audio_dir: Path, nj: int = 1) -> Path:
    """Speak every row and write a Kaldi data directory.

    Args:
        rows: `SpeechRow`s or tuples in its order, unique utt_ids.
        data_dir: gets wav.scp, text, utt2spk, spk2utt, utt2lang, utt2num_samples.
        audio_dir: gets the recordings, 16 kHz, 16 bit, one folder for each chunk of rows.
        nj: processes at a time; the result does not depend on it.

    Returns:
        data_dir.

    Raises:
        ValueError: two rows share an utt_id, or espeak-ng cannot speak a row (names the row).
    """
    rows = [SpeechRow(*row) for row in rows]
    _check_unique(rows)
    audio_dir = Path(audio_dir)
    chunks = [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
    tasks = [(chunk, audio_dir / f"{number:05d}") for number, chunk in enumerate(chunks)]
    # One task a child: espeak-ng repeats itself exactly only in a fresh process. `spawn` would import anew; fork is
    # safe here because this process holds no engine and no threads of its own.
    with multiprocessing.get_context("fork").Pool(nj, maxtasksperchild=1) as pool:
        lengths = [n for counts in pool.imap(_speak_chunk, tasks, chunksize=1) for n in counts]
        pool.close()
        pool.join()  # the last engines clear up behind them, where leaving the block would end them at once
    paths = [folder / f"{row.utt_id}.wav" for chunk, folder in tasks for row in chunk]
    write_data_dir(
        Path(data_dir),
        {row.utt_id: (path, row.words, speaker_of(row.voice), row.language, n)
         for row, path, n in zip(rows, paths, lengths, strict=True)},
    )  # fmt: skip
    return Path(data_dir)


def write_data_dir(data_dir: Path, entries: dict[str, tuple[Path, str, str, str, int]]) -> None:
    """Write Kaldi files for utt_id → (recording, words, speaker, language, number of samples), sorted by utt_id."""
    data_dir.mkdir(parents=True, exist_ok=True)
    ids = sorted(entries)
    columns = {"wav.scp": 0, "text": 1, "utt2spk": 2, "utt2lang": 3, "utt2num_samples": 4}
    for name, column in columns.items():
        values = (entries[i][column].resolve() if column == 0 else entries[i][column] for i in ids)
        _write_lines(data_dir / name, (f"{i} {value}" for i, value in zip(ids, values, strict=True)))
    speakers: dict[str, list[str]] = {}
    for i in ids:
        speakers.setdefault(entries[i][2], []).append(i)
    _write_lines(data_dir / "spk2utt", (f"{s} {' '.join(speakers[s])}" for s in sorted(speakers)))


def _check_unique(rows: Sequence[SpeechRow]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.utt_id in seen:
            raise ValueError(f"utterance id {row.utt_id} occurs twice; every row needs its own")
        seen.add(row.utt_id)


def _speak_chunk(task: tuple[list[SpeechRow], Path]) -> list[int]:
    """Speak one chunk in this (fresh) process, unless it is already there; returns samples per row."""
    import soundfile

    from mini_corpus.synth import SAMPLING_RATE

    rows, folder = task
    done = folder / "done"
    digest = hashlib.sha1(repr(rows).encode()).hexdigest()
    if done.is_file():
        recorded, *counts = done.read_text().split()
        if recorded == digest:
            return [int(n) for n in counts]
    folder.mkdir(parents=True, exist_ok=True)
    counts = []
    for row, samples in zip(rows, _mixtures(rows), strict=True):
        temporary = temporary_beside(folder / f"{row.utt_id}.wav", ".wav")
        soundfile.write(temporary, samples, SAMPLING_RATE, subtype="PCM_16")
        os.replace(temporary, folder / f"{row.utt_id}.wav")
        counts.append(len(samples))
    _write_lines(done, [digest, *map(str, counts)])
    return counts


def _mixtures(rows: list[SpeechRow]):
    """The finished int16 audio of each row; babble is made of the other rows of the chunk."""
    import numpy as np

    from mini_corpus.noise import mix, random_noise

    synthesizer = _engine()
    speech = []
    for row in rows:
        try:
            speech.append(synthesizer.speak(row.words, row.voice, row.rate, row.pitch))
        except ValueError as error:
            raise ValueError(f"row {row.utt_id}: {error}") from error
    for index, row in enumerate(rows):
        noise = None
        if row.snr_db is not None:
            others = speech[:index] + speech[index + 1 :]
            noise = random_noise(np.random.default_rng(row.noise_seed), len(speech[index]), others)
        yield mix(speech[index], noise, row.snr_db, row.gain_db)


@functools.cache
def _engine():
    from mini_corpus.synth import Synthesizer

    return Synthesizer()


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    temporary = temporary_beside(path)
    temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(temporary, path)


def read_rows(path: Path) -> list[SpeechRow]:
    """Read a rows file; a bad line is named with its number and what is wrong with it."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = line.split("\t")
        if len(fields) != len(SpeechRow._fields):
            raise ValueError(f"{path}:{number}: {len(fields)} columns, expected {', '.join(SpeechRow._fields)}")
        utt_id, words, language, voice, rate, pitch, snr_db, gain_db, noise_seed = fields
        try:
            snr = float(snr_db) if snr_db else None
            rows.append(
                SpeechRow(utt_id, words, language, voice, int(rate), int(pitch), snr, float(gain_db), int(noise_seed))
            )
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}; rate, pitch and noise_seed are whole numbers") from error
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=Path, required=True, help="tab-separated rows, see SpeechRow")
    parser.add_argument("--data_dir", type=Path, required=True, help="Kaldi data directory to write")
    parser.add_argument("--audio_dir", type=Path, required=True, help="where the recordings go")
    parser.add_argument("--nj", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    try:
        synthesize_rows(read_rows(options.rows), options.data_dir, options.audio_dir, options.nj)
    except (ValueError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
