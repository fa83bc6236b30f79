"""Which tasks are recognition: their whole target is what is said (`Task.is_recognition`, from the tasks file)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from slm_espnet.tasks.load import load_tasks
from slm_espnet.tasks.task import Task

# Those of conf/tasks/speech.yaml, for data whose tasks file is not at hand (a test compares the two)
RECOGNITION_TASKS = ("asr", "asr_biasing")
PACKED, IN_RECIPE = "tasks.yaml", "conf/tasks.yaml"
MOST_UP = 3  # folders from an experiment up to its recipe


def recognition_tasks(tasks: Mapping[str, Task] | None = None) -> tuple[str, ...]:
    """Names of recognition tasks: what the given tasks say, and for other names what conf/tasks/speech.yaml says."""
    tasks = tasks or {}
    usual = [name for name in RECOGNITION_TASKS if name not in tasks]
    return (*usual, *(name for name, task in tasks.items() if task.is_recognition))


def tasks_file_of(model_dir: Path) -> Path | None:
    """The tasks file of a model: in its package, or conf/tasks.yaml of the recipe that its experiment lies in."""
    places = [model_dir / PACKED, *(folder / IN_RECIPE for folder in model_dir.resolve().parents[:MOST_UP])]
    return next((path for path in places if path.is_file()), None)


def recognition_tasks_of(model_dir: Path | None, tasks_config: Path | None = None) -> tuple[str, ...]:
    """The same by a tasks file, else by that of a model, else by conf/tasks/speech.yaml alone.

    Raises:
        UserError: as `load_tasks`.
    """
    path = tasks_config or (None if model_dir is None else tasks_file_of(model_dir))
    return recognition_tasks(None if path is None else load_tasks(path))
