"""Small text files, as every room writes and reads them: in place at once, and with errors that name file and cure.

Importing this loads neither torch nor any other package.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from slm_espnet.errors import UserError

LATE_SECONDS = 60.0  # how long a file that another machine wrote may take to appear here
LOOK_AGAIN_SECONDS = 1.0
KEY_BLOCK = 1 << 14  # bytes of the head, of the middle and of the tail of a file that its content key reads
MOST_OF_NAME = 40  # letters of a file's name in that of its temporary; four bytes each still fit the system's 255


def temporary_beside(path: Path, suffix: str = "") -> Path:
    """A name in the same folder for what is to be moved to `path` when it is whole; nobody else has it.

    Not the process id: machines that share a disk have the same ones.

    Args:
        path: the final place.
        suffix: what the name ends in, for programs that go by it.
    """
    return path.with_name(f".{path.name[:MOST_OF_NAME]}.tmp{secrets.token_hex(8)}{suffix}")


def write_atomically(path: Path, text: str) -> None:
    """Write a UTF-8 text file so that it is either the old or the new one, whatever happens in between.

    Raises:
        UserError: the file cannot be written, for instance because the disk is full.
    """
    temporary = temporary_beside(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        discard(temporary)


class AtomicFile:
    """A text file that is written line by line and put in place when it is whole; a context manager."""

    def __init__(self, path: Path):
        self.path = path
        self._temporary = temporary_beside(path)
        try:
            self._file = open(self._temporary, "w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, text: str) -> None:
        """Append; UserError where the disk is full."""
        try:
            self._file.write(text)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        try:
            self._file.close()
            if kind is None:
                os.replace(self._temporary, self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        finally:
            discard(self._temporary)


def make_directory(path: Path) -> None:
    """Make a folder where there is none; UserError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def discard(temporary: Path) -> None:
    """Remove a temporary file, if it is there and can be removed."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError:
        return  # a read-only file system, on which it never came to be


def cannot_write(path: Path, error: OSError, then: str = "run it again") -> UserError:
    """The error of a file or folder that cannot be written, with the cure for its cause.

    Args:
        path: the file or folder.
        error: what the system said.
        then: what to do after the cure.
    """
    cure = "make room"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        cure = "make its folder writable, or choose another one"
    return UserError(f"cannot write {path} ({error.strerror}); {cure} and {then}")


def content_key(path: str | Path) -> str:
    """What a file holds, told cheaply: its size, and a hash of its head, middle and tail. Name and times do not count.

    Files of up to three blocks are hashed as a whole. Of a larger one a few bytes changed in place elsewhere, with the
    same size, are not noticed; another recording in its place is.

    Args:
        path: a regular file.

    Returns:
        `<size in bytes>-<16 hexadecimal digits>`; equal keys are meant to be compared, not read.

    Raises:
        OSError: the file is missing or cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 3 * KEY_BLOCK:
            data = file.read(size)
        else:
            places = (0, (size - KEY_BLOCK) // 2, size - KEY_BLOCK)
            data = b"".join(os.pread(file.fileno(), KEY_BLOCK, place) for place in places)
    return f"{size}-{hashlib.sha256(data).hexdigest()[:16]}"


def wait_for_late(
    missing: Callable[[], Sequence[str]],
    directory: Path,
    seconds: float | None = None,
    sleep: Callable[[float], None] | None = None,
) -> list[str]:
    """Wait for what other machines have written: a shared file system may show it seconds late.

    Args:
        missing: looks, and names what is not there yet.
        directory: where it is to appear.
        seconds: how long to wait at most; None: LATE_SECONDS.
        sleep: in place of time.sleep.

    Returns:
        What is still missing after that time.
    """
    left = LATE_SECONDS if seconds is None else seconds
    said = False
    while (names := list(missing())) and left > 0:
        if not said:
            listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            print(
                f"{directory}: {listed} not to be seen yet; waiting up to {left:g} s, as shared file systems may show "
                "files late",
                file=sys.stderr,
                flush=True,
            )
            said = True
        (sleep or time.sleep)(LOOK_AGAIN_SECONDS)
        left -= LOOK_AGAIN_SECONDS
        if directory.is_dir():
            os.listdir(directory)  # makes a client of a network file system ask its server again
    return names


def read_yaml(path: Path, what: str, cure: str = "check the path") -> Any:
    """The values of a YAML file, None where it is empty.

    Args:
        path: the file.
        what: what it is, for the errors: "the tasks file".
        cure: what to do where it is missing.

    Raises:
        UserError: missing or unreadable, not UTF-8, or not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read {what} ({error.strerror}); {cure}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a valid UTF-8 YAML file: {' '.join(str(error).split())}") from error
