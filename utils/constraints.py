#!/usr/bin/env python3
"""Write constraints.txt from environments in which the tests pass, one for each supported Python.

    utils/constraints.py venv3.11 venv3.12 venv3.13 >constraints.txt

A package gets one line where all have the same version, else one for each version, with the Pythons that it is for.
What torch's CUDA builds bring is left out: a CPU build must not get it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import defaultdict

LEFT_OUT = re.compile(r"^(nvidia-|cuda-|triton$|pip$|slm[-_]espnet$)", re.IGNORECASE)
HEADER = """\
# Versions that work together, made by utils/constraints.py.
# torch==2.13.0 also matches a CPU build (2.13.0+cpu). What torch's CUDA builds need comes with torch.
"""


def normalized(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def frozen(venv: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """Python's version, and name and version of every package by its normalized name; local versions are dropped."""
    python = f"{venv}/bin/python"
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    pairs = [line.split("==") for line in listing.splitlines()]
    kept = {normalized(name): (name, of.split("+")[0]) for name, of in pairs if not LEFT_OUT.match(name)}
    return version, kept


def marker(pythons: list[str], known: list[str]) -> str:
    """The Pythons of a line, as pip reads it; nothing where it is all."""
    if pythons == known:
        return ""
    if len(pythons) > 1 and pythons == known[-len(pythons) :]:
        return f'; python_version >= "{pythons[0]}"'
    return "; " + " or ".join(f'python_version == "{python}"' for python in pythons)


def main() -> int:
    """Print the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("venv", nargs="+", help="an environment, made by `make install` or pip")
    found = dict(frozen(venv) for venv in parser.parse_args().venv)
    known = sorted(found, key=lambda version: [int(part) for part in version.split(".")])
    lines = defaultdict(list)
    for python in known:
        for key, pair in found[python].items():
            lines[key, pair[1]].append((python, pair[0]))
    print(HEADER, end="")
    for (_key, version), places in sorted(lines.items()):
        print(f"{places[0][1]}=={version}{marker([python for python, _name in places], known)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
