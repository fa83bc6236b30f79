"""Several recordings in one prompt: in the layout, in data directories, in training, in decoding and in the API."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from tiny_decoding import hypotheses, same
from tiny_experiment import experiment, noise, slm

from slm_espnet.adapter.build import build_adapter
from slm_espnet.bin import decode, encode, stats
from slm_espnet.data.datadir import AudioSource, Row, iter_data_dir, read_data_dir
from slm_espnet.data.row_table import RowTable
from slm_espnet.data.spoken import Spoken, Turn
from slm_espnet.data.validate import validate
from slm_espnet.data.writer import write_data_dir
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.errors import UserError
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.inference import Decoder, Request, TextModel
from slm_espnet.llm.build import build_llm, build_tokenizer
from slm_espnet.prompt import PromptTemplate
from slm_espnet.training.collate import collate
from slm_espnet.training.preprocessor import SLMPreprocessor

__all__ = ["experiment", "noise", "slm"]
WIDTH = 6
COMPARE = "Is <speech> the answer to <speech>?"
SAID = ("call james", "on monday")


@pytest.fixture(scope="module")
def llama(tiny_llama):
    return build_tokenizer("hf_causal", {"model": str(tiny_llama)})


def interleaved(prompt, said):
    """Ids of a prompt with ids in the places of its recordings."""
    between = [ids for part, words in zip(prompt.parts[1:], said, strict=True) for ids in (words, part)]
    return tuple(i for ids in (prompt.parts[0], *between) for i in ids)


@pytest.mark.parametrize("conf", [{}, {"chat": True}, {"speech_begin": '"', "speech_end": '"'}])
def test_each_recording_stands_where_its_words_would(llama, conf):
    template = PromptTemplate(**conf)
    mark = conf.get("speech_begin", "")
    for instruction, context, expected in (
        (COMPARE, (), f"Is {mark}call james{mark} the answer to {mark}on monday{mark}?"),
        (COMPARE, ("mary",), f"possible phrases: mary\nIs {mark}call james{mark} the answer to {mark}on monday{mark}?"),
        ("Compare them", (), f"{mark}call james{mark}\n{mark}on monday{mark}\nCompare them"),
    ):
        read = template.with_text(llama, SAID, instruction, context)
        prompt = template.build(llama, instruction, context, recordings=2)
        assert read.ids == interleaved(prompt, read.said)
        assert [llama.decode(ids) for ids in read.said] == list(SAID)
        assert expected in llama.decode(read.ids)
    for instruction, count in ((COMPARE, 1), (COMPARE, 3), ("<speech>?", 2)):
        with pytest.raises(UserError, match=f"places <speech>, and {count} recording"):
            template.build(llama, instruction, recordings=count)


def test_a_turn_that_was_spoken_has_its_place_in_the_dialog(llama):
    turns = [("user", "<speech>"), ("assistant", "hello"), ("user", "what <speech> is")]
    written = [("user", "hi there"), *turns[1:]]
    for chat in (True, False):
        template = PromptTemplate(chat=chat)
        read = template.with_text(llama, ("hi there", "call james"), "reply", history=turns)
        assert read.ids == template.with_text(llama, "call james", "reply", history=written).ids
        assert read.ids == interleaved(template.build(llama, "reply", (), turns, 2), read.said)
        assert "what <speech> is" in llama.decode(read.ids), "among other words these are letters"


# Data directories


def several(folder):
    """Rows with one recording and with several, and how they are written."""
    path = str(folder / "a.wav")
    own = Row("u1", AudioSource(path), "yes", "say", "qa", "en", "s", transcript="one")
    further = (Spoken(AudioSource(str(folder / "b.wav")), "two words"), Spoken(AudioSource(path, 0.5, 1.5)))
    history = (Turn("user", spoken=Spoken(AudioSource(path, 0.0, 0.5), "hello")), Turn("assistant", words="good day"))
    return [own, replace(own, utt_id="u2", further=further), replace(own, utt_id="u3", history=history)]


def test_rows_with_further_recordings_and_earlier_turns_are_read_as_they_were_written(tmp_path):
    rows = several(tmp_path)
    write_data_dir(tmp_path / "data", rows)
    assert read_data_dir(tmp_path / "data") == rows == list(RowTable(tmp_path / "data"))
    assert [str(one) for one in rows[1].recordings] == [
        str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), f"{tmp_path / 'a.wav'} from 0.5 s to 1.5 s"
    ]  # fmt: skip
    assert rows[2].recordings == (rows[2].history[0].spoken.audio, rows[2].audio), "in the order of the text"


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("further_audio", "b.wav", "expected a JSON list"),
        ("further_audio", '[{"path": "b.wav"}]', "expected a path or an object with audio, start, stop, transcript"),
        ("further_audio", '[{"audio": "b.wav", "start": 2, "stop": NaN}]', "are no part of a recording"),
        ("further_audio", '[{"audio": ""}]', "needs its path"),
        ("history", '["hello"]', "a turn is an object"),
        ("history", '[{"role": "robot", "content": "x"}]', "user or assistant"),
        ("history", '[{"role": "user", "content": "x", "when": 3}]', 'its words as "content"'),
        ("history", '[{"role": "user", "audio": 3}]', "needs its path"),
    ],
)
def test_a_bad_line_is_named(tmp_path, table, value, message):
    write_data_dir(tmp_path, several(tmp_path)[:1])
    (tmp_path / table).write_text(f"u1 {value}\n")
    with pytest.raises(UserError, match=message) as error:
        list(iter_data_dir(tmp_path))
    assert f"{tmp_path / table}:1" in str(error.value)


def test_the_check_of_a_directory_opens_all_recordings(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    write_data_dir(tmp_path / "data", several(tmp_path))
    report = validate(tmp_path / "data")
    assert report.kept == 2 and report.left_out.total() == 1 and "b.wav" in report.table()


# The model


def made_up(sizes):
    rng = np.random.default_rng(sizes)
    return [SimpleNamespace(frames=rng.normal(size=(n, WIDTH)).astype(np.float32), seconds=n / 10) for n in sizes]


@pytest.fixture(scope="module", params=["hf_seq2seq", "hf_causal"])
def model(request):
    folder = request.getfixturevalue({"hf_seq2seq": "tiny_t5", "hf_causal": "tiny_llama"}[request.param])
    llm = build_llm(request.param, {"model": str(folder)})
    torch.manual_seed(1)
    conf = {"size": 16, "dropout": 0.0, "input_dropout": 0.0}
    config = {"input_size": WIDTH, "adapter": "mlp", "adapter_conf": conf, "adapter_output": "embedding_mixture"}
    adapter = build_adapter(config, llm.embedding_table())
    return ESPnetSLMModel(llm, adapter, PromptTemplate(), kl_weight=0.5, diagnostic_batches=0).eval()


@torch.no_grad()
def test_words_in_place_of_speech_are_what_the_llm_reads_of_text(model):
    """The places are right: with the words' own embeddings as speech the input is that of the text."""
    tokenizer, template = model.llm.tokenizer, model.template
    asked = [(SAID, COMPARE), (SAID[:1], "recognize"), ((*SAID, "yes"), "<speech> <speech> and <speech>")]
    read = [template.with_text(tokenizer, said, instruction) for said, instruction in asked]
    prompts = [template.build(tokenizer, instruction, recordings=len(said)) for said, instruction in asked]
    spoken = [torch.tensor(ids) for one in read for ids in one.said]
    lengths = torch.tensor([len(ids) for ids in spoken])
    speech = model.llm.embed(torch.nn.utils.rnn.pad_sequence(spoken, batch_first=True))
    found, expected = model.surround(speech, lengths, prompts), model.text_embeddings(read)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0].to(found[0].dtype), rtol=0, atol=0)


def rows_to_train_on():
    own = Row("u1", AudioSource("a"), "yes it is", COMPARE, "qa", "en", "s", transcript="call")
    known = replace(own, utt_id="u2", further=(Spoken(AudioSource("b"), "on monday"),))
    unknown = replace(own, utt_id="u3", text="no", further=(Spoken(AudioSource("c")),))
    return [replace(own, prompt="say it"), known, unknown, replace(own, utt_id="u4", prompt="go", transcript=None)]


def batch_of(model, rows):
    preprocessor = SLMPreprocessor(model.template, model.llm.tokenizer)
    sizes = {"u1": (9,), "u2": (12, 14), "u3": (11, 8), "u4": (13,)}
    return collate([(r.utt_id, preprocessor(r.utt_id, {"speech": (r, made_up(sizes[r.utt_id]))})) for r in rows])[1]


def test_the_loss_is_that_of_the_utterances_one_by_one(model):
    rows = rows_to_train_on()
    together = model(**batch_of(model, rows))
    alone = [(model(**batch), batch) for batch in (batch_of(model, [row]) for row in rows)]
    for name, size in (("loss_ce", "target_lengths"), ("loss_ctc", "transcript_lengths")):
        parts = [(found[1][name], batch[size].sum()) for found, batch in alone if name in found[1]]
        mean = sum(loss * weight for loss, weight in parts) / sum(weight for _, weight in parts)
        torch.testing.assert_close(together[1][name], mean, rtol=1e-4, atol=1e-5)
    assert "loss_kl" in alone[1][0][1] and "loss_ctc" in alone[2][0][1]
    assert "loss_kl" not in alone[2][0][1], "what is said in one of its recordings is not known"
    assert together[2] == sum(found[2] for found, _ in alone)


def test_an_utterance_learns_from_all_its_recordings(model):
    batch = batch_of(model, rows_to_train_on()[1:2])
    batch["speech"].requires_grad_()
    model(**batch)[0].backward()
    assert (batch["speech"].grad.abs().sum(dim=(1, 2)) > 0).tolist() == [True, True]


# Decoding


def requests(swapped=False):
    found = []
    for number, sizes in enumerate([(9,), (12, 14), (11, 8, 10), (7,)]):
        loads = tuple(lambda one=one: one for one in made_up(sizes)[:: -1 if swapped else 1])
        instruction = "Compare <speech> with <speech>" if len(sizes) == 2 else "what is said"
        speech = loads if len(loads) > 1 else loads[0]
        found.append(Request(f"u{number}", instruction, speech=speech, frames=sum(sizes), spoken="x", repeats=True))
    return found


@pytest.mark.parametrize("draft", ["none", "exact"])
def test_in_a_batch_as_alone_and_the_order_counts(model, draft):
    options = DecodingOptions(max_length=8, ctc_draft=draft, loop_repeats=0)
    together = dict(Decoder(model, options).decode(requests()))
    alone = dict(Decoder(model, replace(options, batch_size=1)).decode(requests()))
    assert {k: h.token_ids for k, h in together.items()} == {k: h.token_ids for k, h in alone.items()}
    assert [together[name].draft_tokens for name in ("u1", "u2")] == [0, 0], "no answer is a copy of two recordings"
    swapped = dict(Decoder(model, options).decode(requests(swapped=True)))
    assert swapped["u0"].score == pytest.approx(together["u0"].score, abs=1e-4)
    assert abs(swapped["u1"].score - together["u1"].score) > 1e-3


def test_text_of_several_recordings_is_what_the_untouched_llm_reads(model):
    options = DecodingOptions(max_length=8, loop_repeats=0)
    asked = [Request("u", "Compare <speech> with <speech>", text=SAID)]
    written = [Request("u", "x", text=" ".join(SAID))]
    plain = TextModel(model.llm, model.template)
    found = dict(Decoder(model, options).decode(asked))
    assert found == dict(Decoder(plain, options).decode(asked)) != dict(Decoder(plain, options).decode(written))


def test_the_stages_take_rows_with_several_recordings(corpus, tmp_path):
    """Encoding, statistics and decoding of a directory; live as from encodings; what lacks a recording is named."""
    rows = [row for row in read_data_dir(corpus / "data") if row.utt_id in ("a0", "a1", "a2")]
    other = Spoken(AudioSource(str(corpus / "6.wav")), "call mary")
    rows[0] = replace(rows[0], prompt=COMPARE, further=(other,))
    rows[1] = replace(rows[1], history=(Turn("user", spoken=other), Turn("assistant", words="yes")))
    rows[2] = replace(rows[2], prompt=COMPARE, further=(Spoken(AudioSource(str(tmp_path / "none.wav"))),))
    write_data_dir(tmp_path / "data", rows)
    pair = ["--foundation", str(corpus / "pair.yaml")]
    out = ["--output_dir", str(tmp_path / "encodings"), "--max_failed", "0.5"]
    assert encode.main([*pair, "--data_dir", str(tmp_path / "data"), *out]) == 0
    encodings = ["--encodings_dir", str(tmp_path / "encodings")]
    data = ["--data_dir", str(tmp_path / "data")]
    assert stats.main([*data, *encodings, *pair, "--output_dir", str(tmp_path / "stats"), "--max_failed", "0.5"]) == 0
    assert (tmp_path / "stats/left_out.tsv").read_text() == "a2\tno encoding\n"
    shapes = dict(line.split() for line in (tmp_path / "stats/speech_shape").read_text().splitlines())
    found = {}
    for name, source in (("cached", encodings), ("live", pair)):
        where = ["--output_dir", str(tmp_path / name), "--model_dir", str(corpus / "exp"), "--max_failed", "0.5"]
        assert decode.main([*data, *source, *where, "--max_length", "8"]) == 0
        found[name] = hypotheses(tmp_path / name)
    assert found["cached"].keys() == {"a0", "a1"} == shapes.keys()
    same(found["live"], found["cached"])
    own = [int(shapes[name].split(",")[0]) for name in ("a0", "a1")]
    assert min(own) > 20, "frames of both recordings"


# The Python API


def test_a_tuple_is_one_prompt_and_a_turn_may_be_a_recording(slm, noise, tmp_path):
    first, second = noise(0.6), noise(0.9)
    soundfile.write(tmp_path / "a.wav", first, 16000, subtype="FLOAT")
    both = slm((first, (second, 16000)), "Compare <speech> with <speech>", rate=16000)
    again, other = slm([(tmp_path / "a.wav", second), (second, first)], "Compare <speech> with <speech>", rate=16000)
    assert both.text == again.text and both.score == pytest.approx(again.score, abs=1e-4)
    assert abs(both.score - other.score) > 1e-3, "the order counts"
    assert both.hearing.seconds == pytest.approx(0.6) and both.timings.audio == pytest.approx(1.5)
    turns = [("User", tmp_path / "a.wav"), ("Assistant", "hello")]
    spoken = slm(second, "reply", rate=16000, history=turns)
    as_dict = slm(second, "reply", rate=16000, history=[{"role": "user", "content": (first, 16000)}, turns[1]])
    assert spoken.score == pytest.approx(as_dict.score, abs=1e-4)
    assert abs(spoken.score - slm(second, "reply", rate=16000).score) > 1e-3
    assert slm(text=("one", "two"), instruction="<speech> or <speech>").text is not None
    stream = slm.stream((first, second), "Compare <speech> with <speech>", rate=16000)
    assert list(stream)[-1] == stream.answer.text == both.text


def test_what_cannot_be_asked_is_said(slm, noise):
    one = noise(0.5)
    for given, instruction, more, message in (
        ((one, one), "only <speech>", {}, "1 places <speech>, and 2 recording"),
        ((), "x", {}, "an empty tuple"),
        ((one, Path("none.wav")), "x", {}, "none.wav"),
        (one, "x", {"history": [("Assistant", one)]}, "the user first"),
        ((one, noise(30.0)), "x", {}, "up to 25 s"),
    ):
        with pytest.raises(UserError, match=message):
            slm(given, instruction, rate=16000, **more)
