"""Versions, machine and places: what a report of a bug needs.

    slm-espnet version
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from slm_espnet import __version__
from slm_espnet.errors import run_main
from slm_espnet.scoring.environment import git_commit, hardware, package_version
from slm_espnet.toolkit import SHARE

PACKAGES = (
    "espnet", "torch", "torchaudio", "transformers", "tokenizers", "safetensors", "peft", "accelerate",
    "huggingface_hub", "lhotse", "numpy", "soundfile", "soxr", "sentencepiece", "sacrebleu", "jiwer", "gradio",
)  # fmt: skip
PROGRAMS = ("ffmpeg", "sbatch", "nvidia-smi", "git")
VARIABLES = ("CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "SLURM_JOB_ID", "VIRTUAL_ENV")


def facts() -> dict[str, str]:
    """What the command prints, by name."""
    found = {
        "slm_espnet": f"{__version__}, commit {git_commit(Path(__file__).parent)}",
        "python": f"{platform.python_version()}, {sys.executable}",
        "system": platform.platform(),
        "hardware": hardware(),
        "recipes": str((SHARE / "egs2").resolve()),
    }
    found |= {name: package_version(name) for name in PACKAGES}
    found |= {name: shutil.which(name) or "not on PATH" for name in PROGRAMS}
    return found | {name: os.environ[name] for name in VARIABLES if name in os.environ}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)
    values = facts()
    width = max(map(len, values))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in values.items()))
    return 0


if __name__ == "__main__":
    run_main(main)
