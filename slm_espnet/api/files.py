"""Where a model's files are: in a package, which has all in one folder, or in an experiment of a recipe."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.api.settings import InferenceSettings, read_settings
from slm_espnet.errors import UserError
from slm_espnet.tasks import Task
from slm_espnet.training.config import read_config

CONFIG, ADAPTER, FOUNDATION = "config.yaml", "adapter.safetensors", "foundation.yaml"
TASKS, SETTINGS = "tasks.yaml", "inference.yaml"
SEEN = "examples_seen.tsv"  # written by training
MOST_UP = 3  # folders from an experiment up to its recipe


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model."""

    config: Path  # of the training
    adapter: Path  # safetensors
    foundation: Path  # YAML of the frozen pair
    tasks: Path | None = None  # YAML of the tasks
    settings: Path | None = None  # YAML of the decoding
    biasing: Path | None = None  # tuned settings of biasing, where `settings` does not name them

    def read_settings(self) -> InferenceSettings:
        """Settings, with tuned biasing where there is one beside the experiment."""
        found = read_settings(self.settings)
        if self.biasing is None or found.biasing_config is not None:
            return found
        return found.changed({"biasing_config": self.biasing})


def find_files(directory: Path, foundation: Path | None = None) -> ModelFiles:
    """The files of a package or of an experiment.

    Args:
        directory: either.
        foundation: YAML of the pair in place of the one that is found.

    Raises:
        UserError: it is neither, or the foundation of an experiment is not where it was.
    """
    if not (directory / ADAPTER).is_file():
        raise UserError(f"{directory} holds no {ADAPTER}; give a package or an experiment that was trained (stage 4)")
    if (directory / FOUNDATION).is_file():
        optional = {name: directory / file for name, file in (("tasks", TASKS), ("settings", SETTINGS))}
        return ModelFiles(
            directory / CONFIG, directory / ADAPTER, foundation or directory / FOUNDATION,
            **{name: path for name, path in optional.items() if path.is_file()},
        )  # fmt: skip
    return _of_experiment(directory.resolve(), foundation)


def _of_experiment(directory: Path, foundation: Path | None) -> ModelFiles:
    config = read_config(directory / CONFIG)
    folders = [Path(), *directory.parents[:MOST_UP]]  # names in a recipe's configuration begin at its folder
    foundation = foundation or _first(folders, str(config.get("foundation")))
    if foundation is None:
        raise UserError(
            f"{directory / CONFIG} names the foundation {config.get('foundation')}, which is not there; give "
            "foundation=, the YAML of the pair it was trained on"
        )
    recipe = folders[1:]
    biasing = directory.parent / f"baseline_{foundation.stem}" / "biasing.yaml"
    return ModelFiles(
        directory / CONFIG,
        directory / ADAPTER,
        foundation,
        _first(recipe, "conf/tasks.yaml"),
        _first(recipe, "conf/decode.yaml"),
        biasing if biasing.is_file() else None,
    )


def _first(folders: list[Path], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def usual_request(directory: Path, tasks: dict[str, Task]) -> tuple[str, str]:
    """Task and language of a call without instruction: recognition, in the language most trained on.

    Args:
        directory: an experiment; what it was trained on is in its examples_seen.tsv.
        tasks: the tasks that it may be.

    Returns:
        Names, either of which may be empty where nothing is known.
    """
    recognition = [name for name, task in tasks.items() if task.is_recognition]
    task = next((name for name in ("asr", *recognition) if name in recognition), "")
    if not (directory / SEEN).is_file():
        return task, ""
    counts: Counter[str] = Counter()
    for line in (directory / SEEN).read_text(encoding="utf-8").splitlines()[1:]:
        _, _, name, language, count, _ = line.split("\t")
        counts[language.partition("_")[0]] += int(count) * (1 if name == task else 0)
    best = counts.most_common(1)
    return task, best[0][0] if best and best[0][1] else ""
