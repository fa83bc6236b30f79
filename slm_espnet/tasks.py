"""The tasks of a recipe, read from YAML: how each is asked for (prompt wordings) and how its answers are scored.

Wordings are data: training draws one of several paraphrases, evaluation always uses one fixed wording. The file reads

    tasks:
      asr:
        scorer: wer
        normalizer: basic
        prompts: {en: [transcribe this, write this down]}
        eval_prompt: {en: transcribe this}

where the keys under `prompts` are the task's variants (a language, a kind of question); without variants it has one,
`default`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from slm_espnet.errors import UserError

SCORERS = ("wer", "bleu", "accuracy")
DEFAULT_VARIANT = "default"
TASK_KEYS = ("scorer", "normalizer", "prompts", "eval_prompt")


@dataclass(frozen=True)
class Task:
    """One task: its wordings by variant, its scorer, and the text normalization before scoring."""

    name: str  # as in utt2task
    scorer: str  # wer (WER, CER), bleu (BLEU, chrF, exact match) or accuracy (exact match, token F1)
    normalizer: str  # a name known to slm_espnet.scoring.normalizers
    prompts: Mapping[str, tuple[str, ...]]  # variant → paraphrases for training
    eval_prompt: Mapping[str, str]  # variant → the wording used in evaluation

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants, in the order of the file."""
        return tuple(self.prompts)


def prompt(task: Task, variant: str = DEFAULT_VARIANT, rng: random.Random | None = None) -> str:
    """A wording of a task's variant: a paraphrase drawn by rng, or the evaluation wording without one."""
    if variant not in task.prompts:
        raise UserError(f"task {task.name!r} has no prompt variant {variant!r}; it has {', '.join(task.variants)}")
    return task.eval_prompt[variant] if rng is None else rng.choice(task.prompts[variant])


def load_tasks(path: str | Path) -> dict[str, Task]:
    """Read a tasks file.

    Raises:
        UserError: unreadable file, unknown or missing key, unknown scorer or normalizer, variant without a wording.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read the tasks file ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a valid UTF-8 YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict) or set(values) != {"tasks"} or not isinstance(values["tasks"], dict):
        raise UserError(f"{path}: must hold one key, `tasks`, with the tasks by name under it")
    return {str(name): _parse_task(path, str(name), spec) for name, spec in values["tasks"].items()}


def _parse_task(path: str | Path, name: str, spec: object) -> Task:
    where = f"{path}: task {name!r}"
    if not isinstance(spec, dict):
        raise UserError(f"{where}: must hold the keys {', '.join(TASK_KEYS)}")
    unknown, missing = [k for k in spec if k not in TASK_KEYS], [k for k in TASK_KEYS if k not in spec]
    if unknown or missing:
        wrong = [f"unknown {k!r}" for k in unknown] + [f"missing {k!r}" for k in missing]
        raise UserError(f"{where}: {', '.join(wrong)}; a task has the keys {', '.join(TASK_KEYS)}")
    if spec["scorer"] not in SCORERS:
        raise UserError(f"{where}: unknown scorer {spec['scorer']!r}; known: {', '.join(SCORERS)}")
    _check_normalizer(where, spec["normalizer"])
    prompts, evaluation = spec["prompts"], spec["eval_prompt"]
    if not isinstance(prompts, dict) or not isinstance(evaluation, dict) or not prompts:
        raise UserError(f"{where}: prompts and eval_prompt must map variants (such as `{DEFAULT_VARIANT}`) to wordings")
    if set(prompts) != set(evaluation):
        raise UserError(f"{where}: prompts has the variants {sorted(prompts)}, eval_prompt has {sorted(evaluation)}")
    for variant, wordings in prompts.items():
        _check_wordings(f"{where}, variant {variant!r}", wordings, evaluation[variant])
    return Task(
        name=name,
        scorer=spec["scorer"],
        normalizer=spec["normalizer"],
        prompts={str(variant): tuple(wordings) for variant, wordings in prompts.items()},
        eval_prompt={str(variant): wording for variant, wording in evaluation.items()},
    )


def _check_wordings(where: str, wordings: object, evaluation: object) -> None:
    if not isinstance(wordings, list) or not wordings or not all(isinstance(w, str) and w.strip() for w in wordings):
        raise UserError(f"{where}: prompts must be a list of at least one wording, each a non-empty string")
    if not isinstance(evaluation, str) or not evaluation.strip():
        raise UserError(f"{where}: eval_prompt must be one non-empty string")


def _check_normalizer(where: str, name: object) -> None:
    from slm_espnet.scoring.normalizers import NORMALIZERS

    if name not in NORMALIZERS:
        raise UserError(f"{where}: unknown normalizer {name!r}; known: {', '.join(NORMALIZERS)}")
