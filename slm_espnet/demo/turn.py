"""One turn: a recording or a text, what is asked about it, and the answer while it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from slm_espnet.api.results import Answer, Hearing
from slm_espnet.demo.dialog import Turn, history
from slm_espnet.demo.forms import IN_WORDS
from slm_espnet.errors import UserError

if TYPE_CHECKING:
    from slm_espnet.api.model import SLMInference


@dataclass(frozen=True)
class Request:
    """What a user has put together."""

    speech: Path | None = None  # a recording, or
    text: str | None = None  # words in its place
    task: str = IN_WORDS  # name of a task
    words: str = ""  # the instruction where no task is chosen
    values: Mapping[str, str] = field(default_factory=dict)  # of the task's wording, see forms.values_of
    phrases: str = ""  # that may occur, one a line
    with_history: bool = True

    def check(self) -> None:
        """Raises: UserError: there is nothing to ask about, or nothing to ask."""
        if self.text is None and self.speech is None:
            raise UserError("record something or choose a file first")
        if self.text is not None and not self.text.strip():
            raise UserError("type something first")
        self.instruction()

    def instruction(self) -> str:
        """Name of the task, or words on one line."""
        instruction = self.task or " ".join(self.words.split())
        if not instruction:
            raise UserError("type an instruction, or choose a task")
        return instruction

    def context(self) -> tuple[str, ...]:
        """The phrases, each once."""
        return tuple(dict.fromkeys(filter(None, (" ".join(line.split()) for line in self.phrases.splitlines()))))


@dataclass(frozen=True, eq=False)
class Progress:
    """What is known of a turn so far."""

    asked: str  # instruction without the turns before
    text: str = ""  # of the answer
    hearing: Hearing | None = None  # None for typed text
    answer: Answer | None = None  # when it is complete
    seconds: float = 0.0  # since the turn began, reading and encoding included
    turn: Turn | None = None  # for the dialog, when it is complete

    @property
    def said(self) -> str:
        """What CTC heard."""
        return "" if self.hearing is None else self.hearing.ctc_hypothesis


def asked_in_words(slm: SLMInference, request: Request) -> str:
    """The instruction as the model will read it, without the turns before.

    Raises:
        UserError: it cannot be made.
    """
    return slm.instructions.resolve(request.instruction(), **request.values)


def take_turn(slm: SLMInference, request: Request, turns: Sequence[Turn]) -> Iterator[Progress]:
    """Ask; first what was heard, then the text as it grows, last the answer.

    Args:
        slm: the model.
        request: what the user wants.
        turns: of the dialog before; the model is given them where the instruction has a place for them.

    Raises:
        UserError: the audio or the instruction cannot be used.
    """
    began = time.perf_counter()
    request.check()
    instruction, asked = request.instruction(), asked_in_words(slm, request)
    takes_history = slm.instructions.takes_history(instruction, request.values.get("variant"))
    stream = slm.stream(
        request.speech,
        instruction,
        text=None if request.text is None else " ".join(request.text.split()),
        context=request.context(),
        history=history(turns) if request.with_history and takes_history else (),
        **request.values,
    )
    yield Progress(asked, hearing=stream.hearing, seconds=time.perf_counter() - began)
    for text in stream:
        yield Progress(asked, text, stream.hearing, seconds=time.perf_counter() - began)
    answer = stream.answer
    is_recognition = request.speech is not None and is_recognition_task(slm, request.task)
    said = request.text or (answer.text if is_recognition else _heard(slm, stream.hearing))
    turn = Turn(" ".join(said.split()), asked, answer.text, request.speech is not None, is_recognition)
    yield Progress(asked, answer.text, stream.hearing, answer, time.perf_counter() - began, turn)


def _heard(slm: SLMInference, hearing: Hearing) -> str:
    """What was said, by CTC; by the model itself where the speech encoder has no CTC and the model a task for it."""
    if hearing.blank is not None or not is_recognition_task(slm, slm.instructions.task):
        return hearing.ctc_hypothesis
    return slm((hearing.samples, hearing.sampling_rate)).text


def is_recognition_task(slm: SLMInference, name: str) -> bool:
    """Whether a task's answer is what was said."""
    return name in slm.instructions.tasks and slm.instructions.tasks[name].is_recognition
