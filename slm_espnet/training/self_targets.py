"""Self targets: what the frozen LLM itself answers to transcript and instruction becomes what speech is trained on.

A recording whose words are known is asked something that nobody has labelled; the LLM reads its transcript and answers;
the adapter then learns to bring the same answer about from speech. So instructions beyond recognition are trained on
without any data of other tasks, towards what this LLM does and not towards what an annotator would (as BLSP, arXiv
2309.00916, does with continuations). The instructions are data:

    per_utterance: 1                       # instructions for each recording, of different tasks; 0: one of each task
    instructions:                          # task → wordings, in any language, or by the language spoken
      continuation: [continue the speech]
      repeat: {en: [repeat what was said], es: [repite lo que se ha dicho]}
    tasks: [dialog]                        # tasks of the recipe's tasks file, in its wordings for training
    target_languages: [de]                 # into which tasks with a {target} are asked for

A task whose instructions are asked here is no unseen task any more: results mark it as `self`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slm_espnet.data.datadir import Row
from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml
from slm_espnet.tasks import DEFAULT_VARIANT, Task, load_tasks
from slm_espnet.tasks.languages import by_language, language_name, primary
from slm_espnet.training.preprocessor import spoken_text

MARKER = "self_targets.json"  # in a data directory: its targets are the LLM's own answers
KEYS = ("per_utterance", "instructions", "tasks", "target_languages")


@dataclass(frozen=True)
class Instructions:
    """What is asked about the recordings."""

    wordings: Mapping[str, Mapping[str, tuple[str, ...]]]  # task → language spoken, or `default` → wordings
    tasks: Mapping[str, Task] = field(default_factory=dict)  # by name: tasks in their own wordings
    target_languages: tuple[str, ...] = ()  # for wordings with a {target}
    per_utterance: int = 1  # instructions for each recording, of different tasks; 0: one of each task

    def names(self) -> list[str]:
        """Tasks that may be asked, sorted."""
        return sorted({*self.wordings, *self.tasks})

    def draw(self, name: str, language: str, rng: random.Random) -> tuple[str, str | None] | None:
        """An instruction of a task about speech in a language, and the language of its answer where that is another.

        None where the task has no wording for this language.
        """
        if name in self.wordings:
            found = by_language(self.wordings[name], language, ())
            return (rng.choice(found), None) if found else None
        options = _variants(self.tasks[name], language, self.target_languages)
        if not options:
            return None
        chosen = rng.choice(options)
        return self.tasks[name].prompt(rng, **chosen), chosen.get("target")


def _variants(task: Task, language: str, target_languages: Sequence[str]) -> list[dict[str, str]]:
    """Variants of a task that can be asked about speech in a language, as arguments of Task.prompt."""
    spoken = {"language": language, "source": language} if language else {}
    options = []
    for variant in task.variants:
        source, _, target = variant.partition("_")
        if variant == DEFAULT_VARIANT and any("{target}" in wording for wording in task.prompts[variant]):
            options += [{"variant": variant, **spoken, "target": t} for t in target_languages if t != language]
        elif not _is_language(source) or (target and not _is_language(target)):  # default, or a kind of question
            options.append({"variant": variant, **spoken})
        elif source in (language, primary(language)):
            options.append({"variant": variant, **spoken, **({"target": target} if target else {})})
    return options


def _is_language(code: str) -> bool:
    try:
        language_name(code)
    except UserError:
        return False
    return True


def load_instructions(path: Path, tasks_config: Path | None) -> Instructions:
    """Read a file of instructions.

    Args:
        path: YAML, see the top of this module.
        tasks_config: the recipe's tasks file; needed where the file names tasks.

    Raises:
        UserError: unreadable file, unknown key, a value of the wrong kind, no instruction, or an unknown task.
    """
    values = read_yaml(path, "the instructions")
    if not isinstance(values, dict) or not set(values) <= set(KEYS):
        unknown = ", ".join(map(str, values.keys() - set(KEYS))) if isinstance(values, dict) else "no keys at all"
        raise UserError(f"{path}: has {unknown}; the keys of instructions are {', '.join(KEYS)}")
    count = values.get("per_utterance", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise UserError(f"{path}: per_utterance must be a whole number, 0 or more, not {count!r}")
    own = values.get("instructions") or {}
    if not isinstance(own, dict):
        raise UserError(f"{path}: instructions must map names of tasks to wordings")
    wordings = {str(name): _wordings(f"{path}: {name}", value) for name, value in own.items()}
    tasks = _tasks(path, _names(path, "tasks", values), tasks_config)
    both = sorted(wordings.keys() & tasks.keys())
    if both:
        raise UserError(f"{path}: {both[0]} is under instructions and under tasks; choose one")
    if not wordings and not tasks:
        raise UserError(f"{path}: holds no instruction; give wordings under instructions, or names under tasks")
    return Instructions(wordings, tasks, _names(path, "target_languages", values), count)


def _wordings(where: str, value: object) -> dict[str, tuple[str, ...]]:
    by_code = value if isinstance(value, dict) else {DEFAULT_VARIANT: value}
    for code, texts in by_code.items():
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise UserError(f"{where}: {code} must be a list of wordings, each a non-empty text, not {texts!r}")
    return {str(code): tuple(" ".join(text.split()) for text in texts) for code, texts in by_code.items()}


def _names(path: Path, key: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    names = values.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: {key} must be a list of names, not {names!r}")
    return tuple(names)


def _tasks(path: Path, names: Sequence[str], tasks_config: Path | None) -> dict[str, Task]:
    if not names:
        return {}
    if tasks_config is None:
        raise UserError(f"{path}: names tasks ({', '.join(names)}); give the recipe's tasks file (--tasks_config)")
    known = load_tasks(tasks_config)
    for name in names:
        if name not in known:
            raise UserError(f"{path}: task {name!r} is not in {tasks_config}, which has {', '.join(known)}")
    return {name: known[name] for name in names}


def ask(rows: Iterable[Row], instructions: Instructions, seed: int) -> tuple[list[Row], dict[str, str]]:
    """Rows to be answered, with an empty target: each recording's drawn instructions, however many rows it has.

    Returns:
        Rows, and ids of recordings that are asked nothing, with the reason.
    """
    spoken: dict[str, Row] = {}
    for row in rows:
        if row.audio.key not in spoken or not spoken_text(spoken[row.audio.key]):
            spoken[row.audio.key] = row
    questions, skipped = [], {}
    for row in spoken.values():
        transcript = spoken_text(row)
        if not transcript:
            skipped[row.utt_id] = "no transcript"
            continue
        rng = random.Random(f"{seed} {row.utt_id}")
        drawn = {name: instructions.draw(name, row.language, rng) for name in instructions.names()}
        possible = [name for name, instruction in drawn.items() if instruction is not None]
        if not possible:
            skipped[row.utt_id] = f"no instruction for language {row.language or 'unknown'}"
            continue
        count = min(instructions.per_utterance or len(possible), len(possible))
        for name in sorted(rng.sample(possible, count)):
            prompt, target_language = drawn[name]
            question = replace(
                row, utt_id=f"{row.utt_id}-self-{name}", text="", prompt=prompt, task=name, context=(), references=(),
                further=(), history=(),
                transcript=transcript, target_language=target_language,
            )  # fmt: skip
            questions.append(question)
    return sorted(questions, key=lambda question: question.utt_id), skipped


def take_answers(
    questions: Iterable[Row], answers: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, str]
) -> tuple[list[Row], dict[str, str]]:
    """Put answers into the rows that asked.

    Args:
        questions: of `ask`.
        answers: by utterance id: text, truncated and looped of a decoding.
        left_out: what the decoding has no answer for, with the reason.

    Returns:
        Rows with their target, and ids of the others, each with its reason.
    """
    rows, reasons = [], {}
    for question in questions:
        answer = answers.get(question.utt_id)
        reason = left_out.get(question.utt_id, "no answer") if answer is None else _unusable(answer)
        if reason is None:
            rows.append(replace(question, text=" ".join(answer["text"].split())))
        else:
            reasons[question.utt_id] = reason
    return rows, reasons


def _unusable(answer: Mapping[str, Any]) -> str | None:
    """Why an answer is no target. It has to be whole, and to stay what it is on one line of `text`."""
    if answer["truncated"]:
        return "answer longer than the search allows"
    if answer["looped"]:
        return "answer repeats itself without end"
    if not answer["text"].strip():
        return "empty answer"
    return "answer of several lines" if len(answer["text"].splitlines()) > 1 else None


def read_marker(data_dir: Path) -> dict[str, Any] | None:
    """What self_targets.json of a data directory says; None where its targets are no self targets."""
    try:
        return json.loads((data_dir / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{data_dir / MARKER} is damaged; make the self targets again (--overwrite true)") from error


def trained_and_self_tasks(
    groups: Iterable[tuple[str, str, str]], data_dirs: Iterable[Path]
) -> tuple[list[str], list[str]]:
    """What a training on these directories has seen.

    Args:
        groups: (set, task, language) of the training examples, sets by name or path of their directory.
        data_dirs: the training directories.

    Returns:
        Tasks with targets that somebody labelled, and tasks whose instructions are asked in self targets alone.
    """
    own = {name for path in data_dirs if read_marker(path) is not None for name in (path.name, str(path))}
    groups = set(groups)
    trained = {task for name, task, _ in groups if name not in own}
    return sorted(trained), sorted({task for _, task, _ in groups} - trained)


def check_own_answers(data_dirs: Iterable[Path], llm_identity: Mapping[str, str]) -> None:
    """Refuse self targets that another LLM has written."""
    for path in data_dirs:
        marker = read_marker(path)
        if marker is None:
            continue
        found = marker["settings"]["llm"]["weights_sha256"]
        if found != llm_identity["weights_sha256"]:
            raise UserError(
                f"{path} holds the answers of an LLM with weights {found}, not of {llm_identity['model']} with "
                f"{llm_identity['weights_sha256']}; make them again with this one (slm_espnet.bin.self_target)"
            )


def describe_marker(rows: Sequence[Row], reasons: Iterable[str]) -> dict[str, Any]:
    """Counts for the marker: rows of each task, and what was left out by reason."""
    return {
        "rows": len(rows),
        "tasks": dict(sorted(Counter(row.task for row in rows).items())),
        "left_out": dict(sorted(Counter(reasons).items())),
    }
