"""Instructions as users give them: free text, or the name of a packed task with its language, question or history."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.prompt import SPEECH
from slm_espnet.tasks import DEFAULT_VARIANT, Task

HISTORY = "history"  # name of the field, and of the variant of a task that has it
WITH_HISTORY = "{instruction}. The conversation so far: {history}"  # for free text, where there is no chat template
ROLES = ("user", "assistant")  # whose turns a chat template knows
Turns = tuple[tuple[str, str], ...]  # role and words


class Instructions:
    """The tasks that travel with a model, and which of them is meant where nothing is said."""

    def __init__(self, tasks: Mapping[str, Task], task: str = "", language: str = "", chat: bool = False) -> None:
        """Set up.

        Args:
            tasks: by name; may be empty.
            task: the one of a call without instruction; empty: asr where there is one.
            language: code for wordings that name a language where the call does not; may be empty.
            chat: whether prompts are laid out by a chat template, which has a place for earlier turns.

        Raises:
            UserError: the task is not among the tasks.
        """
        self.tasks, self.language, self.chat = tasks, language, chat
        self.task = task or ("asr" if "asr" in tasks else "")
        if self.task and self.task not in tasks:
            raise UserError(f"the task {self.task!r} is not among {', '.join(tasks) or 'no tasks'}")

    def resolve(
        self, instruction: str | None = None, language: str | None = None, history: Sequence[Any] = (), **fields: str
    ) -> str:
        """The text that the model is given.

        Args:
            instruction: free text, the name of a task, or None for recognition.
            language: code of the language spoken, for a task's wording.
            history: earlier turns of a dialog: strings, (speaker, words), or {"role": …, "content": …}.
            fields: others of a wording, such as target= (a code) or question=; variant= chooses one by name.

        Raises:
            UserError: no task to fall back on, a field that the wording lacks or that it does not have.
        """
        said = format_history(history)
        if instruction is None:
            instruction = "dialog" if said and "dialog" in self.tasks else self.task
            if not instruction:
                raise UserError("no instruction was given, and the model has no recognition task to fall back on")
        given = dict(fields)
        if language is not None:
            given["language"] = language
        if instruction in self.tasks:
            return self._of_task(self.tasks[instruction], given, said)
        return _of_free_text(instruction, given, said)

    def in_turns(
        self, instruction: str | None = None, language: str | None = None, history: Sequence[Any] = (), **fields: str
    ) -> tuple[str, Turns, tuple[Any, ...]]:
        """As `resolve`, with earlier turns apart where they can be those of a chat template, and their recordings.

        They are not where a task's wording has a place for them, as it was trained with, or where others than user and
        assistant speak: then the text has them. Turns that were spoken are always apart; as words they have `<speech>`.
        """
        history, spoken = spoken_turns(history)
        of_task = instruction is None or instruction in self.tasks
        turns = as_turns(history) if spoken or (self.chat and not of_task) else ()
        if spoken and not turns:
            raise UserError(
                "earlier turns of which some were spoken must be those of user and assistant by turns, the user first"
            )
        return self.resolve(instruction, language, () if turns else history, **fields), turns, spoken

    def is_of(self, instruction: str, names: Collection[str]) -> bool:
        """Whether a resolved instruction is a wording of one of the named tasks, whatever its fields; `all` is any."""
        wordings = [text for name in names if name in self.tasks for text in _wordings(self.tasks[name])]
        return "all" in names or any(re.fullmatch(_as_pattern(text), instruction) for text in wordings)

    def takes_history(self, instruction: str, variant: str | None = None) -> bool:
        """Whether earlier turns have a place in an instruction, or in a variant of a task's wordings."""
        task = self.tasks.get(instruction)
        if task is None:
            return True
        usual = variant in (None, DEFAULT_VARIANT)
        wanted = (DEFAULT_VARIANT, HISTORY) if usual else (variant, f"{variant}_{HISTORY}")
        return any(HISTORY in task.fields(name) for name in wanted if name in task.variants)

    def _of_task(self, task: Task, given: dict[str, str], said: str) -> str:
        if said:
            given[HISTORY] = said
            variant = given.get("variant", DEFAULT_VARIANT)
            with_history = HISTORY if variant == DEFAULT_VARIANT else f"{variant}_{HISTORY}"
            if with_history in task.variants:
                given["variant"] = with_history
        if "source" not in given and "target" in given and "language" in given:
            given["source"] = given.pop("language")  # the language spoken
        known = {name for variant in task.variants for name in task.fields(variant)}
        known |= {"variant", "language", "source", "target"}
        unknown = sorted(given.keys() - known)
        if unknown:
            raise UserError(f"task {task.name!r} has no place for {', '.join(unknown)} in its wordings")
        if "language" not in given and self.language and not {"source", "variant"} & given.keys():
            given["language"] = self.language
        return task.prompt(**given)


def format_history(history: Sequence[Any]) -> str:
    """Turns as one line: `User: … Assistant: …`."""
    if isinstance(history, str):
        return " ".join(history.split())
    turns = []
    for turn in history:
        if isinstance(turn, Mapping):
            turn = (str(turn["role"]).capitalize(), turn["content"])
        turns.append(turn if isinstance(turn, str) else f"{turn[0]}: {turn[1]}")
    return " ".join(" ".join(turns).split())


def spoken_turns(history: Sequence[Any]) -> tuple[Sequence[Any], tuple[Any, ...]]:
    """The turns, with `<speech>` as the words of those that were spoken; and their recordings."""
    if isinstance(history, str) or all(isinstance(turn, str) for turn in history):
        return history, ()
    turns, recordings = [], []
    for turn in history:
        role, said = (turn["role"], turn["content"]) if isinstance(turn, Mapping) else (None, None)
        if isinstance(turn, Sequence) and not isinstance(turn, str) and len(turn) == 2:
            role, said = turn
        if said is not None and not isinstance(said, str):
            recordings.append(said)
            turn = (role, SPEECH)
        turns.append(turn)
    return turns, tuple(recordings)


def as_turns(history: Sequence[Any]) -> Turns:
    """Turns of user and assistant, those of the same one joined; none where anybody else speaks or begins."""
    turns: list[tuple[str, str]] = []
    for turn in [] if isinstance(history, str) else history:
        if isinstance(turn, Mapping):
            turn = (turn["role"], turn["content"])
        if isinstance(turn, str) or str(turn[0]).lower() not in ROLES:
            return ()
        role, words = str(turn[0]).lower(), str(turn[1]).strip()
        if turns and turns[-1][0] == role:
            if SPEECH in (words, turns[-1][1]):
                return ()
            words = f"{turns.pop()[1]}\n{words}"
        turns.append((role, words))
    return tuple(turns) if turns and turns[0][0] == "user" else ()  # which many templates insist on


def _of_free_text(instruction: str, given: Mapping[str, str], said: str) -> str:
    if given:
        names = ", ".join(f"{name}=" for name in given)
        raise UserError(f"{names} belongs to a task's wording, but {instruction!r} is no task of this model")
    if not said:
        return instruction
    return WITH_HISTORY.format(instruction=instruction.rstrip(" .:"), history=said)


def _wordings(task: Task) -> set[str]:
    return {*task.eval_prompt.values(), *(text for texts in task.prompts.values() for text in texts)}


def _as_pattern(wording: str) -> str:
    """A regular expression of what a wording becomes."""
    pieces = string.Formatter().parse(" ".join(wording.split()))
    return "".join(re.escape(text) + (".+" if name else "") for text, name, _, _ in pieces)
