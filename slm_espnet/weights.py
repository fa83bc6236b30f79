"""What the weights of a model are, told by their hash: the name of a model can stand for others, its hash cannot.

Hashes of large files are remembered in `$XDG_CACHE_HOME/slm_espnet/sha256.json` by path, size and time of change, so
that every job of a stage does not read gigabytes again. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

REMEMBERED_SIZE = 1 << 26  # bytes; smaller files are hashed faster than it is worth to remember
MOST_REMEMBERED = 1000  # files


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
    status = path.stat()
    if status.st_size < REMEMBERED_SIZE:
        return _sha256(path)
    cache = cache_directory() / "sha256.json"
    known = _read(cache)
    # mtime alone could be that of another file, copied with its time; all are compared for equality only
    name = f"{path}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}|{status.st_ino}"
    if name not in known:
        known = {**_read(cache), name: _sha256(path)}
        _write(cache, dict(list(known.items())[-MOST_REMEMBERED:]))
    return known[name]


def cache_directory() -> Path:
    """Where the toolkit keeps what it can make again."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "slm_espnet"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(cache: Path) -> dict[str, str]:
    try:
        return json.loads(cache.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _write(cache: Path, known: dict[str, str]) -> None:
    temporary = cache.with_name(f"{cache.name}.tmp{os.getpid()}")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(known, indent=0), encoding="utf-8")
        os.replace(temporary, cache)
    except OSError:  # a home that cannot be written to: the hash is then computed each time
        return
