"""One job of stage 2 on one set: its share of the recordings, batch after batch, into its part of the cache."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from slm_espnet.data.audio import AudioError, read_audio
from slm_espnet.data.silence import may_hold_speech
from slm_espnet.encodings.contents import contents_digest, contents_of, find
from slm_espnet.encodings.fingerprint import check_fingerprint, digest, read_fingerprint, write_fingerprint
from slm_espnet.encodings.layout import (
    DONE,
    FINGERPRINT,
    Encoding,
    Entry,
    contents_path,
    crc32,
    index_path,
    job_done_path,
    job_left_out_path,
    job_numbers,
    shard_path,
)
from slm_espnet.encodings.pipeline import Computed, EncodingPipeline
from slm_espnet.encodings.plan import (
    LeftOut,
    Recording,
    audio_digest,
    batches,
    look_at_headers,
    share,
    too_long,
)
from slm_espnet.encodings.silence import note_silent, silent_path
from slm_espnet.encodings.writer import EncodingWriter, as_stored, complete_entries
from slm_espnet.errors import UserError
from slm_espnet.files import make_directory, write_atomically

PROGRESS_SECONDS = 5.0  # between progress lines
READERS = 4  # threads that read audio, each a batch, while one is computed


@dataclass(frozen=True)
class JobOptions:
    """How a job runs; none of it changes the encodings."""

    job: int = 1  # from 1
    num_jobs: int = 1
    batch_seconds: float = 60.0  # of audio in a batch, padding included
    overwrite: bool = False  # begin anew


@dataclass
class JobResult:
    """What a job did."""

    recordings: int = 0  # its share
    encoded: int = 0  # now
    present: int = 0  # before
    frames: int = 0  # of the encoder, now
    kept: int = 0  # after the reduction, now
    left_out: int = 0


class _Batch(NamedTuple):
    """A batch of recordings that is written."""

    recordings: int
    encodings: int
    seconds: float  # of audio, encoded
    frames: int
    kept: int
    left_out: list[LeftOut]


def run_job(
    pipeline: EncodingPipeline,
    recordings: Sequence[Recording],
    directory: Path,
    request: dict[str, Any],
    options: JobOptions,
) -> JobResult:
    """Encode a job's share of a set; goes on where a killed one stopped. The caller holds the job's lock.

    Args:
        pipeline: encoder and reduction.
        recordings: of the whole set, from `read_recordings`, with the contents that are known (`with_contents`).
        directory: for the encodings; made where it does not exist.
        request: what is asked for (`Request.describe`), for the done marker.
        options: number of the job and the like.

    Raises:
        UserError: what is there has another fingerprint, or the disk is full.
    """
    _prepare(directory, pipeline.fingerprint, options)
    mine, left_out = look_at_headers(share(recordings, options.job, options.num_jobs), request["max_seconds"])
    result = JobResult(recordings=len(mine) + len(left_out))
    with EncodingWriter(directory, options.job, pipeline.fingerprint, options.overwrite) as writer:
        job_done_path(directory, options.job).unlink(missing_ok=True)
        parts = {options.job: writer.entries, **_parts_of_others(directory, pipeline, options)}
        present = _present(mine, directory, parts)
        result.present = sum(recording.key in present for recording in mine)
        planned = [batch for batch in batches(mine, options.batch_seconds) if any(r.key not in present for r in batch)]
        progress = _Progress(f"{directory} part {options.job}", sum(len(batch) for batch in planned))
        read = _read_ahead(planned, pipeline, request["max_seconds"])
        with closing(_written(read, pipeline, present, writer)) as batches_written:  # before the writer is
            for batch in batches_written:
                left_out += batch.left_out
                result.encoded += batch.encodings
                result.frames += batch.frames
                result.kept += batch.kept
                progress.add(batch.recordings, batch.seconds)
    result.left_out = len(left_out)
    text = "".join(item.line() for item in sorted(left_out, key=lambda item: item.key))
    write_atomically(job_left_out_path(directory, options.job), text)
    return result


def mark_done(
    directory: Path, fingerprint: dict[str, Any], recordings: Sequence[Recording], request: dict, options: JobOptions
) -> None:
    """Write a job's done marker: the same call need not be made again."""
    index = index_path(directory, options.job).read_bytes()
    marker = {
        "request": request,
        "audio": audio_digest(recordings),
        "contents": contents_digest(share(recordings, options.job, options.num_jobs)),
        "num_jobs": options.num_jobs,
        "fingerprint": digest(fingerprint),
        "size": shard_path(directory, options.job).stat().st_size,
        "index": {"size": len(index), "crc32": f"{crc32(index):08x}"},
    }
    write_atomically(job_done_path(directory, options.job), json.dumps(marker, indent=1) + "\n")


def _prepare(directory: Path, fingerprint: dict[str, Any], options: JobOptions) -> None:
    """Make the directory; refuse one of another configuration, or clear it."""
    make_directory(directory)
    if options.overwrite:
        (directory / DONE).unlink(missing_ok=True)
        silent_path(directory, options.job).unlink(missing_ok=True)
        for job in job_numbers(directory) if options.job == 1 else ():
            if job > options.num_jobs:  # parts of an earlier, finer division
                for path_of in (index_path, job_done_path, shard_path, job_left_out_path, contents_path, silent_path):
                    path_of(directory, job).unlink(missing_ok=True)
    elif (directory / FINGERPRINT).exists():
        cure = "give another directory (--output_dir), or start afresh with --overwrite true"
        check_fingerprint(fingerprint, read_fingerprint(directory), directory, cure, stored=True)
        return
    write_fingerprint(directory, fingerprint)


def _parts_of_others(directory: Path, pipeline: EncodingPipeline, options: JobOptions) -> dict[int, list[Entry]]:
    """What other parts hold already, of an earlier division into jobs."""
    if options.overwrite:
        return {}
    wanted = digest(pipeline.fingerprint)
    others = (job for job in job_numbers(directory) if job != options.job)
    return {job: complete_entries(directory, job, wanted) or [] for job in others}


def _present(mine: Sequence[Recording], directory: Path, parts: dict[int, list[Entry]]) -> set[str]:
    """Keys of the recordings that have an encoding of what they hold now."""
    keys = [entry.key.encode() for entries in parts.values() for entry in entries]
    contents = [text.encode() for job, entries in parts.items() for text in contents_of(directory, job, entries)]
    if not keys:
        return set()
    rows = find(mine, directory, np.array(keys), np.array(contents))
    return {recording.key for recording, row in zip(mine, rows.tolist(), strict=True) if row >= 0}


class _Audio(NamedTuple):
    """What was read of a batch."""

    waveforms: dict[Recording, np.ndarray]
    failures: list[LeftOut]  # what could not be read
    silent: list[Recording]  # what holds no speech


def _read_ahead(
    planned: Sequence[list[Recording]], pipeline: EncodingPipeline, max_seconds: float
) -> Iterator[tuple[list[Recording], _Audio]]:
    """Batches with their audio, while threads read the next ones."""
    if planned:
        _ = pipeline.encoder.min_samples  # found by running the encoder, which is for one thread alone
    with ThreadPoolExecutor(READERS) as pool:
        pending = [pool.submit(_read, batch, pipeline, max_seconds) for batch in planned[:READERS]]
        try:
            for number, batch in enumerate(planned):
                audio = pending.pop(0).result()
                if number + READERS < len(planned):
                    pending.append(pool.submit(_read, planned[number + READERS], pipeline, max_seconds))
                yield batch, audio
        finally:
            for future in pending:
                future.cancel()


def _read(batch: Sequence[Recording], pipeline: EncodingPipeline, max_seconds: float) -> _Audio:
    waveforms: dict[Recording, np.ndarray] = {}
    failures: list[LeftOut] = []
    for recording in batch:
        key, source = recording.key, recording.source
        try:
            samples = read_audio(source, pipeline.sampling_rate)
        except AudioError as error:
            failures.append(LeftOut(key, source, error.reason, str(error)))
            continue
        if len(samples) < pipeline.encoder.min_samples:
            message = f"{len(samples)} samples; the encoder needs {pipeline.encoder.min_samples}: remove the utterance"
            failures.append(LeftOut(key, source, "too short for one frame", message))
        elif len(samples) > max_seconds * pipeline.sampling_rate:
            failures.append(too_long(recording, len(samples) / pipeline.sampling_rate, max_seconds))
        else:
            waveforms[recording] = samples
    silent = [r for r, samples in waveforms.items() if not may_hold_speech(samples, pipeline.sampling_rate)]
    return _Audio(waveforms, failures, silent)


def _written(
    read: Iterator[tuple[list[Recording], _Audio]],
    pipeline: EncodingPipeline,
    present: set[str],
    writer: EncodingWriter,
) -> Iterator[_Batch]:
    """Batches computed one after another, while a thread finishes and writes the one before; as they are written."""
    with ThreadPoolExecutor(1) as pool:
        pending: Future[_Batch] | None = None
        for recordings, audio in read:
            computed = _compute(pipeline, audio.waveforms) if audio.waveforms else None
            if pending is not None:
                yield pending.result()
            failed = [failure for failure in audio.failures if failure.key not in present]
            note_silent((one for one in audio.silent if one.key not in present), writer.directory, writer.job)
            batch = (recordings, list(audio.waveforms), computed, failed)
            pending = pool.submit(_finish, pipeline, present, writer, *batch)
        if pending is not None:
            yield pending.result()


def _compute(pipeline: EncodingPipeline, waveforms: dict[Recording, np.ndarray]) -> Computed:
    """What the encoder makes of a batch. The whole batch is computed, whatever of it is there already, so that a
    resumed job computes what a single run does, to the last bit."""
    try:
        return pipeline.compute(list(waveforms.values()))
    except torch.OutOfMemoryError as error:
        seconds = max(map(len, waveforms.values())) / pipeline.sampling_rate
        raise UserError(
            f"the device has too little memory for a batch of {len(waveforms)} recordings of up to {seconds:.0f} s; "
            "lower --batch_seconds or --max_seconds and run stage 2 again, it goes on from here"
        ) from error


def _finish(
    pipeline: EncodingPipeline,
    present: set[str],
    writer: EncodingWriter,
    recordings: list[Recording],
    encoded: list[Recording],
    computed: Computed | None,
    left_out: list[LeftOut],
) -> _Batch:
    """Write the encodings of a batch that are not there yet."""
    encodings: dict[str, Encoding] = {}
    found = [] if computed is None else pipeline.finish(computed)
    for recording, encoding in zip(encoded, found, strict=True):
        if recording.key in present:
            continue
        try:
            encodings[recording.key] = as_stored(encoding, pipeline.layout)
        except OverflowError as error:
            message = f"{error}; use --storage_dtype float32, or a wider dtype in speech_encoder_conf"
            left_out.append(LeftOut(recording.key, recording.source, "frames not finite", message))
    writer.write(encodings, {recording.key: recording.content for recording in encoded})
    return _Batch(
        recordings=len(recordings),
        encodings=len(encodings),
        seconds=sum(encoding.seconds for encoding in encodings.values()),
        frames=sum(encoding.frames_total for encoding in encodings.values()),
        kept=sum(len(encoding.positions) for encoding in encodings.values()),
        left_out=left_out,
    )


class _Progress:
    """A line on stderr every few seconds: share done, speed, and time left."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.done, self.seconds = 0, 0.0
        self.start = self.said = time.monotonic()

    def add(self, recordings: int, seconds: float) -> None:
        """Count what a batch brought."""
        self.done += recordings
        self.seconds += seconds
        now = time.monotonic()
        if now - self.said < PROGRESS_SECONDS:
            return
        self.said = now
        passed = now - self.start
        left = passed * (self.total - self.done) / self.done
        print(
            f"{self.name}: {self.done}/{self.total} recordings, {self.seconds / passed:.0f} times real time, "
            f"{left / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )
