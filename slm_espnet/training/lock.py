"""One training at a time in a directory.

The lock is the kernel's (flock): it ends with the process that holds it, however that ends, so nothing has to be
cleared away after a crash. The file's text only tells others who holds it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slm_espnet.errors import UserError

LOCK = ".lock"
UNAVAILABLE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # network file systems without locks


@contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    """Hold the directory's lock.

    Raises:
        UserError: another process holds it; the message says which.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / LOCK
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in UNAVAILABLE:
                raise UserError(_refusal(output_dir, path)) from error
            logging.warning(
                f"{output_dir}: its file system has no locks ({error.strerror}); see that nothing else trains there"
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}")
        file.flush()
        # a lock lives as long as any copy of the open file: processes that load data must not keep it
        os.register_at_fork(after_in_child=file.close)
        yield


def _refusal(output_dir: Path, path: Path) -> str:
    holder = path.read_text(encoding="utf-8") or "another process"
    return (
        f"{output_dir} is being trained by {holder}; wait for it, end it, or give another --output_dir. If that "
        "process is gone, its host has crashed and the network file system still holds its lock: try again in a minute"
    )
