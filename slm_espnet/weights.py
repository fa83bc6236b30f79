"""What the weights of a model are, told by their hash: the name of a model can stand for others, its hash cannot.

Hashes of large files are remembered in `$XDG_CACHE_HOME/slm_espnet/sha256.json`, so that every job of a stage does not
read gigabytes again. A file is known again by path, size, inode, both times of change, and a sample of its content:
times alone may be copied, or be the same on a disk with a coarse clock. What none of these would show is a few bytes
changed in place within one tick of that clock. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from slm_espnet.files import discard, temporary_beside

REMEMBERED_SIZE = 1 << 26  # bytes; smaller files are hashed faster than it is worth to remember
MOST_REMEMBERED = 1000  # files
SAMPLES, SAMPLE_SIZE = 64, 4096  # parts of a large file that are read each time, spread evenly, and the bytes of each


def weights_sha256(files: Iterable[Path]) -> str:
    """Hash of a model's weight files.

    Args:
        files: in any order.

    Returns:
        Of one file its plain sha256 (as the Hugging Face Hub shows it); of several the sha256 of the lines
        `<file name> <sha256>` in the order of their names.

    Raises:
        OSError: a file cannot be read.
    """
    hashes = sorted((path.name, file_sha256(path)) for path in files)
    if len(hashes) == 1:
        return hashes[0][1]
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in hashes).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of one file in hexadecimal digits, remembered where the file is large."""
    path = path.resolve()
    cache = cache_file("sha256.json")
    if cache is None or path.stat().st_size < REMEMBERED_SIZE:
        return _sha256(path)
    name = _mark(path)
    known = _read(cache).get(name)
    if known is not None:
        return known
    found = _sha256(path)
    if _mark(path) == name:  # it was not written to meanwhile
        _write(cache, dict([*_read(cache).items(), (name, found)][-MOST_REMEMBERED:]))
    return found


def cache_file(name: str) -> Path | None:
    """A place in the toolkit's cache, for what it can make again; None where there is no home directory."""
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(root) if root else Path.home() / ".cache") / "slm_espnet" / name
    except RuntimeError:  # a user without an entry in the system's list, as in containers
        return None


def _mark(path: Path) -> str:
    """What a file is known by; parts are compared for equality only."""
    status = path.stat()
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in range(SAMPLES):
            file.seek(part * max(0, status.st_size - SAMPLE_SIZE) // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_SIZE))
    times = f"{status.st_mtime_ns}|{status.st_ctime_ns}"
    return f"{path}|{status.st_size}|{times}|{status.st_ino}|{digest.hexdigest()}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(cache: Path) -> dict[str, str]:
    try:
        values = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, one that cannot be read, or a damaged one
        return {}
    return values if isinstance(values, dict) else {}


def _write(cache: Path, known: dict[str, str]) -> None:
    temporary = temporary_beside(cache)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(known, indent=0), encoding="utf-8")
        os.replace(temporary, cache)
    except OSError:  # a home that cannot be written to: the hash is then computed each time
        return
    finally:
        discard(temporary)
