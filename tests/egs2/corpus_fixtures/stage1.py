"""Stage 1 of recipes that take a corpus' folder and may make audio."""

from __future__ import annotations

from pathlib import Path

import in_process
from corpus_harness import Work


def prepare(recipe: str, folder: Path, corpus: Path | str, options: str = "", *, check: bool = True) -> Work:
    """What local/prepare.py makes of a corpus, with options as on its command line."""
    arguments = ("--corpus", corpus, "--dump_dir", folder / "dump", *options.split())
    return in_process.prepare(recipe, folder, *arguments, check=check)
