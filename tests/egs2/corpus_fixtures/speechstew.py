"""Made-up miniatures of corpora that are mixed, by their variables in db.sh."""

from __future__ import annotations

from pathlib import Path

from corpus_fixtures import ami, librispeech, tedlium3, wsj


def make(folder: Path) -> dict[str, Path]:
    """Four of the seven."""
    return {
        "AMI": ami.make(folder / "ami"),
        "LIBRISPEECH": librispeech.make(folder / "LibriSpeech"),
        "TEDLIUM3": tedlium3.make(folder / "tedlium"),
        **wsj.make(folder / "wsj"),
    }
