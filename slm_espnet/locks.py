"""Locks: one process writes a place at a time, and a second one is told who is there.

The lock is the system's (flock), which goes with the process however it ends; what is in the file is for the message
alone. Neither time stamps nor process numbers decide anything, so clocks may differ and machines may be rebooted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
from pathlib import Path
from typing import BinaryIO

from slm_espnet.errors import UserError
from slm_espnet.files import cannot_write

# by some network file systems, as they are mounted
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Lock:
    """A lock file, removed when the lock is released; a context manager."""

    def __init__(self, path: Path, what: str, wait: bool = False) -> None:
        """Take the lock.

        Args:
            path: the file, in a folder that exists.
            what: what is being written, for the message.
            wait: wait for the other process rather than refuse.

        Raises:
            UserError: another process has it (names host and process), or the file cannot be made.
        """
        self.path, self.what = path, what
        self._file: BinaryIO | None = self._taken(wait)
        # a lock lives as long as any copy of the open file: processes that load data must not keep it
        os.register_at_fork(after_in_child=self._file.close)
        try:
            self._file.truncate(0)
            self._file.write(f"{socket.gethostname()} {os.getpid()}\n".encode())
        except OSError:
            pass  # a full disk: the lock holds all the same

    def _taken(self, wait: bool) -> BinaryIO:
        while True:
            try:
                file = open(self.path, "a+b", buffering=0)
            except OSError as error:
                raise cannot_write(self.path, error) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(file)
                file.close()
                raise UserError(
                    f"{self.path.parent}: {self.what} is being written by another process{holder}; wait for it, or end "
                    f"it (the lock {self.path.name} ends with it)"
                ) from None
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    file.close()
                    raise cannot_write(self.path, error) from error
                print(
                    f"warning: {self.path.parent}: this file system has no locks ({error.strerror}); see to it that "
                    f"no other process writes {self.what}",
                    file=sys.stderr,
                )
            if _is_at(file, self.path):
                return file
            file.close()  # the one before removed it in between

    def release(self) -> None:
        """Remove the file and let others in."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()


def _holder(file: BinaryIO) -> str:
    """Who has the lock, as far as the file says."""
    file.seek(0)
    words = file.read(300).decode("utf-8", "replace").split()
    return f" (process {words[1]} on {words[0]})" if len(words) == 2 else ""


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one of that name."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(file.fileno()))
