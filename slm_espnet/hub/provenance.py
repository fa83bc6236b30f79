"""Where an adapter comes from: commit, command, seed, versions, what it was trained on, and how the training went."""

from __future__ import annotations

import datetime
import pickle
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import slm_espnet
from slm_espnet.scoring.environment import git_commit

PACKAGES = ("espnet", "numpy", "safetensors", "sentencepiece", "soxr", "tokenizers", "torch", "transformers")
SEEN = "examples_seen.tsv"
CHECKPOINTS = ("checkpoint.pth", "checkpoint.previous.pth")
CURVE = ("loss", "loss_ce", "loss_ctc", "loss_kl", "acc")  # of what ESPnet's reporter keeps
# Of the configuration: what decides a training's result beside data and models.
TRAINING = ("seed", "max_epoch", "num_iters_per_epoch", "batch_type", "batch_bins", "batch_size", "accum_grad", "optim",
            "optim_conf", "scheduler", "scheduler_conf", "grad_clip", "mixing_conf", "trained_tasks", "self_tasks",
            "keep_nbest_models")  # fmt: skip


def provenance(exp_dir: Path, model_dir: Path, config: dict[str, Any], command: str) -> dict[str, Any]:
    """Plain values for provenance.json.

    Args:
        exp_dir: the experiment, with its results.
        model_dir: where the adapter was trained; the same, unless it was downloaded.
        config: configuration of the training.
        command: of the recipe.
    """
    return {
        "toolkit": {"version": slm_espnet.__version__, "commit": git_commit(Path(slm_espnet.__file__).parent)},
        "command": without_home(command),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "scored with": scoring_environment(exp_dir / "RESULTS.md"),
        "training": {name: config[name] for name in TRAINING if config.get(name) not in (None, {}, [])},
        "examples seen": examples_seen(model_dir / SEEN),
        "training curve": training_curve(model_dir),
    }


def without_home(text: str) -> str:
    """A text in which the home directory is written as ~."""
    try:
        home = str(Path.home())
    except RuntimeError:  # a user without one, as in containers
        return text
    return text.replace(home + "/", "~/") if home != "/" else text


def scoring_environment(page: Path) -> list[str]:
    """The lines under `## Environments` of RESULTS.md; none where there is no page."""
    if not page.is_file():
        return []
    lines = page.read_text(encoding="utf-8").partition("## Environments")[2].partition("\n#")[0].splitlines()
    return [without_home(line.removeprefix("- ")) for line in lines if line.startswith("- ")]


def examples_seen(table: Path) -> list[dict[str, Any]]:
    """Examples of each set, task and language in all epochs together."""
    if not table.is_file():
        return []
    counts: dict[tuple[str, str, str], int] = {}
    for line in table.read_text(encoding="utf-8").splitlines()[1:]:
        _, name, task, language, count, _ = line.split("\t")
        counts[name, task, language] = counts.get((name, task, language), 0) + int(count)
    return [{"set": s, "task": t, "language": la, "examples": n} for (s, t, la), n in sorted(counts.items())]


def training_curve(model_dir: Path) -> list[dict[str, Any]]:
    """Loss and accuracy by epoch, of ESPnet's reporter in the checkpoint; [] where there is none that can be read."""
    checkpoint = next((model_dir / name for name in CHECKPOINTS if (model_dir / name).is_file()), None)
    if checkpoint is None:
        return []
    import torch

    try:
        with torch.serialization.safe_globals([datetime.timedelta]):
            stats = torch.load(checkpoint, map_location="cpu", weights_only=True)["reporter"]["stats"]
    except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:  # a scheduler of an unknown class, too
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"{checkpoint} cannot be read ({reason}): packed without a training curve", file=sys.stderr, flush=True)
        return []
    return [
        {
            "epoch": epoch,
            **{f"{part}_{name}": round(float(parts[part][name]), 5)
               for part in ("train", "valid") for name in CURVE if name in parts.get(part, {})},
        }
        for epoch, parts in sorted(stats.items())
    ]  # fmt: skip


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
