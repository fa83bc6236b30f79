"""What a task asks for besides speech: which of its wordings, and the fields of that one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slm_espnet.api.instructions import HISTORY
from slm_espnet.errors import UserError
from slm_espnet.tasks import DEFAULT_VARIANT, Task
from slm_espnet.tasks.languages import language_name
from slm_espnet.tasks.task import LANGUAGE_FIELDS

IN_WORDS = ""  # in place of a task's name
ELSEWHERE = (HISTORY, "instruction")  # fields that the dialog fills, or an instruction in words


@dataclass(frozen=True)
class Form:
    """The choices of one task."""

    wordings: Mapping[str, str]  # variant → what a user reads; those with a field of ELSEWHERE are not among them
    fields: Mapping[str, tuple[str, ...]]  # variant → fields of its wording

    @property
    def has_choice(self) -> bool:
        """Whether there is more than one wording."""
        return len(self.wordings) > 1


NOTHING = Form({}, {})  # of an instruction in words


def form_of(task: Task) -> Form:
    """The form of a task."""
    fields = {name: task.fields(name) for name in task.variants if not set(ELSEWHERE) & set(task.fields(name))}
    return Form({name: _label(task, name) for name in fields}, fields)


def forms_of(tasks: Mapping[str, Task]) -> dict[str, Form]:
    """The forms of a model's tasks that have any, and that of an instruction in words."""
    forms = {name: form_of(task) for name, task in tasks.items()}
    return {IN_WORDS: NOTHING, **{name: form for name, form in forms.items() if form.wordings}}


def text_fields(forms: Mapping[str, Form]) -> list[str]:
    """Fields of any form that take words rather than a language."""
    names = [name for form in forms.values() for fields in form.fields.values() for name in fields]
    return [name for name in dict.fromkeys(names) if name not in LANGUAGE_FIELDS]


def task_label(task: Task) -> str:
    """A task's name, with the wording that is met first."""
    wording = task.eval_prompt[next(iter(form_of(task).wordings))]
    return f"{task.name}: {wording}"


def values_of(form: Form, variant: str | None, given: Mapping[str, str | None]) -> dict[str, str]:
    """What a call of the model is given besides the task's name.

    Args:
        form: of the task.
        variant: the wording chosen, where there is a choice.
        given: values of fields, of which those that the wording has are taken.

    Raises:
        UserError: a field is empty.
    """
    if not form.wordings:
        return {}
    chosen = variant if variant in form.wordings else next(iter(form.wordings))
    values = {name: " ".join((given.get(name) or "").split()) for name in form.fields[chosen]}
    empty = [name for name, value in values.items() if not value]
    if empty:
        raise UserError(f"fill in {' and '.join(empty)}: this task's wording has a place for it")
    if chosen != DEFAULT_VARIANT:  # that one, the model's own choice, makes way for one with the history
        values["variant"] = chosen
    return values


def _label(task: Task, variant: str) -> str:
    """Names of languages where the variant is one or a pair of them, else its wording."""
    try:
        return " → ".join(task.languages.get(code) or language_name(code) for code in variant.split("_"))
    except UserError:
        return task.eval_prompt[variant]
