"""What a corpus needs on a number of GPUs: hours of encoding and decoding, bytes and files of encodings, start of jobs.

Sizes follow from the layout of encodings; rates are either measured (benchmarks/index_scale.py, on two cores of a
server, without a GPU) or assumed, and then named as such. Importing this loads no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GIB, TIB = 2**30, 2**40
# Measured: made-up index of ten million utterances, CPU seconds for a million.
INDEXING_SECONDS = 2.9  # of a data directory's tables, once
DECODING_START_SECONDS = 0.43  # a job of a decoding array, until its first request
TRAINING_START_SECONDS = 4.1  # until the first batch of an epoch
TRAINING_BYTES = 119  # resident memory of a training, per utterance, mapped files included
# Measured: encodings of the mini pair.
ENTRIES_PER_FRAME = 5.2  # CTC posteriors kept of a frame
INDEX_TEXT_BYTES = 114  # of a line of index.tsv with a hypothesis of about 50 characters
INDEX_BINARY_BYTES = 68  # of keys.npy and index.npy
# The paths of a job: shard, index, list of what was left out, done marker; and of the whole set.
FILES_PER_JOB, FILES_PER_SET = 4, 6


@dataclass(frozen=True)
class Corpus:
    """What is to be encoded and decoded."""

    name: str
    hours: float  # of audio to train on
    utterances: int
    test_hours: float  # to decode
    test_utterances: int


@dataclass(frozen=True)
class Rates:
    """Assumptions; all can be replaced by what was seen on a machine."""

    encoder_rtf: float = 1000.0  # hours of audio that one GPU encodes in an hour
    decoding_rtf: float = 100.0  # hours of audio that one GPU decodes in an hour
    load_seconds: float = 60.0  # until a job has loaded its models
    job_hours: float = 2.0  # longest job of an array: what a machine that dies at worst delays
    read_mib: float = 500.0  # MiB/s at which the storage gives encodings to all processes together


@dataclass(frozen=True)
class Frames:
    """What is kept of an hour; from a foundation."""

    dim: int  # width of a frame kept
    value_bytes: int  # 2 for float16, 4 for float32
    frame_shift: float  # seconds, of the encoder
    kept: float  # share of the frames
    vocabulary: int  # CTC tokens; 0 without CTC

    @property
    def bytes_per_hour(self) -> float:
        """Of a shard."""
        frames = 3600 / self.frame_shift
        id_bytes = 1 if self.vocabulary <= 2**8 else 2 if self.vocabulary <= 2**16 else 4
        posteriors = 1.125 + ENTRIES_PER_FRAME * (id_bytes + 2) if self.vocabulary else 0
        return frames * (self.kept * (self.dim * self.value_bytes + 8) + posteriors)


@dataclass(frozen=True)
class Scale:
    """What a corpus needs on some GPUs."""

    corpus: Corpus
    gpus: int
    encoding_hours: float  # on the clock
    encoding_jobs: int
    storage: float  # bytes of encodings
    index: float  # bytes of the index, text and binary
    files: int
    indexing: float  # seconds, of the tables, once
    start_training: float  # seconds
    memory: float  # bytes of a training, beyond its packages
    epoch_read_hours: float  # to read all encodings once
    decoding_jobs: int
    per_decoding_job: int  # utterances
    decoding_hours: float  # on the clock
    start_decoding: float  # seconds of each job


def scale(corpus: Corpus, gpus: int, frames: Frames, rates: Rates) -> Scale:
    """Compute it."""
    encoding = corpus.hours / rates.encoder_rtf  # GPU hours
    jobs = max(min(gpus, corpus.utterances), math.ceil(encoding / rates.job_hours))
    decoding = corpus.test_hours / rates.decoding_rtf
    decoding_jobs = max(min(gpus, corpus.test_utterances), math.ceil(decoding / rates.job_hours))
    storage = corpus.hours * frames.bytes_per_hour
    load = rates.load_seconds / 3600
    return Scale(
        corpus=corpus,
        gpus=gpus,
        encoding_hours=(encoding / jobs + load) * math.ceil(jobs / gpus),
        encoding_jobs=jobs,
        storage=storage,
        index=corpus.utterances * (INDEX_TEXT_BYTES + INDEX_BINARY_BYTES + INDEX_TEXT_BYTES),  # the jobs' own, too
        files=FILES_PER_JOB * jobs + FILES_PER_SET,
        indexing=corpus.utterances / 1e6 * INDEXING_SECONDS,
        start_training=corpus.utterances / 1e6 * TRAINING_START_SECONDS,
        memory=corpus.utterances * TRAINING_BYTES,
        epoch_read_hours=storage / (rates.read_mib * 2**20) / 3600,
        decoding_jobs=decoding_jobs,
        per_decoding_job=math.ceil(corpus.test_utterances / decoding_jobs),
        decoding_hours=(decoding / decoding_jobs + load) * math.ceil(decoding_jobs / gpus),
        start_decoding=corpus.test_utterances / 1e6 * DECODING_START_SECONDS,
    )
