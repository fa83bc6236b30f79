"""What headers of audio files tell of their length, where libsndfile believes them too much or too little.

Wav that was never closed, flac from a pipe and mp3 without its count do not tell it: it is found in the samples. Files
that were cut tell more than there is, and libsndfile reads what is left without a word.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass

TO_THE_END = (0x7FFFFFFF).to_bytes(4, "little")  # a data size that libsndfile takes for "to the end of the file"
OGG_PAGE = 1 << 16  # bytes: longer than any page
FLAC_TAIL = 1 << 17  # bytes at the end that hold a whole frame
MP3_RATES = (44100, 48000, 32000)  # of MPEG 1; MPEG 2 has a half, 2.5 a quarter
MP3_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}  # of layer III, by the index in the header


class Overlay(io.RawIOBase):
    """An open file, some bytes of which are read as others."""

    def __init__(self, file: io.BufferedIOBase, begin: int, replacement: bytes) -> None:
        self._file, self._begin, self._replacement = file, begin, replacement

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer) -> int:
        view, at = memoryview(buffer), self._file.tell()
        count = self._file.readinto(view)
        first, last = max(at, self._begin), min(at + count, self._begin + len(self._replacement))
        if first < last:
            view[first - at : last - at] = self._replacement[first - self._begin : last - self._begin]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def missing_bytes(stream: io.BufferedIOBase) -> int:
    """Bytes of samples that the header tells of and that are not there; the stream is at its beginning again.

    For wav (RF64, W64), AIFF, 8SVX and AU; 0 for others, and where nobody knew the length when the header was written.
    """
    head = stream.read(40)
    size = stream.seek(0, os.SEEK_END)
    end = 0
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        end = _end_of_chunk(stream, (b"data",), "little", size)
        if head[:4] == b"RF64" and head[12:16] == b"ds64":
            end = int.from_bytes(head[28:36], "little")  # without the chunks before, which are small
    elif head[:4] == b"FORM":
        end = _end_of_chunk(stream, (b"SSND", b"BODY"), "big", size)
    elif head[:4] == b".snd" and head[8:12] != b"\xff" * 4:
        end = int.from_bytes(head[4:8], "big") + int.from_bytes(head[8:12], "big")
    elif head[:4] == b"riff":
        end = int.from_bytes(head[16:24], "little")
    stream.seek(0)
    return max(0, end - size)


def is_open_ogg(stream: io.BufferedIOBase) -> bool:
    """Whether an ogg file's last page is not whole or not marked as the end; the stream is at its beginning again."""
    head = stream.read(4)
    tail = b""
    if head == b"OggS":
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - OGG_PAGE))
        tail = stream.read()
    stream.seek(0)
    page = tail[tail.rfind(b"OggS") :]
    if head != b"OggS" or len(page) < 27:
        return head == b"OggS"
    size = 27 + page[26] + sum(page[27 : 27 + page[26]])  # header, and what its table of segments tells
    return not page[5] & 4 or size > len(page)


def _end_of_chunk(stream: io.BufferedIOBase, names: tuple[bytes, ...], order: str, size: int) -> int:
    """Where the first chunk of one of these names ends; 0 where there is none, or its size stands for "unknown"."""
    at = 12
    while at + 8 <= size:
        stream.seek(at)
        head = stream.read(8)
        length = int.from_bytes(head[4:], order)
        if head[:4] in names:
            return 0 if length >= 0xFFFFFF00 or 0x7FFFFF00 <= length <= 0x80000000 else at + 8 + length
        at += 8 + length + length % 2
    return 0


def with_known_length(stream: io.BufferedIOBase) -> io.IOBase:
    """The stream, or one of the same audio whose header says its length; the stream is at its beginning again."""
    head = stream.read(12)
    stream.seek(0)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _closed_wav(stream)
    if head[:4] == b"fLaC":
        return _counted_flac(stream)
    if head[:3] == b"ID3" or _frame(head, 0) is not None:
        return _counted_mp3(stream)
    return stream


def _closed_wav(stream: io.BufferedIOBase) -> io.IOBase:
    """A recorder that was killed leaves 0 as the size of the data; what is behind it is audio."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(4)
    riff_end = 8 + int.from_bytes(stream.read(4), "little")
    at = 12
    while at + 8 < end:
        stream.seek(at)
        head = stream.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            stream.seek(0)
            is_open = size == 0 and riff_end <= at + 8  # a closed file without samples may have chunks behind
            return Overlay(stream, at + 4, TO_THE_END) if is_open else stream
        at += 8 + size + size % 2
    stream.seek(0)
    return stream


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> (bits - 1) else 0)) & (1 << bits) - 1
    return value


def _counted_flac(stream: io.BufferedIOBase) -> io.IOBase:
    """Written to a pipe, the header has 0 as the number of samples; the last frame tells where it begins."""
    head = stream.read(42)
    end = stream.seek(0, os.SEEK_END)
    if len(head) < 42 or head[21] & 0x0F or any(head[22:26]):
        stream.seek(0)
        return stream
    block = int.from_bytes(head[8:10], "big")
    stream.seek(max(42, end - FLAC_TAIL))
    tail = stream.read()
    stream.seek(0)
    tail = tail[:-128] if tail[-128:-125] == b"TAG" else tail
    at = tail.rfind(b"\xff")
    while at >= 0:
        samples = _flac_samples(tail[at:], block)
        if samples is not None:
            return Overlay(stream, 21, ((head[21] >> 4) << 36 | samples).to_bytes(5, "big"))
        at = tail.rfind(b"\xff", 0, at)
    raise ValueError("the header does not tell the length, and the last frame is not complete")


def _flac_samples(frame: bytes, block: int) -> int | None:
    """Number of samples of a stream up to the end of this, its last frame; None: it is no whole frame.

    Args:
        frame: bytes from a place that may be the beginning of the frame up to the end of the file.
        block: samples of a frame, where all but the last have as many.
    """
    if len(frame) < 8 or frame[1] & 0xFE != 0xF8:
        return None
    width = 1 if frame[4] < 0x80 else 8 - (frame[4] ^ 0xFF).bit_length()  # of the number, coded as UTF-8 does
    number = frame[4] if width == 1 else frame[4] & (1 << 7 - width) - 1
    for byte in frame[5 : 4 + width]:
        number = number << 6 | byte & 0x3F
    at, size, rate = 4 + width, frame[2] >> 4, frame[2] & 0x0F
    if size in (6, 7):
        count = int.from_bytes(frame[at : at + size - 5], "big") + 1
        at += size - 5
    else:
        count = 192 if size == 1 else 576 << (size - 2) if size < 6 else 256 << (size - 8)
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if size == 0 or at >= len(frame) or _crc(frame[:at], 0x07, 8) != frame[at]:
        return None
    if _crc(frame[:-2], 0x8005, 16) != int.from_bytes(frame[-2:], "big"):
        return None
    return count + (number if frame[1] & 1 else number * block)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Header of an mp3 frame."""

    kind: tuple[int, int, bool]  # version bits, index of the rate, mono: equal for all frames of one recording
    size: int  # bytes with the header
    side: int  # bytes of side information: behind them an encoder puts its count of frames


def _frame(data: bytes, at: int) -> _Frame | None:
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:  # 11 bits of sync, layer III
        return None
    version, index, rate = data[at + 1] >> 3 & 3, data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or not 0 < index < 15 or rate == 3:
        return None
    is_first, mono = version == 3, data[at + 3] >> 6 == 3
    hertz = MP3_RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    kbps = MP3_KBPS[1 if is_first else 2][index]
    size = (144 if is_first else 72) * 1000 * kbps // hertz + (data[at + 2] >> 1 & 1)
    side = (17 if mono else 32) if is_first else (9 if mono else 17)
    return _Frame((version, rate, mono), size, side)


def _frames(data: bytes) -> Iterator[tuple[int, _Frame]]:
    """Where frames begin; tags and other bytes between them are passed over."""
    at, synced = 0, False
    while 0 <= at < len(data) - 4:
        if data[at : at + 3] == b"ID3" and at + 10 <= len(data):
            size = 0
            for byte in data[at + 6 : at + 10]:
                size = size << 7 | byte & 0x7F
            at, synced = at + 10 + size, False
            continue
        frame = _frame(data, at)
        if frame is not None and not synced:  # a chance pattern is rarely followed by a frame of its own kind
            after = _frame(data, at + frame.size)
            frame = frame if after is not None and after.kind == frame.kind else None
        if frame is not None and at + frame.size <= len(data):
            yield at, frame
            at, synced = at + frame.size, True
        else:
            found = [place for place in (data.find(b"\xff", at + 1), data.find(b"ID3", at, at + 400)) if place > at]
            at, synced = min(found, default=-1), False


def _told(data: bytes, at: int, frame: _Frame) -> int | None:
    """Number of frames that an encoder's own frame (Xing, Info, VBRI) tells; 0: it tells none; None: it is audio."""
    tag = at + 4 + frame.side
    if data[tag : tag + 4] in (b"Xing", b"Info"):
        return int.from_bytes(data[tag + 8 : tag + 12], "big") if data[tag + 7] & 1 else 0
    if data[at + 36 : at + 40] == b"VBRI":
        return int.from_bytes(data[at + 50 : at + 54], "big")
    return None


def _counted_mp3(stream: io.BufferedIOBase) -> io.IOBase:
    """libsndfile guesses the length from the first frame where none is told, and stops at a count that is too low."""
    if isinstance(stream, io.BufferedReader) and isinstance(stream.name, str):
        state = os.fstat(stream.fileno())
        made = _recounted_file(stream.name, state.st_size, state.st_mtime_ns)
    else:
        made = _recounted(stream.read())
        stream.seek(0)
    return stream if made is None else io.BytesIO(made)


@functools.lru_cache(maxsize=1)  # segments of one recording follow each other: its frames are counted once
def _recounted_file(path: str, size: int, modified: int) -> bytes | None:
    with open(path, "rb") as file:
        return _recounted(file.read())


def _recounted(data: bytes) -> bytes | None:
    """An mp3 of the same frames with their count in front; None: what it tells is right."""
    frames = list(_frames(data))
    told = _told(data, *frames[0]) if frames else None
    audio = [(at, frame) for at, frame in frames if _told(data, at, frame) is None]
    if not audio or (told is not None and told >= len(audio)):  # fewer than told: cut off, which the reader finds
        return None
    if len({frame.kind for _, frame in audio}) > 1:
        raise ValueError("mp3 files of different rates or numbers of channels were joined")
    return b"".join([_info(data, *audio[0], len(audio)), *(data[at : at + frame.size] for at, frame in audio)])


def _info(data: bytes, at: int, frame: _Frame, count: int) -> bytes:
    """A frame that tells the count, of the kind of the one given."""
    rate_index = 5 if frame.kind[0] == 3 else 8  # 64 kbit/s: room for the tag at any rate
    header = bytes([0xFF, data[at + 1] | 1, rate_index << 4 | data[at + 2] & 0x0C, data[at + 3]])
    made = header + bytes(frame.side) + b"Info" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    made_frame = _frame(made, 0)
    assert made_frame is not None
    return made.ljust(made_frame.size, b"\0")
