"""conf/hosts: the machines of the ssh backend, one a line, with what each can do at a time.

    # host          jobs at a time (default 1), GPUs that may be used (default none)
    node01          jobs=8 gpus=0,1,2,3
    me@node02       jobs=4
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from launcher.job import UsageError

DEFAULT = Path("conf/hosts")  # of the recipe, in whose folder the launcher runs


@dataclass(frozen=True)
class Host:
    """One machine."""

    name: str  # as ssh takes it
    jobs: int = 1  # at a time
    gpus: tuple[str, ...] = ()  # names for CUDA_VISIBLE_DEVICES; each is given to one job at a time


def read(path: Path) -> list[Host]:
    """Read a file.

    Raises:
        UsageError: it cannot be read, names no host, or a line is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        cure = "write one machine a line, or name the file with --config"
        raise UsageError(f"cannot read {path} ({error.strerror}): {cure}") from error
    hosts: list[Host] = []
    for number, line in enumerate(lines, 1):
        name, *rest = line.partition("#")[0].split() or [""]
        if not name:
            continue
        settings = dict(part.partition("=")[::2] for part in rest)
        jobs, gpus = settings.pop("jobs", "1"), settings.pop("gpus", "")
        right = re.fullmatch(r"[1-9]\d*", jobs) and not settings and not name.startswith("-") and "=" not in name
        if not right:
            raise UsageError(f"{path}:{number}: expected `host [jobs=N] [gpus=0,1]`, found {line.strip()!r}")
        if name in (host.name for host in hosts):
            raise UsageError(f"{path}:{number}: {name} was there before")
        hosts.append(Host(name, int(jobs), tuple(gpu for gpu in gpus.split(",") if gpu)))
    if not hosts:
        raise UsageError(f"{path} names no machine")
    return hosts
