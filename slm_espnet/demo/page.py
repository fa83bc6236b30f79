"""The page: where things stand, and what happens when they are used. Every visitor has a dialog of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from markupsafe import escape

from slm_espnet.demo import show
from slm_espnet.demo.dialog import Turn, bubble, messages
from slm_espnet.demo.forms import IN_WORDS, NOTHING, forms_of, task_label, text_fields, values_of
from slm_espnet.demo.turn import Progress, Request, asked_in_words, take_turn
from slm_espnet.errors import UserError
from slm_espnet.tasks.languages import language_names
from slm_espnet.tasks.task import LANGUAGE_FIELDS

if TYPE_CHECKING:
    from slm_espnet.api.model import SLMInference

MICROPHONE, FILE, TEXT = "microphone", "file", "text"  # the tabs
LANGUAGE_LABELS = {"language": "Language spoken", "source": "Language spoken", "target": "Language of the answer"}
INTRODUCTION = "# {name}\nA frozen speech encoder, a trained adapter and a frozen language model: speak, and ask."
HINT = "What is said and answered appears here."
Updates = dict[Any, Any]  # component → its new value


class Page:
    """The components by name, and the functions behind them."""

    def __init__(self, slm: SLMInference, name: str) -> None:
        """Lay out the page of a model; `blocks` is what is served."""
        self.slm = slm
        self.forms = forms_of(slm.instructions.tasks)
        self._ending: dict[str | None, list[Turn]] = {}  # visitor whose turn is to end → the dialog that is left
        # nothing is sent anywhere; what visitors record is deleted after an hour, and when the server ends
        with gr.Blocks(title=name, analytics_enabled=False, delete_cache=(600, 3600)) as self.blocks:
            gr.Markdown(INTRODUCTION.format(name=name))
            self.turns = gr.State([])
            self.tab = gr.State(MICROPHONE)
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    self._lay_out_question()
                with gr.Column(scale=3, min_width=320):
                    self._lay_out_answer()
            self._connect()

    # Layout

    def _lay_out_question(self) -> None:
        with gr.Tabs():
            with gr.Tab("Speak", id=MICROPHONE) as microphone:
                self.recorded = _audio("microphone", "Recording")
            with gr.Tab("Choose a file", id=FILE) as file:
                self.chosen = _audio("upload", "wav, flac, mp3, ogg; of any length")
            with gr.Tab("Type instead", id=TEXT) as text:
                self.text = gr.Textbox(
                    label="Words in place of speech", lines=3, elem_id="slm-text", placeholder="Shift + Enter asks",
                    info="They go to the untouched language model, with the same instruction.",
                )  # fmt: skip
        self.tabs = {MICROPHONE: microphone, FILE: file, TEXT: text}
        tasks = self.slm.instructions.tasks
        offered = [(task_label(tasks[name]), name) for name in self.forms if name != IN_WORDS]
        choices = [*offered, ("in words …", IN_WORDS)]
        usual = self.slm.instructions.task
        self.task = gr.Dropdown(choices, value=usual, label="What to do", elem_id="slm-task")
        self.words = gr.Textbox(
            label="Instruction", elem_id="slm-words", visible=usual == IN_WORDS,
            placeholder="such as: Translate this speech to Spanish",
        )  # fmt: skip
        self.wording = gr.Dropdown(**self._wordings(usual), label="Which one", elem_id="slm-wording", interactive=True)
        shown = self._fields_shown(usual, self._wordings(usual)["value"])
        names = [(label, code) for code, label in language_names().items()]
        languages = {
            name: gr.Dropdown(
                names, value=self.slm.instructions.language or None, label=LANGUAGE_LABELS[name],
                allow_custom_value=True, visible=name in shown, elem_id=f"slm-{name}", interactive=True,
            )
            for name in LANGUAGE_FIELDS
        }  # fmt: skip
        others = {
            name: gr.Textbox(label=name.capitalize(), visible=name in shown, elem_id=f"slm-{name}")
            for name in text_fields(self.forms)
        }
        self.fields = {**languages, **others}
        with gr.Accordion("Names and phrases that may occur", open=False):
            self.phrases = gr.Textbox(show_label=False, lines=4, placeholder="one a line", elem_id="slm-phrases")
        self.with_history = gr.Checkbox(
            True, label="Tell the model of earlier turns", elem_id="slm-history",
            info="Where the instruction has a place for them; instructions in words have.",
        )  # fmt: skip
        preview = self._preview(usual, "", self._wordings(usual)["value"])
        self.preview = gr.HTML(preview, elem_id="slm-preview", apply_default_css=False)
        with gr.Row():
            self.ask = gr.Button("Ask", variant="primary", elem_id="slm-ask")
            self.stop = gr.Button("Stop", elem_id="slm-stop")

    def _lay_out_answer(self) -> None:
        self.error = gr.HTML(elem_id="slm-error", apply_default_css=False)
        self.chat = gr.Chatbot(
            label="Dialog", elem_id="slm-chat", height=360, placeholder=HINT, render_markdown=False,
            latex_delimiters=[], buttons=[], group_consecutive_messages=False,
        )  # fmt: skip
        self.clear = gr.Button("Start a new dialog", size="sm", elem_id="slm-clear")
        self.outcome = gr.HTML(elem_id="slm-outcome", apply_default_css=False)
        self.picture = gr.HTML(elem_id="slm-heard", apply_default_css=False)

    def _connect(self) -> None:
        quietly: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
        for name, tab in self.tabs.items():
            tab.select(partial(str, name), outputs=self.tab, **quietly)
        of_form = [self.task, self.wording]
        self.task.change(self._choose_task, self.task, [self.words, self.wording, *self.fields.values()], **quietly)
        self.wording.change(self._choose_wording, of_form, list(self.fields.values()), **quietly)
        of_preview = [self.task, self.words, self.wording, *self.fields.values()]
        gr.on([one.change for one in of_preview], self._preview, of_preview, self.preview, **quietly)
        said = [self.tab, self.recorded, self.chosen, self.text, self.turns]
        of_request = {*said, *of_preview, self.phrases, self.with_history}
        shown = [self.error, self.chat, self.outcome, self.picture, self.turns, self.text]
        asked = [self.ask.click, self.words.submit, self.text.submit]
        gr.on(asked, self._begin, None, None, **quietly)
        gr.on(  # one question at a time, whoever asks
            asked, self._ask, of_request, shown, concurrency_limit=1, concurrency_id="model",
            api_visibility="private", show_progress="minimal", show_progress_on=[self.error],
        )  # fmt: skip
        self.stop.click(self._stop, self.turns, None, **quietly)
        gr.on([self.clear.click, self.chat.clear], self._clear, None, shown, **quietly)

    # The form

    def _wordings(self, task: str) -> dict[str, Any]:
        """Choices and value of the dropdown of a task's wordings."""
        form = self.forms[task]
        language = self.slm.instructions.language
        value = language if language in form.wordings else next(iter(form.wordings), None)
        choices = [(label, variant) for variant, label in form.wordings.items()]
        return {"choices": choices, "value": value, "visible": form.has_choice}

    def _fields_shown(self, task: str, wording: str | None) -> tuple[str, ...]:
        return self.forms[task].fields.get(wording, ())

    def _choose_task(self, task: str) -> list[Any]:
        wordings = self._wordings(task)
        words = gr.update(visible=task == IN_WORDS)
        return [words, gr.update(**wordings), *self._choose_wording(task, wordings["value"])]

    def _choose_wording(self, task: str, wording: str | None) -> list[Any]:
        shown = self._fields_shown(task, wording)
        return [gr.update(visible=name in shown) for name in self.fields]

    def _preview(self, task: str, words: str, wording: str | None, *fields: str | None) -> str:
        """The instruction as it stands; nothing while it is not complete."""
        given = dict(zip(self.fields, fields, strict=True)) if fields else {}
        try:
            values = values_of(self.forms.get(task, NOTHING), wording, given)
            return show.preview(asked_in_words(self.slm, Request(task=task, words=words, values=values)))
        except UserError:
            return ""

    # A turn

    def _request(self, given: Mapping[Any, Any]) -> Request:
        """What the components hold, as a request."""
        task = given[self.task] or IN_WORDS
        fields = {name: given[component] for name, component in self.fields.items()}
        is_text, speech = given[self.tab] == TEXT, self._speech(given)
        return Request(
            speech=Path(speech) if speech and not is_text else None,
            text=(given[self.text] or "") if is_text else None,
            task=task,
            words=given[self.words] or "",
            values=values_of(self.forms[task], given[self.wording], fields),
            phrases=given[self.phrases] or "",
            with_history=given[self.with_history],
        )

    def _speech(self, given: Mapping[Any, Any]) -> str | None:
        """Path of the recording of the tab that is open."""
        return {MICROPHONE: given[self.recorded], FILE: given[self.chosen]}.get(given[self.tab])

    def _ask(self, given: Mapping[Any, Any], visitor: gr.Request) -> Iterator[Updates]:
        """The steps of a turn as changes of the page; what a user did wrong is said there."""
        turns: list[Turn] = given[self.turns]
        try:
            request = self._request(given)
            request.check()
            doing = "Listening …" if request.text is None else "Reading …"
            yield {self.error: show.working(doing), self.picture: "", self.outcome: ""}
            pictured = False
            for progress in take_turn(self.slm, request, turns):
                if visitor.session_hash in self._ending:
                    yield self._ended(self._ending.pop(visitor.session_hash))
                    return
                updates = self._progress(progress, request, turns)
                if not pictured:
                    updates[self.picture] = show.picture(progress.hearing)
                    pictured = True
                yield updates
        except UserError as error:
            yield {self.error: show.error(_without_folder(str(error), self._speech(given))), **self._of_dialog(turns)}

    def _progress(self, progress: Progress, request: Request, turns: list[Turn]) -> Updates:
        if progress.turn is not None:
            turns = [*turns, progress.turn]
            done = {self.turns: turns, self.error: "", self.outcome: show.outcome(progress), **self._of_dialog(turns)}
            return {**done, self.text: ""} if request.text is not None else done
        said = bubble(request.text or progress.said, progress.asked, request.text is None)
        return {
            self.error: show.working("Answering …"),
            self.chat: _as_text(messages(turns, said, progress.text or "…")),
            self.outcome: show.outcome(progress),
        }

    def _of_dialog(self, turns: list[Turn]) -> Updates:
        return {self.chat: _as_text(messages(turns))}

    # The end of a turn before it is complete. Gradio's own way (cancels=) lets steps come after it.

    def _begin(self, visitor: gr.Request) -> None:
        """What was stopped before plays no part."""
        self._ending.pop(visitor.session_hash, None)

    def _stop(self, turns: list[Turn], visitor: gr.Request) -> None:
        """The turn that is going on ends at its next step, or when it is its turn; the dialog is as before."""
        self._ending[visitor.session_hash] = turns

    def _clear(self, visitor: gr.Request) -> Updates:
        """A new dialog, also when a turn is going on."""
        self._ending[visitor.session_hash] = []
        return {**self._ended([]), self.error: ""}

    def _ended(self, turns: list[Turn]) -> Updates:
        stopped = {self.error: show.working("Stopped."), self.outcome: "", self.picture: ""}
        return {**stopped, self.turns: turns, **self._of_dialog(turns)}


def _as_text(chat: list[dict[str, str]]) -> list[dict[str, str]]:
    """Messages whose text is read as it stands: the component takes it for HTML, with or without Markdown."""
    return [{**message, "content": str(escape(message["content"]))} for message in chat]


def _audio(source: str, label: str) -> gr.Audio:
    return gr.Audio(
        sources=[source], type="filepath", label=label, elem_id=f"slm-{source}", editable=False, buttons=[]
    )  # fmt: skip


def _without_folder(message: str, speech: str | None) -> str:
    """An error without the server's folder of uploads."""
    return message if not speech else message.replace(str(Path(speech).parent) + "/", "")
