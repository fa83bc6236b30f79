"""A turn with a model: what is known when, what the next turn is told, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from slm_espnet.demo.turn import Request, take_turn
from slm_espnet.errors import UserError


@pytest.fixture
def wav(tmp_path, noise):
    """A recording of 1.5 s."""
    soundfile.write(tmp_path / "a.wav", noise(1.5), 16000)
    return tmp_path / "a.wav"


def test_what_was_heard_comes_first_and_the_answer_is_the_models(slm, wav):
    first, *growing, last = take_turn(slm, Request(wav, task="asr", values={"variant": "en"}), [])
    answer = slm(wav, "asr")
    assert first.text == "" and first.hearing.ctc_hypothesis == answer.ctc_hypothesis != ""
    assert last.text == last.answer.text == answer.text and len({progress.text for progress in growing}) > 1
    assert all(progress.turn is None for progress in (first, *growing))
    assert last.turn.said == last.turn.answer == answer.text and last.turn.is_recognition


def test_the_next_turn_is_told_of_the_one_before_where_there_is_a_place(slm, wav):
    *_, first = take_turn(slm, Request(wav, task="dialog"), [])
    before = f"User: {first.said} Assistant: {first.text}"
    assert first.said and first.text and first.turn.said == first.said
    *_, second = take_turn(slm, Request(text="good  morning", words="reply to this"), [first.turn])
    assert " ".join(before.split()) in second.answer.instruction and second.asked == "reply to this"
    assert second.turn.said == "good morning" and second.hearing is None
    *_, third = take_turn(slm, Request(wav, words="reply to this", with_history=False), [first.turn, second.turn])
    assert third.answer.instruction == "reply to this"
    *_, fourth = take_turn(slm, Request(wav, task="asr", values={"variant": "es"}), [first.turn])
    assert fourth.answer.instruction == "recognize this speech in spanish", "a wording without a place for a dialog"


def test_without_ctc_the_model_writes_down_what_was_said(slm, wav, monkeypatch):
    stream = type(slm).stream

    def without_ctc(self, *given, **options):
        made = stream(self, *given, **options)
        made.hearing = replace(made.hearing, blank=None, ctc_hypothesis="")
        return made

    expected = slm(wav).text
    monkeypatch.setattr(type(slm), "stream", without_ctc)
    *_, last = take_turn(slm, Request(wav, task="dialog"), [])
    assert last.turn.said == expected != "" and last.said == "" and last.turn.answer == last.text


def test_phrases_go_along_one_a_line(slm, wav, monkeypatch):
    asked = []
    stream = type(slm).stream
    monkeypatch.setattr(type(slm), "stream", lambda self, *a, **k: asked.append(k["context"]) or stream(self, *a, **k))
    list(take_turn(slm, Request(wav, task="asr", phrases=" Ng \n\nAda   Okafor\nNg\n"), []))
    assert asked == [("Ng", "Ada Okafor")]


@pytest.mark.parametrize(
    ("request_of", "says"),
    [
        (lambda folder: Request(task="asr"), "record something or choose a file first"),
        (lambda folder: Request(text=" \n", task="asr"), "type something first"),
        (lambda folder: Request(folder / "a.wav", words=" "), "type an instruction"),
        (lambda folder: Request(folder / "bad.wav", task="asr"), "cannot be read as audio"),
        (lambda folder: Request(folder / "short.wav", task="asr"), "too short for one frame"),
        (lambda folder: Request(folder / "empty.wav", task="asr"), "no samples"),
        (lambda folder: Request(folder / "a.wav", task="asr", values={"variant": "de"}), "no prompt variant"),
    ],
)
def test_what_cannot_be_asked_is_said(slm, wav, request_of, says):
    (wav.parent / "bad.wav").write_bytes(b"no audio")
    soundfile.write(wav.parent / "short.wav", np.zeros(20), 16000)
    soundfile.write(wav.parent / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(UserError, match=says):
        list(take_turn(slm, request_of(wav.parent), []))
