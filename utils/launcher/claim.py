"""One launcher at a time for the same jobs, on all machines that share their folder.

A claim is a lock of the system (flock) on a file, which goes with the launcher however that ends. What the file says is
for the message. Neither process numbers nor clocks decide anything: machines that share a disk have the former in
common and differ in the latter. Some file systems keep locks to each machine or have none. What another machine wrote
is therefore watched for a while: a launcher that lives touches its file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from launcher.job import UsageError

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # by some network file systems
BEAT = 5.0  # seconds between a launcher's signs of life
WATCH = 30.0  # seconds without one after which a launcher is dead


@contextlib.contextmanager
def claimed(path: Path, watch: float = WATCH) -> Iterator[None]:
    """Be the only launcher that has claimed a file; the file and, when it is empty, its folder go at the end.

    Args:
        path: the file; its folder is made.
        watch: seconds for which a file left by another machine is watched.

    Raises:
        UsageError: another launcher has it, or it cannot be written.
    """
    try:
        file = _taken(path, watch)
        file.truncate(0)
        file.write(f"{os.uname().nodename} {os.getpid()}\n")
        file.flush()
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror})") from error
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        path.unlink(missing_ok=True)
        file.close()
        with contextlib.suppress(OSError):  # another array's claim or spool is in it
            path.parent.rmdir()


def _taken(path: Path, watch: float) -> TextIO:
    """The file, locked, without a living launcher."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "a+", encoding="utf-8")
        except FileNotFoundError:  # whoever else was in this folder has ended just now, and it went
            path.parent.parent.stat()
            continue
        locked = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(file, path) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            locked = False
        file.seek(0)
        host = file.read().partition(" ")[0]
        if host and (not locked or host != os.uname().nodename) and _lives(path, host, watch):
            raise _refusal(file, path)
        if _is_at(file, path):
            return file
        file.close()  # the one before removed it in between


def _refusal(file: TextIO, path: Path) -> UsageError:
    file.seek(0)
    host, _, pid = file.read().strip().partition(" ")
    file.close()
    name = path.name.removesuffix(".lock").removeprefix(".")
    return UsageError(f"{name}: a launcher is running these jobs already (process {pid or '?'} on {host or '?'})")


def _lives(path: Path, host: str, watch: float) -> bool:
    """Whether a launcher on another machine gives a sign of life; the first look is what others are compared with."""
    print(f"launch.py: looking for {watch:.0f} s whether the launcher on {host} is alive", file=sys.stderr, flush=True)
    first = _touched(path)
    deadline = time.monotonic() + watch
    while time.monotonic() < deadline:
        time.sleep(min(1.0, watch))
        if _touched(path) != first:
            return True
    return False


def _touched(path: Path) -> int | None:
    """When the file was touched, by whatever clock; opened, as network file systems look again only then."""
    try:
        with open(path, encoding="utf-8") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _beat(file: TextIO, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):  # the next one may succeed
            os.utime(file.fileno())
