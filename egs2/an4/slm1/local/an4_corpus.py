"""The AN4 corpus as it is published: utterances of a split, whatever the layout of its audio.

    etc/an4_train.fileids          an4_clstk/fash/an251-fash-b
    etc/an4_train.transcription    <s> YES </s> (an251-fash-b)
    wav/an4_clstk/fash/an251-fash-b.{raw,sph,wav,flac}

Raw files are headerless 16-bit samples at 16 kHz, published in either byte order. Lhotse has no recipe for AN4, hence
this reader.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slm_espnet.errors import UserError

SAMPLING_RATE = 16000
SUFFIXES = (".flac", ".wav", ".sph", ".raw")
_TRANSCRIPTION = re.compile(r"^(?:<s>\s+)?(?P<words>.*?)\s*(?:</s>\s*)?\((?P<name>[^()\s]+)\)\s*$")


@dataclass(frozen=True)
class Utterance:
    """One recording with its words."""

    name: str  # an251-fash-b
    speaker: str  # fash
    words: str  # lower case
    audio: Path

    @property
    def utt_id(self) -> str:
        """The speaker first, as Kaldi sorts."""
        return f"{self.speaker}-{self.name}"


def read_split(corpus: Path, split: str) -> tuple[list[Utterance], list[str]]:
    """Utterances of "train" or "test", and what was left out, with the reason.

    Raises:
        UserError: this is not AN4, or a line of its lists is not as expected; names the file and the line.
    """
    listed = _lines(corpus / "etc" / f"an4_{split}.fileids")
    words = _transcriptions(corpus / "etc" / f"an4_{split}.transcription")
    utterances, left_out = [], []
    for file_id in listed:
        path = Path(file_id)
        audio = find_audio(corpus / "wav" / path)
        if path.name not in words:
            left_out.append(f"{file_id}: no line in etc/an4_{split}.transcription")
        elif not words[path.name]:
            left_out.append(f"{file_id}: nothing is said in it")
        elif audio is None:
            left_out.append(f"{file_id}: no audio file wav/{file_id} with {', '.join(SUFFIXES)}")
        else:
            utterances.append(Utterance(path.name, path.parent.name, words[path.name], audio))
    return utterances, left_out


def find_audio(stem: Path) -> Path | None:
    """The recording in whatever layout it is there, None where it is not."""
    for suffix in SUFFIXES:
        for path in (stem.with_name(stem.name + suffix), stem.with_name(stem.name + suffix.upper())):
            if path.is_file():
                return path
    return None


def read_samples(path: Path) -> np.ndarray:
    """Samples of a recording, (N,) float32 at 16 kHz.

    Raises:
        UserError: not readable as audio, or of another rate.
    """
    import soundfile

    try:
        if path.suffix.lower() == ".raw":
            return decode_raw(path.read_bytes())
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, ValueError, soundfile.SoundFileError) as error:
        raise UserError(f"{path} cannot be read as audio ({error}); copy the corpus again") from error
    if rate != SAMPLING_RATE:
        raise UserError(f"{path} has {rate} Hz, AN4 has {SAMPLING_RATE}; copy the corpus again")
    return samples.mean(1)


def decode_raw(data: bytes) -> np.ndarray:
    """Headerless 16-bit samples in the byte order in which they look like speech: (N,) float32.

    With its bytes swapped, a smooth wave jumps from each sample to the next.

    Raises:
        ValueError: no samples, or half of one.
    """
    if not data or len(data) % 2:
        raise ValueError(f"{len(data)} bytes are not 16-bit samples")
    orders = [np.frombuffer(data, order).astype(np.float32) / 32768 for order in (">i2", "<i2")]
    return min(orders, key=lambda samples: np.abs(np.diff(samples)).sum())


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"{path} is missing; AN4= in db.sh must name the folder of AN4 that holds etc and wav")
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text (byte {error.start}); copy the corpus again") from error


def _transcriptions(path: Path) -> dict[str, str]:
    """Recording name → words in lower case."""
    words = {}
    for number, line in enumerate(_lines(path), 1):
        match = _TRANSCRIPTION.match(line)
        if match is None:
            raise UserError(f"{path}:{number}: expected `WORDS (name)`, found {line!r}; copy the corpus again")
        words[match["name"]] = " ".join(match["words"].lower().split())
    return words
