"""What a report of a fault needs: versions, where the toolkit lies, and the machine.

    python -m slm_espnet.bin.version             # paste what it prints into the report
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import slm_espnet
from slm_espnet.errors import run_main
from slm_espnet.scoring.environment import git_commit, hardware

PACKAGES = (
    "torch", "torchaudio", "transformers", "peft", "accelerate", "espnet", "espnet_model_zoo", "numpy", "lhotse",
    "kaldiio", "soundfile", "sentencepiece", "huggingface_hub", "gradio", "setuptools",
)  # fmt: skip


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    return argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the lines."""
    get_parser().parse_args(argv)
    place = Path(slm_espnet.__file__).parent
    print(f"slm_espnet {slm_espnet.__version__}, {place}, commit {git_commit(place)}")
    print(f"Python {platform.python_version()}, {sys.executable}, {platform.platform()}")
    print(f"machine: {hardware()}")
    for name in PACKAGES:
        print(_package(name))
    print(_cuda())
    return 0


def _package(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} not installed"


def _cuda() -> str:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return f"torch does not import: {error}"
    return f"torch.version.cuda {torch.version.cuda}, {torch.cuda.device_count()} GPUs visible to torch"


if __name__ == "__main__":
    run_main(main)
