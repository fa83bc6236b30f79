"""Samples of an utterance: files, pipes and arks; any rate, width and number of channels; only the span asked for.

Formats are libsndfile's (wav, flac, mp3, ogg, uncompressed sphere, …), and those of ffmpeg where it is installed
(ffmpeg.py). Anything else goes through a pipe in wav.scp.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from slm_espnet.data import ffmpeg
from slm_espnet.data.audio_headers import is_open_ogg, missing_bytes, with_known_length
from slm_espnet.data.datadir import AudioSource
from slm_espnet.errors import UserError

MAX_OVERSHOOT = 0.5  # seconds that a segment may end after its recording; it is cut there
BLOCK = 1 << 16  # samples of each channel that are read at once
LONGEST = 1e7  # seconds, 116 days: a header that tells more is broken
CANCELLED = 0.01  # energy of the mean of the channels relative to the weakest: below, they are of opposite phase
FEW_BYTES = 64  # that may be missing at the end of a file: 2 ms
FULL_SCALE = 4.0  # float samples above it are not at full scale ±1
ARK = re.compile(r"(?P<path>.+):(?P<offset>\d+)")
# What a headerless file or another program's format is told.
FORMAT_CURE = "convert it to wav or flac, or let `command |` in wav.scp do it (for instance sph2pipe -f wav x.sph |)"


class AudioError(UserError):
    """Audio that cannot be used; other utterances are not affected."""

    def __init__(self, reason: str, source: AudioSource, message: str, cure: str = "") -> None:
        super().__init__("; ".join(filter(None, (f"{source}: {message}", cure))))
        self.reason = reason  # a few words, the same for every case of its kind: counted in reports
        self.message = message  # without the file's name, and without a cure that only a data directory has


def read_audio(source: AudioSource, sampling_rate: int, channel: int | None = None) -> np.ndarray:
    """Samples of one utterance as float32 (N,), full scale ±1.

    Args:
        source: what to read; a span is found by seeking.
        sampling_rate: rate of the result in Hz; other rates are resampled, which is logged once per rate.
        channel: counted from 0; None is the mean of all channels.

    Raises:
        AudioError: missing, unreadable, empty, not finite, or the span lies outside of the recording.
    """
    with _open(source) as file:
        first, count = _span(source, file.frames, file.samplerate)
        if channel is not None and channel >= file.channels:
            message = f"has {file.channels} channel(s), channel {channel} was asked for"
            raise AudioError("no such channel", source, message)
        mixed = _Mixer(file.channels, channel)
        result = _Resampler(source, file.samplerate, sampling_rate, count)
        read, peak = 0, 0.0
        for block in _blocks(source, file, first, count):
            mono = mixed(block)
            if not np.isfinite(mono).all():
                raise AudioError("not finite", source, "has samples that are NaN or infinite; make the file again")
            peak, read = max(peak, float(np.abs(mono).max(initial=0.0))), read + len(mono)
            result.add(mono, read == count)
    if read < count:
        message = f"ends after {read} of {count} samples; copy the file again"
        raise AudioError("truncated audio", source, message)
    if (strongest := mixed.instead()) is not None:
        _warn_cancelled(source.path, strongest)
        return read_audio(source, sampling_rate, strongest)
    _check_peak(peak, source.path)
    return result.samples()


def audio_seconds(source: AudioSource) -> float | None:
    """Length in seconds; None for a pipe, or a file that is left to ffmpeg, which would have to be run.

    It is the header's; where that tells none, the last frame of a flac tells it, and the frames of an mp3 are counted.

    Raises:
        AudioError: as `read_audio`, as far as a header shows.
    """
    if source.path.endswith("|") or _is_left_to_ffmpeg(source):
        return None
    with _open(source) as file:
        _, count = _span(source, file.frames, file.samplerate)
        return count / file.samplerate


def mix_channels(samples: np.ndarray, name: str) -> np.ndarray:
    """Mean (N,) of channels (N, C); where they cancel each other, the strongest alone, which is logged.

    A balanced line that was recorded as stereo has the same signal twice, of opposite phase: the mean is silence.
    """
    mixed = _Mixer(samples.shape[1], None)
    mean, strongest = mixed(samples), mixed.instead()
    if strongest is None:
        return mean
    _warn_cancelled(name, strongest)
    return samples[:, strongest]


def check_scale(samples: np.ndarray, name: str) -> None:
    """Log that samples (N,) are far above full scale ±1, which encoders are not made for."""
    _check_peak(float(np.abs(samples).max(initial=0.0)), name)


def _check_peak(peak: float, name: str) -> None:
    if peak > FULL_SCALE:
        _warn_once(f"{name}: samples go up to {peak:.6g}, full scale is 1; divide them (int16: by 32768)")


def check_span(source: AudioSource, seconds: float) -> None:
    """Raises: AudioError: the source's span does not lie in a recording of so many seconds, or is empty."""
    start = source.start or 0.0
    stop = seconds if source.stop is None else source.stop
    if start >= seconds or stop > seconds + MAX_OVERSHOOT:
        message = f"the segment lies outside of the recording, which has {seconds:.2f} s; correct segments"
        raise AudioError("segment past the end", source, message)
    if start < 0 or min(stop, seconds) <= start:
        raise AudioError("zero length", source, "the segment is empty or begins before 0; remove or correct it")


class _Mixer:
    """Blocks (N, C) of a recording to mono ones (N,): one channel, or the mean of all."""

    def __init__(self, channels: int, channel: int | None) -> None:
        self._channel = 0 if channels == 1 else channel
        self._energies = np.zeros(channels)  # of each channel, and of the mean
        self._energy = 0.0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        if self._channel is not None:
            return block[:, self._channel]
        mean = block.mean(axis=1)
        self._energies += np.einsum("nc,nc->c", block, block)
        self._energy += float(np.dot(mean, mean))
        return mean

    def instead(self) -> int | None:
        """The strongest channel, where the channels cancel each other; else None."""
        cancelled = self._channel is None and self._energy < CANCELLED * self._energies.min()
        return int(self._energies.argmax()) if cancelled else None


class _Resampler:
    """Mono blocks to one array at another rate, so that memory holds the result and a block, not the recording."""

    def __init__(self, source: AudioSource, rate: int, target: int, count: int) -> None:
        """Set up for so many samples at `rate` Hz; AudioError where the result does not fit into memory."""
        self._stream, self._done = None, 0
        if rate != target:
            import soxr

            _say_once(rate, target)
            self._stream = soxr.ResampleStream(rate, target, 1, dtype="float32")
        try:
            self._made = np.empty(count * target // rate + 2, np.float32)
        except MemoryError as error:
            message = f"{count / rate / 3600:.1f} h do not fit into memory; cut the recording into segments"
            raise AudioError("too long for memory", source, message) from error

    def add(self, block: np.ndarray, last: bool) -> None:
        """Take a block; `last`: the recording ends with it."""
        if self._stream is not None:
            block = self._stream.resample_chunk(np.ascontiguousarray(block, np.float32), last=last)
        self._made[self._done : self._done + len(block)] = block
        self._done += len(block)

    def samples(self) -> np.ndarray:
        """(N,) float32"""
        return self._made[: self._done]


def _blocks(source: AudioSource, file, first: int, count: int) -> Iterator[np.ndarray]:
    """Samples (N, C) from `first` on of an open soundfile.SoundFile, up to count in all."""
    if first and file.seekable():
        file.seek(first)
    elif first:  # GSM 6.10 in wav
        for begin in range(0, first, BLOCK):
            file.read(min(BLOCK, first - begin), dtype="float32", always_2d=True)
    for begin in range(0, count, BLOCK):
        block = file.read(min(BLOCK, count - begin), dtype="float32", always_2d=True)
        if not len(block):
            return
        yield block


def _span(source: AudioSource, frames: int, rate: int) -> tuple[int, int]:
    """First sample and number of samples of the source's span in a recording of so many frames."""
    if frames <= 0:
        raise AudioError("zero length", source, "has no samples; remove the utterance or make the file again")
    if frames / rate > LONGEST:
        message = f"the header tells {frames / rate / 3600:.3g} h, which cannot be; make the file again"
        raise AudioError("unreadable audio", source, message)
    check_span(source, frames / rate)
    first = round((source.start or 0.0) * rate)
    last = frames if source.stop is None else round(source.stop * rate)
    count = min(last, frames) - first
    if count <= 0:
        raise AudioError("zero length", source, "the segment is shorter than one sample; remove or correct it")
    return first, count


@contextmanager
def _open(source: AudioSource):
    """The recording as an open soundfile.SoundFile; whatever is wrong with it becomes an AudioError."""
    import soundfile

    try:
        with _stream(source) as raw, _told_length(source, raw) as stream, soundfile.SoundFile(stream) as file:
            yield file
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).rstrip(".")
        raise AudioError("unreadable audio", source, f"cannot be read as audio ({reason})", FORMAT_CURE) from error
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        cure = "correct wav.scp or bring the file" if missing else "check the path and its permissions"
        reason = "missing audio" if missing else "unreadable audio"
        raise AudioError(reason, source, error.strerror or str(error), cure) from error


def _told_length(source: AudioSource, stream: io.BufferedIOBase) -> io.IOBase:
    if not stream.seekable():
        return stream
    if (missing := missing_bytes(stream)) > FEW_BYTES:
        message = f"the header tells of {missing} more bytes of samples than there are: the file was cut"
        raise AudioError("truncated audio", source, f"{message}; copy it again, or write it anew where all is there")
    if is_open_ogg(stream):
        _warn_once(f"{source.path}: its last page is not marked as the end; it may have been cut")
    try:
        return with_known_length(stream)
    except ValueError as error:
        raise AudioError("unreadable audio", source, str(error), "make the file again") from error


def _stream(source: AudioSource) -> io.IOBase:
    path = source.path.strip()
    if path.endswith("|"):
        return io.BytesIO(_pipe_output(source, path[:-1].strip()))
    ark = ARK.fullmatch(path)
    if ark and not os.path.exists(path):
        return _ark_member(source, ark["path"], int(ark["offset"]))
    file = open(path, "rb")
    if not ffmpeg.is_foreign(file.peek(ffmpeg.HEAD_BYTES)):
        return file
    file.close()
    try:
        return io.BytesIO(ffmpeg.decoded(path))
    except ffmpeg.FfmpegError as error:
        reason = "unreadable audio" if ffmpeg.is_installed() else "needs ffmpeg"
        raise AudioError(reason, source, str(error)) from error


def _is_left_to_ffmpeg(source: AudioSource) -> bool:
    """Whether a file is one that ffmpeg will read; where it is not installed nobody does, which reading says."""
    try:
        with open(source.path.strip(), "rb") as file:
            return ffmpeg.is_foreign(file.read(ffmpeg.HEAD_BYTES)) and ffmpeg.is_installed()
    except OSError:  # missing, or an ark with an offset: reading says what it is
        return False


@functools.lru_cache(maxsize=1)  # segments of one recording follow each other: its pipe runs once
def _run_pipe(command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], stdin=subprocess.DEVNULL, capture_output=True)


def _pipe_output(source: AudioSource, command: str) -> bytes:
    done = _run_pipe(command)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        message = f"the command ended with status {done.returncode}{f' ({said[-1]})' if said else ''}; try it by hand"
        raise AudioError("failed pipe", source, message)
    if not done.stdout:
        raise AudioError("zero length", source, "the command wrote nothing; try it by hand")
    return done.stdout


class _Window(io.RawIOBase):
    """A part of an open file as a file of its own: seeking in it reads nothing."""

    def __init__(self, file: io.BufferedReader, begin: int, length: int) -> None:
        self._file, self._begin, self._length, self._at = file, begin, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer) -> int:
        self._file.seek(self._begin + self._at)
        count = self._file.readinto(memoryview(buffer)[: max(0, self._length - self._at)])
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _ark_member(source: AudioSource, path: str, offset: int) -> _Window:
    """The audio file inside an ark at an offset: kaldiio's `AUDIO` members, or wav or flac as they are."""
    file = open(path, "rb")
    size = os.fstat(file.fileno()).st_size
    file.seek(offset)
    head = file.read(16)
    if head.startswith(b"AUDIO"):
        width = head[5]
        begin = offset + 6 + width
        return _Window(file, begin, min(int.from_bytes(head[6 : 6 + width], "little"), size - begin))
    if head.startswith(b"RIFF"):
        length = int.from_bytes(head[4:8], "little") or size  # 0: the file was never closed
        return _Window(file, offset, min(8 + length, size - offset))
    if head.startswith(b"fLaC"):
        return _Window(file, offset, size - offset)
    file.close()
    if offset >= size:
        raise AudioError("truncated audio", source, f"the ark has {size} bytes only; make it again")
    kind = "features" if head.startswith(b"\0B") else "something else than audio"
    raise AudioError("unreadable audio", source, f"the ark holds {kind} at this offset; give an ark of wav or flac")


@functools.cache
def _say_once(rate: int, target: int) -> None:
    logging.getLogger(__name__).warning("audio at %d Hz is resampled to %d Hz (said once)", rate, target)


def _warn_cancelled(name: str, strongest: int) -> None:
    _warn_once(f"{name}: the channels are of opposite phase and cancel each other; channel {strongest} alone is taken")


@functools.cache
def _warn_once(message: str) -> None:
    logging.getLogger(__name__).warning("%s (said once)", message)
