"""What can be asked about a sentence: tasks and their wordings from a YAML file, and the right answer to each.

A task has variants: a language (asr), a language pair (ast), the key of a question (qa) or just "default".
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from mini_corpus.grammar import QUESTION_KEYS, Sentence

SCORERS = ("wer", "bleu", "accuracy")
NORMALIZERS = ("basic",)
VARIANTS = {
    "asr": ("en", "es"),
    "asr_biasing": ("en",),
    "ast": ("en_es", "es_en"),
    "dialog": ("default",),
    "continuation": ("default",),
    "category": ("default",),
    "qa": tuple(QUESTION_KEYS),
}


@dataclass(frozen=True)
class Task:
    """How one task is put into words and scored."""

    name: str
    scorer: str  # wer, bleu or accuracy
    normalizer: str  # name of the text normalizer
    prompts: Mapping[str, tuple[str, ...]]  # variant -> paraphrases used in training
    eval_prompt: Mapping[str, str]  # variant -> the wording used in evaluation, one of the paraphrases

    def prompt(self, variant: str, rng: random.Random | None = None) -> str:
        """The evaluation wording, or with `rng` any of the paraphrases."""
        return self.eval_prompt[variant] if rng is None else rng.choice(self.prompts[variant])


@dataclass(frozen=True)
class Example:
    """One thing asked of one sentence."""

    task: str
    variant: str  # key into Task.prompts
    source: str  # what is said (or read)
    source_language: str  # en or es
    target: str  # the right answer


def load_tasks(path: str | Path) -> dict[str, Task]:
    """Read and check the tasks of a YAML file; ValueError names the file, the task and what to change."""
    with open(path, encoding="utf-8") as file:
        content = yaml.safe_load(file)
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), dict):
        raise ValueError(f"{path}: expected a mapping with the key 'tasks'")
    return {name: _task(path, name, values) for name, values in content["tasks"].items()}


def _task(path: str | Path, name: str, values: object) -> Task:
    where = f"{path}: task {name!r}"
    if name not in VARIANTS:
        raise ValueError(f"{where} is not known; known: {', '.join(VARIANTS)}")
    keys = {"scorer", "normalizer", "prompts", "eval_prompt"}
    if not isinstance(values, dict) or set(values) != keys:
        raise ValueError(f"{where} must have exactly the keys {', '.join(sorted(keys))}")
    if values["scorer"] not in SCORERS or values["normalizer"] not in NORMALIZERS:
        raise ValueError(f"{where}: scorer must be one of {SCORERS} and normalizer one of {NORMALIZERS}")
    prompts = {variant: tuple(wordings) for variant, wordings in values["prompts"].items()}
    for variant in VARIANTS[name]:
        if values["eval_prompt"].get(variant) not in prompts.get(variant, ()):
            raise ValueError(f"{where}: eval_prompt of {variant!r} must be one of its prompts")
    unknown = set(prompts) - set(VARIANTS[name])
    if unknown:
        listed = ", ".join(sorted(unknown))
        raise ValueError(f"{where}: unknown variant(s) {listed}; known: {', '.join(VARIANTS[name])}")
    return Task(name, values["scorer"], values["normalizer"], prompts, dict(values["eval_prompt"]))


def examples(sentence: Sentence) -> list[Example]:
    """Everything that can be asked about a sentence, one example for each task and variant that applies."""
    english, spanish = sentence.english, sentence.spanish
    found = [
        Example("asr", "en", english, "en", english),
        Example("asr", "es", spanish, "es", spanish),
        Example("ast", "en_es", english, "en", spanish),
        Example("ast", "es_en", spanish, "es", english),
        Example("dialog", "default", english, "en", sentence.reply),
        Example("continuation", "default", english, "en", sentence.continuation),
        Example("category", "default", english, "en", sentence.category),
        *(Example("qa", key, english, "en", answer) for key, answer in sentence.questions),
    ]
    if sentence.names:
        found.append(Example("asr_biasing", "en", english, "en", english))
    return found


def name_list(rng: random.Random, spoken: Sequence[str], others: Sequence[str], size: int) -> list[str]:
    """A shuffled list of `size` names that holds the spoken ones and distractors from `others`."""
    pool = [name for name in others if name not in spoken]
    if len(pool) < size - len(spoken):
        raise ValueError(f"only {len(pool)} other names for a list of {size}")
    names = [*spoken, *rng.sample(pool, max(0, size - len(spoken)))]
    rng.shuffle(names)
    return names
