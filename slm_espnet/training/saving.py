"""Files of a training, written so that whatever ends it leaves the old file or the new one, whole."""

from __future__ import annotations

import errno
import io
import os
import pickle
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slm_espnet.errors import UserError
from slm_espnet.files import discard, temporary_beside
from slm_espnet.locks import Lock

# what checkpoints may hold beside tensors and plain values: numpy's numbers and arrays in the state of schedulers, and
# in those of ESPnet's own trainer also times
ALLOWED = [
    timedelta,
    np.ndarray,
    np.dtype,
    np._core.multiarray.scalar,
    np._core.multiarray._reconstruct,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)),
]
# what torch.load ends in where a file is cut or changed; OSError comes from seeking beyond its ends
UNREADABLE = (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError, OSError, zipfile.BadZipFile)


class DamagedFile(Exception):
    """A file that is not what `save` wrote; the message says what is wrong."""


def save(state: Any, path: Path, previous: Path | None = None) -> None:
    """torch.save into a temporary file that is flushed to the disk and then put in place.

    Args:
        state: tensors and plain values.
        path: where to.
        previous: gets what was at path before.

    Raises:
        UserError: it cannot be written, for instance because the disk is full; what was at path stays.
    """
    buffer = io.BytesIO()  # torch's own writer to files does not say why it failed
    torch.save(state, buffer)
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep(path, previous)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise UserError(
            f"{path} cannot be written: {what}; what was there before is intact. Make room and start the training "
            "again with --resume true"
        ) from error
    finally:
        discard(temporary)


def load(path: Path) -> Any:
    """What `save` wrote, on the CPU. Nothing foreign is unpickled.

    Raises:
        DamagedFile: it was cut or changed.
    """
    data = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(data) as archive:
            broken = archive.testzip()  # torch.load does not look at the checksums
        if broken is not None:
            raise DamagedFile(f"the checksum of {broken} is wrong")
        data.seek(0)
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(data, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise DamagedFile(" ".join(str(error).split())[:120] or type(error).__name__) from error


def link(path: Path, target: str) -> None:
    """Make path a symbolic link to a name beside it, in place of whatever it was."""
    temporary = temporary_beside(path)
    temporary.symlink_to(target)
    os.replace(temporary, path)


def locked(output_dir: Path) -> Lock:
    """The lock of a training's directory, which is made and cleared of what a killed training left."""
    output_dir.mkdir(parents=True, exist_ok=True)
    lock = Lock(output_dir / ".lock", "the training")
    discard_left(output_dir)
    return lock


def discard_left(directory: Path) -> None:
    """Remove temporary files of a training that was killed; for who has the directory's lock."""
    for temporary in directory.glob(".*.pth.tmp*"):
        discard(temporary)


def _keep(path: Path, previous: Path) -> None:
    """Give the file a second name; where links are not possible it is moved, and path is absent for a moment."""
    temporary = temporary_beside(previous)
    try:
        os.link(path, temporary)
    except OSError:
        os.replace(path, previous)
    else:
        os.replace(temporary, previous)
        discard(temporary)  # two names of one file, as a killed `save` may leave them, are not replaced by each other


def _sync(directory: Path) -> None:
    """Flush a directory, so that names survive a power cut as well."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
