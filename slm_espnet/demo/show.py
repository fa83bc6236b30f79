"""What the page says beside the dialog, as HTML: the last turn, what was heard, times, errors. All text is escaped."""

from __future__ import annotations

import functools
from importlib import resources

import jinja2
from markupsafe import Markup

from slm_espnet.api.results import Hearing, Timings
from slm_espnet.demo.drawing import draw
from slm_espnet.demo.turn import Progress
from slm_espnet.report.page import colours, templates


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of this room."""
    made = templates("slm_espnet.demo")
    made.filters["clock"] = clock
    return made


def style() -> str:
    """The `<style>` element of the page's head."""
    own = resources.files("slm_espnet.demo").joinpath("templates/style.css").read_text(encoding="utf-8")
    return f"<style>{colours()}{own}</style>"


def picture(hearing: Hearing | None) -> str:
    """Waveform and frames; nothing for typed text."""
    if hearing is None:
        return ""
    total = len(hearing.kept)
    return environment().get_template("picture.html.j2").render(
        drawing=draw(hearing), hearing=hearing, total=total, percent=100 * float(hearing.kept.sum()) / max(1, total),
        milliseconds=1000 * hearing.frame_shift,
    )  # fmt: skip


def outcome(progress: Progress) -> str:
    """The answer beside what CTC heard, the instruction, the times."""
    answer = progress.answer
    return environment().get_template("outcome.html.j2").render(
        progress=progress, hearing=progress.hearing, answer=answer,
        times=[] if answer is None else times(answer.timings, progress.hearing is not None),
    )  # fmt: skip


def times(timings: Timings, is_speech: bool) -> list[str]:
    """How long it took, in words; the real-time factor is all work over the length of the audio."""
    if not is_speech:
        return [f"answered in {timings.answering:.2f} s"]
    work = timings.reading + timings.encoding + timings.answering
    return [
        f"{timings.audio:.1f} s of audio in {work:.2f} s: real-time factor {work / timings.audio:.3f}",
        f"reading {timings.reading:.2f} s, speech encoder {timings.encoding:.2f} s, "
        f"adapter and language model {timings.answering:.2f} s",
    ]


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def error(message: str) -> str:
    """An error as a note."""
    return str(Markup('<p class="slm-error" role="alert">{}</p>').format(message)) if message else ""


def preview(instruction: str) -> str:
    """The instruction before it is asked."""
    return str(Markup('<p class="slm-preview">The model reads: <q>{}</q></p>').format(instruction))


def working(message: str) -> str:
    """What is going on before anything is known."""
    return str(Markup('<p class="slm-working" role="status">{}</p>').format(message))
