"""The page without a browser: what it shows of a turn, whose dialog it is, and what it does with errors."""

import sys
from types import SimpleNamespace

import pytest
import soundfile

from slm_espnet.bin import demo
from slm_espnet.demo import show
from slm_espnet.demo.turn import Progress, Request, take_turn
from slm_espnet.errors import UserError

HOSTILE = "<script>alert(1)</script>"


def test_what_models_and_users_say_is_text(slm, tmp_path, noise):
    soundfile.write(tmp_path / "a.wav", noise(0.5), 16000)
    *_, last = take_turn(slm, Request(tmp_path / "a.wav", words=HOSTILE), [])
    pages = [
        show.outcome(last), show.outcome(Progress(HOSTILE, HOSTILE, last.hearing)), show.error(HOSTILE),
        show.preview(HOSTILE), show.picture(last.hearing),
    ]  # fmt: skip
    assert not any("<script" in page for page in pages) and "&lt;script&gt;" in pages[0]
    assert "real-time factor" in pages[0] and last.hearing.ctc_hypothesis in pages[0]
    assert f"as {last.hearing.frames_kept} vectors" in pages[-1] and "<svg" in pages[-1]


@pytest.fixture
def page(slm):
    """The page of the tiny model."""
    pytest.importorskip("gradio")
    from slm_espnet.demo.page import Page

    return Page(slm, "tiny")


ANNA, BEN = SimpleNamespace(session_hash="anna"), SimpleNamespace(session_hash="ben")


def ask(page, turns, during=lambda: None, **values):
    """The updates of a turn of Anna's, by the name of the component, and the dialog after it."""
    components = {component: name for name, component in vars(page).items() if hasattr(component, "value")}
    components |= {component: name for name, component in page.fields.items()}
    given = {component: component.value for component in components}
    given |= {page.turns: turns, page.tab: "file"} | {getattr(page, name): value for name, value in values.items()}
    updates = []
    page._begin(ANNA)
    for step in page._ask(given, ANNA):
        updates.append({components[key]: value for key, value in step.items()})
        during()
    return updates, updates[-1].get("turns", turns)


def test_dialogs_of_visitors_are_their_own(page, tmp_path, noise):
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    first, anna = ask(page, [], chosen=str(tmp_path / "a.wav"))
    _, ben = ask(page, [], tab="text", text="call james", task="", words="reply to this")
    again, anna = ask(page, anna, tab="text", text="good <b> morning", task="", words="reply to this")
    assert [turn.said for turn in ben] == ["call james"] and anna[1].said == "good <b> morning" and len(anna) == 2
    assert "call james" not in str(again)
    assert anna[0].answer in again[-1]["outcome"], "the instruction that the model was given tells of the first turn"
    assert [len(step["chat"]) for step in again if "chat" in step] == [4] * sum("chat" in step for step in again)
    assert again[-1]["chat"][2]["content"].startswith("good &lt;b&gt; morning"), "text, not HTML"
    assert again[-1]["text"] == "" and "picture" in first[1] and "<svg" in first[1]["picture"]


def test_errors_are_said_and_the_dialog_goes_on(page, tmp_path, noise):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    _, turns = ask(page, [], chosen=str(tmp_path / "a.wav"))
    steps, after = ask(page, turns, chosen=str(tmp_path / "bad.wav"))
    assert "bad.wav" in steps[-1]["error"] and "cannot be read as audio" in steps[-1]["error"]
    assert str(tmp_path) not in steps[-1]["error"], "where uploads are kept is nobody's business"
    assert after == turns and len(steps[-1]["chat"]) == 2
    steps, after = ask(page, turns, chosen=None)
    assert "choose a file first" in steps[-1]["error"] and after == turns
    steps, after = ask(page, turns, chosen=str(tmp_path / "a.wav"))
    assert steps[-1]["error"] == "" and len(after) == 2


def test_a_turn_ends_when_it_is_stopped_and_leaves_nothing(page, tmp_path, noise):
    soundfile.write(tmp_path / "a.wav", noise(1.0), 16000)
    _, turns = ask(page, [], chosen=str(tmp_path / "a.wav"))
    steps, after = ask(page, turns, lambda: page._stop(turns, ANNA), chosen=str(tmp_path / "a.wav"))
    assert len(steps) == 2 and after == turns and len(steps[-1]["chat"]) == 2 and "Stopped" in steps[-1]["error"]
    steps, after = ask(page, turns, lambda: page._stop(turns, BEN), chosen=str(tmp_path / "a.wav"))
    assert len(after) == 2, "others are not stopped"
    steps, after = ask(page, turns, lambda: page._clear(ANNA), chosen=str(tmp_path / "a.wav"))
    assert after == [] and steps[-1]["chat"] == []
    assert len(ask(page, turns, chosen=str(tmp_path / "a.wav"))[1]) == 2, "what was stopped before plays no part"


def test_the_form_follows_the_task(page):
    fields = list(page.fields)
    words, wording, *_ = page._choose_task("qa")
    assert wording["visible"] and ("who is mentioned first", "person") in wording["choices"] and not words["visible"]
    words, wording, *shown = page._choose_task("")
    assert words["visible"] and not wording["visible"] and len(shown) == len(fields)
    assert "translate this speech from spanish to english" in page._preview("ast", "", "es_en")
    assert page._preview("", " ", None) == ""


def test_what_the_command_needs_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match="pip install 'gradio"):
        demo.main(["--model", str(tmp_path)])
