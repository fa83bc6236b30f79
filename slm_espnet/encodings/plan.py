"""Which audio a job encodes, in which batches, and whether that is already done; nothing here imports torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from slm_espnet.data.audio import AudioError, audio_seconds
from slm_espnet.data.datadir import AudioSource, iter_data_dir
from slm_espnet.data.table import read_lines
from slm_espnet.encodings.layout import DONE, FORMAT, index_path, job_done_path, shard_path
from slm_espnet.errors import UserError
from slm_espnet.foundation import Foundation
from slm_espnet.model_files import Wanted
from slm_espnet.model_source import ModelSource
from slm_espnet.weights import weights_sha256

MOST_IN_BATCH = 256  # recordings
MOST_PADDING = 0.05  # of all batches together, where lengths are known
PADDING_OF_A_BATCH = (1.0, 0.3, 0.2, 0.15, 0.1, 0.07, MOST_PADDING)  # bounds that are tried, the widest first
ASSUMED_SECONDS = 20.0  # of the output of a command, which is not run to plan
MODEL_FILES = ("*.safetensors", "*.pth", "*.bin", "config.yaml")  # of an ESPnet model
HF_KINDS, HF_CONFIGS = ("hf_ctc", "hf_encoder"), ("config.json", "preprocessor_config.json")


class Recording(NamedTuple):
    """Audio to encode."""

    key: str
    source: AudioSource
    seconds: float | None  # None: not known before it is read
    content: str = ""  # name of what it holds (contents.py); "": not looked at, or not known


class LeftOut(NamedTuple):
    """Audio that was not encoded."""

    key: str
    source: AudioSource
    reason: str  # a few words
    message: str  # what exactly is wrong, with the cure

    def line(self) -> str:
        """A line of left_out.tsv."""
        fields = (self.key, self.reason, str(self.source), self.message)
        return "\t".join(" ".join(field.split()) for field in fields) + "\n"


@dataclass(frozen=True)
class Request:
    """What is asked of stage 2: two equal requests for the same audio give the same encodings."""

    foundation: Foundation
    storage_dtype: str = "float16"  # of frames: float16 or float32
    max_seconds: float = 60.0  # longer audio is left out

    def describe(self) -> dict[str, Any]:
        """Plain values for the done markers, with the hash of a model that is a directory here."""
        part = self.foundation
        values = {
            "format": FORMAT,
            "speech_encoder": [part.speech_encoder, part.speech_encoder_conf],
            "length_reduction": [part.length_reduction, part.length_reduction_conf],
            "storage_dtype": self.storage_dtype,
            "max_seconds": self.max_seconds,
            "model_sha256": "",
        }
        files = _model_files(part)
        if files:
            values["model_sha256"] = weights_sha256(files)
        return json.loads(json.dumps(values))


def _model_files(pair: Foundation) -> list[Path]:
    """What decides a speech encoder that is a directory here; [] for a name of the Hub, which its revision decides."""
    conf = pair.speech_encoder_conf
    directory = Path(str(conf.get("model", "")))
    if not directory.is_absolute():
        return []
    if pair.speech_encoder not in HF_KINDS:
        return [file for pattern in MODEL_FILES for file in directory.glob(pattern)]
    wanted = Wanted(trust_pickle=bool(conf.get("trust_pickle", False)), target_lang=conf.get("target_lang"))
    configs = [directory / name for name in HF_CONFIGS]
    return [*ModelSource(str(directory), "", directory, wanted).weight_files(), *filter(Path.is_file, configs)]


def read_recordings(data_dir: Path) -> list[Recording]:
    """The different recordings of a data directory, sorted by key; lengths where tables tell them.

    Raises:
        UserError: as `iter_data_dir`, or when there is none.
    """
    lengths = _table_lengths(data_dir)
    found: dict[str, Recording] = {}
    for row in iter_data_dir(data_dir, require=("wav.scp",)):
        for source in row.recordings:
            seconds = lengths.get(row.utt_id) if source is row.audio else None
            if source.start is not None and source.stop is not None:
                seconds = source.stop - source.start
            found.setdefault(source.key, Recording(source.key, source, seconds))
    if not found:
        raise UserError(f"{data_dir}: no utterance in wav.scp; is the data preparation (stage 1) complete?")
    return [found[key] for key in sorted(found)]


def audio_digest(recordings: Sequence[Recording]) -> str:
    """Name of a set of recordings."""
    digest = hashlib.sha1()
    for recording in recordings:
        digest.update(recording.key.encode() + b"\n")
    return digest.hexdigest()


def share(recordings: Sequence[Recording], job: int, num_jobs: int) -> list[Recording]:
    """A job's part: every num_jobs-th in order of length; of key, which is as good as random, where none is known."""
    if all(recording.seconds is not None for recording in recordings):
        recordings = sorted(recordings, key=lambda recording: (-recording.seconds, recording.key))
    return list(recordings[job - 1 :: num_jobs])


def look_at_headers(recordings: Sequence[Recording], max_seconds: float) -> tuple[list[Recording], list[LeftOut]]:
    """Recordings with their lengths, longest first, and those of which the header shows that they cannot be encoded."""
    good: list[Recording] = []
    left_out: list[LeftOut] = []
    for recording in recordings:
        try:
            seconds = recording.seconds if recording.seconds is not None else audio_seconds(recording.source)
        except AudioError as error:
            left_out.append(LeftOut(recording.key, recording.source, error.reason, str(error)))
            continue
        if seconds is not None and seconds > max_seconds:
            left_out.append(too_long(recording, seconds, max_seconds))
        else:
            good.append(recording._replace(seconds=seconds))
    good.sort(key=lambda recording: (-_planned(recording), recording.key))
    return good, left_out


def too_long(recording: Recording, seconds: float, max_seconds: float) -> LeftOut:
    """Audio beyond the limit."""
    message = f"{seconds:.1f} s long; cut it into segments, or raise --max_seconds"
    return LeftOut(recording.key, recording.source, f"longer than {max_seconds:g} s", message)


def batches(recordings: Sequence[Recording], batch_seconds: float) -> list[list[Recording]]:
    """Neighbours of a list sorted by length, longest first, in batches of at most so many seconds, padding included.

    Of all batches together at most MOST_PADDING is padding, as far as lengths are known: a large set's full batches
    hold far less, those of a small set end before recordings become too short for them.
    """
    for padding in PADDING_OF_A_BATCH:
        result = _batches(recordings, batch_seconds, padding)
        padded = sum(_planned(batch[0]) * len(batch) for batch in result)
        if sum(map(_planned, recordings)) >= (1 - MOST_PADDING) * padded:
            break
    return result


def _batches(recordings: Sequence[Recording], batch_seconds: float, most_padding: float) -> list[list[Recording]]:
    """The same with a bound on the padding of each batch."""
    result: list[list[Recording]] = []
    filled = 0.0  # seconds of audio in the last batch
    for recording in recordings:
        seconds = _planned(recording)
        if result and len(result[-1]) < MOST_IN_BATCH:
            padded = _planned(result[-1][0]) * (len(result[-1]) + 1)
            if padded <= batch_seconds and filled + seconds >= (1 - most_padding) * padded:
                result[-1].append(recording)
                filled += seconds
                continue
        result.append([recording])
        filled = seconds
    return result


def _planned(recording: Recording) -> float:
    return ASSUMED_SECONDS if recording.seconds is None else recording.seconds


def _table_lengths(data_dir: Path) -> dict[str, float]:
    """Seconds by utterance of utt2dur, where there is one; lines that are wrong are as good as missing."""
    path = data_dir / "utt2dur"
    if not path.is_file():
        return {}
    lengths: dict[str, float] = {}
    for line in read_lines(path):
        try:
            lengths[line.key] = float(line.value)
        except ValueError:
            continue
    return lengths


def job_is_done(
    directory: Path, job: int, num_jobs: int, request: dict[str, Any], audio: str, contents: str | None = None
) -> bool:
    """Whether a job was finished with this request for this audio, and its shard is still there.

    Args:
        directory: of the encodings.
        job: its number.
        num_jobs: of how many.
        request: what is asked for (`Request.describe`).
        audio: the set's `audio_digest`.
        contents: what the job's recordings hold (`contents_digest`), compared where the marker tells it; None: not.
    """
    done = read_json(job_done_path(directory, job))
    if done is None or [done.get(name) for name in ("request", "audio", "num_jobs")] != [request, audio, num_jobs]:
        return False
    if contents is not None and done.get("contents", contents) != contents:
        return False
    sizes = {shard_path(directory, job).name: done["size"]}
    if "index" in done:
        sizes[index_path(directory, job).name] = done["index"]["size"]
    return _sizes_hold(directory, sizes)


def set_is_done(directory: Path, request: dict[str, Any], audio: str) -> bool:
    """Whether all jobs were finished and merged."""
    done = read_json(directory / DONE)
    return (
        done is not None
        and [done.get("request"), done.get("audio")] == [request, audio]
        and _sizes_hold(directory, done["sizes"])
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """A marker; None where there is none, or a damaged one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return values if isinstance(values, dict) else None


def _sizes_hold(directory: Path, sizes: dict[str, int]) -> bool:
    paths = [(directory / name, size) for name, size in sizes.items()]
    return all(path.is_file() and path.stat().st_size >= size for path, size in paths)
