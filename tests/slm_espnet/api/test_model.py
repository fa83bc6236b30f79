"""The Python API: what may be given, what comes back, and that it is what decoding gives."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from slm_espnet.api.files import find_files
from slm_espnet.api.model import SLMInference
from slm_espnet.checkpoint import load_model
from slm_espnet.data.audio import read_audio
from slm_espnet.data.datadir import AudioSource
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.errors import UserError
from slm_espnet.inference import Decoder, Request
from slm_espnet.long_audio.cutting import CuttingOptions


def test_importing_the_package_is_cheap():
    code = "import sys, slm_espnet, slm_espnet.bin.transcribe; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_answer_is_what_decoding_gives(slm, experiment, noise, tmp_path, beam_size):
    soundfile.write(tmp_path / "a.wav", noise(1.5, 8000), 8000)
    samples = read_audio(AudioSource(str(tmp_path / "a.wav")), 16000)
    model = load_model(experiment)
    (encoding,) = slm.pipeline.encode_as_stored([samples])
    options = DecodingOptions(beam_size=beam_size, max_length=12, max_length_ratio=0)
    request = Request("u", "recognize this speech in english", speech=lambda: encoding, frames=len(encoding.frames))
    ((_, expected),) = Decoder(model, options).decode([request])
    other = SLMInference.from_pretrained(experiment, device="cpu", max_length=12, beam_size=beam_size)
    answer = other(tmp_path / "a.wav")
    assert answer.instruction == "recognize this speech in english"  # of the packed tasks, in the language most seen
    assert answer.text == expected.text and answer.score == pytest.approx(expected.score, abs=1e-4)
    assert [token.id for token in answer.tokens][: len(expected.token_ids)] == list(expected.token_ids)
    assert [token.log_prob for token in answer.tokens] == pytest.approx(list(expected.token_log_probs), abs=1e-4)
    assert len(expected.token_ids) > 3 and answer.ctc_hypothesis == encoding.ctc_hypothesis


def test_every_form_of_the_same_speech_has_the_same_answer(slm, noise, tmp_path):
    samples = (noise(1.2) * 32767).round().astype(np.int16)
    floats = (samples / 32768).astype(np.float32)
    stereo = np.stack([samples, samples], axis=1)
    for name, values in (("a.wav", samples), ("b.flac", samples), ("c.wav", stereo)):
        soundfile.write(tmp_path / name, values, 16000)
    forms = [
        str(tmp_path / "a.wav"), tmp_path / "b.flac", tmp_path / "c.wav", (floats, 16000), (samples, 16000),
        (stereo, 16000), (stereo.T, 16000), (torch.from_numpy(floats), 16000),
        {"array": floats, "sampling_rate": 16000},
    ]  # fmt: skip
    expected = slm(floats, rate=16000)
    answers = slm(forms)
    assert len(expected.text) > 3
    for form, answer in zip(forms, answers, strict=True):
        assert answer.text == expected.text, form
        np.testing.assert_allclose(answer.hearing.samples, floats, atol=1e-6)


def test_other_rates_and_lossy_formats(slm, tmp_path):
    time = np.arange(44100) / 44100
    tone = 0.4 * np.sin(2 * np.pi * 440 * time)
    wave = np.stack([tone, 0.5 * tone], axis=1)
    for name in ("a.wav", "b.mp3", "c.ogg"):
        soundfile.write(tmp_path / name, wave, 44100)
        answer = slm(tmp_path / name)
        assert answer.hearing.sampling_rate == 16000 and answer.hearing.seconds == pytest.approx(1.0, abs=0.06)
        middle = answer.hearing.samples[4000:12000]
        peak = np.abs(np.fft.rfft(middle)).argmax() * 16000 / len(middle)
        assert peak == pytest.approx(440, abs=3) and np.abs(middle).max() == pytest.approx(0.3, abs=0.02)


def test_a_batch_is_its_members(slm, noise):
    samples = [noise(seconds, seed=i) for i, seconds in enumerate((0.5, 2.0, 1.1))]
    questions = ["who is mentioned first", "asr", "say this in spanish"]
    alone = [slm(one, question, rate=16000) for one, question in zip(samples, questions, strict=True)]
    together = slm(samples, questions, rate=16000)
    assert [a.text for a in together] == [a.text for a in alone] and len({a.text for a in alone}) == 3
    assert [a.instruction for a in together][1] == "recognize this speech in english"
    assert together[0].timings.audio == pytest.approx(3.6)
    with pytest.raises(UserError, match="instruction: 2 given for 3"):
        slm(samples, questions[:2], rate=16000)


def test_text_is_answered_by_the_untouched_language_model(slm, top):
    folder = top / "egs2/mini/foundations/llm"
    tokenizer, llm = AutoTokenizer.from_pretrained(folder), AutoModelForSeq2SeqLM.from_pretrained(folder).float().eval()
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    ids = [*encode("call james on monday"), tokenizer.convert_tokens_to_ids("<sp>")]
    ids += [*encode("translate this speech from english to spanish"), tokenizer.eos_token_id]
    expected = llm.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0]
    answer = slm(text="call james on monday", instruction="ast", language="en", target="es")
    assert answer.text == tokenizer.decode(expected, skip_special_tokens=True).strip() and "lunes" in answer.text
    assert answer.hearing is None and answer.segments == ()
    many = slm(text=["call james on monday", "call mary"], instruction="ast", source="en", target="es")
    assert many[0].text == answer.text and len(many) == 2


def test_what_the_encoder_kept_is_shown(slm, noise):
    samples = np.concatenate([noise(1.0), np.zeros(16000, np.float32)])
    hearing = slm.stream(samples, rate=16000).hearing
    (encoding,) = slm.pipeline.encode_as_stored([samples])
    assert len(hearing.times) == len(hearing.kept) == len(hearing.blank) == encoding.frames_total
    assert hearing.times[1] - hearing.times[0] == pytest.approx(hearing.frame_shift)
    expected = np.zeros(encoding.frames_total, dtype=bool)
    for start, stop in zip(encoding.positions, encoding.stops, strict=True):
        expected[start:stop] = True
    assert (hearing.kept == expected).all() and hearing.frames_kept == len(encoding.positions)
    assert (hearing.blank == (encoding.posteriors.best() == slm.pipeline.encoder.blank_id)).all()
    assert 0 < hearing.blank.mean() < 1


def test_a_stream_grows_into_the_answer(slm, noise, monkeypatch):
    samples = noise(1.3, seed=2)
    stream = slm.stream((samples, 16000), "recognize this speech in english")
    assert stream.answer is None and stream.hearing.ctc_hypothesis is not None
    texts = list(stream)
    expected = slm((samples, 16000), "recognize this speech in english")
    assert len(texts) > 2 and texts[-1] == expected.text == stream.answer.text
    assert stream.answer.tokens == expected.tokens
    assert list(slm.stream(text="call mary", instruction="ast", source="en", target="es"))[-1]
    monkeypatch.setattr(slm, "settings", slm.settings.changed({"beam_size": 2}))
    assert len(list(slm.stream((samples, 16000)))) == 1  # a beam search knows its answer at its end only


def test_drafts_change_the_speed_of_an_answer_alone(slm, noise, monkeypatch):
    asked = dict(text="call james on monday", instruction="recognize this speech in english")
    speech = (noise(1.3, seed=2), 16000)
    stream = slm.stream(**asked)
    assert len(list(stream)) == 1 and stream.answer.text == "call james on monday"  # all tokens in one pass
    drafted = slm(speech)
    monkeypatch.setattr(slm, "settings", slm.settings.changed({"ctc_draft": "none"}))
    assert len(list(slm.stream(**asked))) > 3
    plain = slm(speech)
    assert [token.id for token in drafted.tokens] == [token.id for token in plain.tokens] and len(plain.tokens) > 3
    assert [t.log_prob for t in drafted.tokens] == pytest.approx([t.log_prob for t in plain.tokens], abs=1e-4)


def test_a_sure_transcript_is_taken_where_that_is_asked_for(slm, noise, monkeypatch):
    options = {"ctc_draft": "accept", "ctc_draft_source": "encoder", "ctc_draft_entropy": 1e9, "max_length": 200}
    monkeypatch.setattr(slm, "settings", slm.settings.changed(options))
    speech = (noise(1.3, seed=2), 16000)
    answer = slm(speech)
    assert answer.text == answer.ctc_hypothesis and {token.log_prob for token in answer.tokens} == {None}
    assert list(slm.stream(speech)) == [answer.text]
    assert {token.log_prob for token in slm(speech, "say this in spanish").tokens} != {None}  # another task


def test_long_audio_is_answered_in_pieces(experiment, noise):
    options = CuttingOptions(max_seconds=2.0, min_seconds=0.5, overlap_seconds=0.5)
    slm = SLMInference.from_pretrained(experiment, device="cpu", max_length=6, cutting=options)
    quiet = np.zeros(8000, np.float32)
    samples = np.concatenate([noise(1.5), quiet, noise(1.5, seed=1), quiet, noise(1.0, seed=2)])
    answer = slm(samples, rate=16000)
    assert len(answer.segments) >= 2 and answer.hearing.seconds == pytest.approx(5.0)
    times = [value for segment in answer.segments for value in (segment.start, segment.stop)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= 5.0
    assert " ".join(s.text for s in answer.segments if s.text) == answer.text
    stream = slm.stream((samples, 16000))
    assert list(stream)[-1] == answer.text == stream.answer.text and stream.answer.segments == answer.segments


def test_context_reaches_the_prompt_or_is_left_out(experiment, noise, monkeypatch):
    from slm_espnet.prompt import PromptTemplate

    prompts, build = [], PromptTemplate.build

    def spy(self, tokenizer, text, context=(), *others):
        prompts.append((text, tuple(context)))
        return build(self, tokenizer, text, context, *others)

    monkeypatch.setattr(PromptTemplate, "build", spy)
    for biasing, expected in (("prompt", {("ng", "okafor")}), ("none", {()})):
        prompts.clear()
        SLMInference.from_pretrained(experiment, device="cpu", max_length=3, biasing=biasing)(
            noise(0.5), rate=16000, context=["ng", "okafor"]
        )
        assert {context for _, context in prompts} == expected
    slm = SLMInference.from_pretrained(experiment, device="cpu", max_length=3, biasing_threshold=-1000.0)
    prompts.clear()
    slm([noise(0.5), noise(0.6)], rate=16000, context=[["ng"], []])  # the recipe's way: placed where heard
    assert {context for _, context in prompts} >= {("ng",), ()}
    said = slm(noise(0.4), "answer the speaker", rate=16000, history=[("User", "hello"), ("Assistant", "hi there")])
    assert said.instruction == "answer the speaker. The conversation so far: User: hello Assistant: hi there"


@pytest.mark.parametrize(
    ("arguments", "values", "message"),
    [
        ((), {}, "either speech or text"),
        (("a.wav",), {"text": "b"}, "either speech or text"),
        ((np.zeros(16000, np.float32),), {}, "needs its sampling rate"),
        ((np.zeros(10, np.float32),), {"rate": 16000}, "too short for one frame"),
        ((np.full(16000, np.nan, np.float32),), {"rate": 16000}, "NaN"),
        (("rm -rf x |",), {}, "commands are not run"),
        (("missing.wav",), {}, "missing.wav: No such file or directory; give a wav, flac, mp3 or ogg"),
        (("missing.wav", "say it", ), {"language": "en"}, "language= belongs to a task's wording"),
        (("missing.wav", "asr"), {"language": "de"}, "no prompt variant"),
        (("missing.wav", "asr"), {"question": "who"}, "no place for question"),
    ],
)  # fmt: skip
def test_mistakes_are_named(slm, arguments, values, message):
    with pytest.raises(UserError, match=message):
        slm(*arguments, **values)


def test_another_foundation_is_refused_naming_both(experiment, top, tmp_path):
    for name, side in (("speech_encoder", "encoder"), ("llm", "llm")):
        folder = shutil.copytree(top / "egs2/mini/foundations" / side, tmp_path / side)
        weights = load_file(folder / "model.safetensors")
        first = sorted(weights)[0]
        save_file({**weights, first: weights[first] + 1}, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(UserError) as caught:
            SLMInference.from_pretrained(experiment, device="cpu", **{name: folder})
        said = str(caught.value)
        assert str(folder) in said and str(top / "egs2/mini/foundations" / side) in said and "sha256" in said
        moved = shutil.copytree(top / "egs2/mini/foundations" / side, tmp_path / f"moved_{side}")
        SLMInference.from_pretrained(experiment, device="cpu", **{name: moved})  # the same model at another place
    with pytest.raises(UserError, match="no such directory"):
        SLMInference.from_pretrained(experiment, llm=tmp_path / "none")
    with pytest.raises(UserError, match="unknown option"):
        SLMInference.from_pretrained(experiment, beams=2)


def test_an_experiment_whose_foundation_has_moved(experiment, top, tmp_path):
    moved = shutil.copytree(experiment, tmp_path / "slm_x")
    config = (moved / "config.yaml").read_text(encoding="utf-8")
    (moved / "config.yaml").write_text(config.replace(str(top / "conf/foundation"), "conf/elsewhere"), encoding="utf-8")
    with pytest.raises(UserError, match="conf/elsewhere/mini.yaml, which is not there; give foundation="):
        find_files(moved)
    assert find_files(moved, top / "conf/foundation/mini.yaml").foundation == top / "conf/foundation/mini.yaml"
    with pytest.raises(UserError, match="holds no adapter.safetensors"):
        find_files(tmp_path)


def test_json_holds_what_is_known(slm, noise):
    from slm_espnet.api.writers import WRITERS

    answer = slm(noise(1.0), rate=16000)
    values = json.loads(WRITERS["json"](answer))
    assert values["text"] == answer.text and values["seconds"] == 1.0 and values["frames"]["kept"] > 0
    assert values["tokens"][0]["log_prob"] == answer.tokens[0].log_prob
