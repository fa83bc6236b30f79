"""The `## Environments` part of a results page. Versions are read without importing the packages."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = (("espnet version", "espnet"), ("pytorch version", "torch"), ("transformers version", "transformers"))


def describe(environment: Mapping[str, str]) -> list[str]:
    """Lines of the list, in ESPnet's form."""
    return [f"- {name}: `{value}`" for name, value in environment.items()]


def facts(command: str, seed: int | None) -> dict[str, str]:
    """What a scoring ran with, by name, in the order of ESPnet's list."""
    facts = {"date": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")}
    facts["python version"] = f"{platform.python_version()} ({platform.platform()})"
    facts |= {name: f"{package} {package_version(package)}" for name, package in PACKAGES}
    facts["Git hash"] = git_commit(Path(__file__).parent)
    facts["command"] = command
    facts["hardware of scoring"] = hardware()
    facts["seed"] = "not given" if seed is None else str(seed)
    return facts


def git_commit(directory: Path) -> str:
    """The commit of a working tree, with a word where files differ from it; `unknown` outside of one.

    An environment inside another project's working tree is outside: none of its files belong to that.
    """
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def ask(*arguments: str) -> str:
        done = subprocess.run([git, "-C", str(directory), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = ask("rev-parse", "HEAD")
    if not commit or not ask("ls-files"):
        return "unknown"
    return f"{commit} with local changes" if ask("status", "--porcelain", "--untracked-files=no") else commit


def hardware() -> str:
    """Processor, usable cores, and GPUs where the driver's tool is installed."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = [line for line in information.read_text(errors="replace").splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return "; ".join([f"{model}, {os.cpu_count()} cores", *_gpus()])


def _gpus() -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    question = [tool, "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(question, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def package_version(package: str) -> str:
    """Of an installed package, which is not imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
