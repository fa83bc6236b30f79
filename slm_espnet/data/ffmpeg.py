"""Recordings that libsndfile does not read (m4a, mp4, webm, aac, amr, wma, …), by ffmpeg where it is installed.

What a file is, its first bytes say; a folder is looked through by suffix. The program writes flac to a pipe, so that no
file is made. It is run when samples are wanted, not to find out a length.
"""

from __future__ import annotations

import functools
import shutil
import subprocess

SUFFIXES = (
    ".m4a", ".mp4", ".webm", ".aac", ".wma", ".mov", ".mkv", ".avi", ".m4b", ".amr", ".3gp", ".mka", ".ac3", ".ape",
)  # fmt: skip
MISSING = "is of a kind that needs the program ffmpeg, which is not installed"
CURE = "install it (apt, dnf, brew, conda: ffmpeg), or convert such files to wav or flac"
HEAD_BYTES = 12  # that `is_foreign` wants
MAGICS = (b"\x1aE\xdf\xa3", b"0&\xb2u", b"#!AMR", b"\x0bw", b"MAC ")  # webm and mkv, wma, amr, ac3, ape
ADTS = (b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9")  # aac: where an mp3 has its layer, it has zeros


class FfmpegError(Exception):
    """ffmpeg is not there, or could not read a file; the message says so without the file's name."""


def is_foreign(head: bytes) -> bool:
    """Whether a file that begins with these bytes is left to ffmpeg."""
    return head[4:8] == b"ftyp" or head.startswith((*MAGICS, *ADTS)) or (head[:4], head[8:12]) == (b"RIFF", b"AVI ")


def is_installed() -> bool:
    """Whether the program is on PATH."""
    return shutil.which("ffmpeg") is not None


@functools.lru_cache(maxsize=1)  # segments of one recording follow each other: it is decoded once
def decoded(path: str) -> bytes:
    """The first audio stream of a file as flac.

    Raises:
        FfmpegError: the program is not there, or finds no audio that it can decode.
    """
    if not is_installed():
        raise FfmpegError(f"{MISSING}; {CURE}")
    stream = ["-map", "0:a:0", "-vn", "-f", "flac", "-compression_level", "0", "-"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-xerror", "-i", f"file:{path}", *stream]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = f" ({said[-1]})" if said else ""
        raise FfmpegError(f"ffmpeg cannot decode it{reason}; try it by hand, and copy the file again")
    return done.stdout
