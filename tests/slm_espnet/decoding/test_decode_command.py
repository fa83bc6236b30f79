"""The decoding command on a tiny corpus: jobs, resuming, the two bounds, live audio, what is left out and refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from tiny_decoding import SHORT, hypotheses, lines, run, same

from slm_espnet.bin import decode, encode
from slm_espnet.checkpoint import load_model
from slm_espnet.data.datadir import AudioSource, Row, read_data_dir
from slm_espnet.data.writer import write_data_dir
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.encodings.reader import EncodingReader
from slm_espnet.errors import UserError
from slm_espnet.inference import Decoder, Request, TextModel
from slm_espnet.prompt import PromptTemplate


def test_every_utterance_comes_out_or_is_left_out_with_its_reason(corpus, decoded):
    found = hypotheses(decoded)
    assert sorted(found) == sorted([*(f"a{i}" for i in range(7)), "q0", "q3", "q6"])
    assert (decoded / "left_out.tsv").read_text() == "a7\tno encoding\n"
    assert lines(decoded / "text").keys() == found.keys() == lines(decoded / "score").keys()
    summary = json.loads((decoded / "summary.json").read_text())
    assert summary["utterances"] == 11 and summary["decoded"] == 10 and summary["left_out"] == {"no encoding": 1}
    assert len({tuple(h["token_ids"]) for h in found.values()}) > 2


def test_it_is_what_the_model_says(corpus, decoded):
    reader = EncodingReader(corpus / "encodings")
    model = load_model(corpus / "exp")
    key = AudioSource(str(corpus / "6.wav")).key
    request = Request("q6", "translate this speech", ("james", "mary"), speech=lambda: reader[key], frames=99)
    ((_, expected),) = Decoder(model, DecodingOptions(max_length=12)).decode([request])
    assert hypotheses(decoded)["q6"]["token_ids"] == list(expected.token_ids)


def test_jobs_merged_are_one_job(corpus, decoded, tmp_path):
    for job in "123":
        run(corpus, tmp_path / "out", "--job", job, "--num_jobs", "3")
    assert not (tmp_path / "out" / "text").exists()
    run(corpus, tmp_path / "out", "--num_jobs", "3", "--merge", "true")
    same(hypotheses(tmp_path / "out"), hypotheses(decoded))


def test_from_audio_as_from_encodings(corpus, decoded, tmp_path):
    output = run(corpus, tmp_path / "live", "--foundation", str(corpus / "pair.yaml"), encodings=False)
    same(hypotheses(output), hypotheses(decoded))
    assert (output / "left_out.tsv").read_text().startswith("a7\t")
    assert "no encoding" not in (output / "left_out.tsv").read_text()  # but why it could not be encoded


def test_bounds_are_the_frozen_llm_on_ctc_text_and_on_the_transcript(corpus, tmp_path):
    pair = ["--foundation", str(corpus / "pair.yaml")]
    cascade = hypotheses(run(corpus, tmp_path / "ctc", "--input", "ctc", *pair))
    bound = run(corpus, tmp_path / "true", "--input", "transcript", *pair, encodings=False)
    assert (bound / "left_out.tsv").read_text() == "q3\tno transcript\n"
    reader, model = EncodingReader(corpus / "encodings"), load_model(corpus / "exp")
    ctc = reader.ctc_hypothesis(AudioSource(str(corpus / "6.wav")).key)
    assert len(ctc) > 2
    requests = [
        Request("ctc", "translate this speech", ("james", "mary"), text=ctc),
        Request("true", "translate this speech", ("james", "mary"), text="call mary"),
    ]
    expected = dict(Decoder(model, DecodingOptions(max_length=12)).decode(requests))
    assert cascade["q6"]["token_ids"] == list(expected["ctc"].token_ids)
    assert hypotheses(bound)["q6"]["token_ids"] == list(expected["true"].token_ids)
    assert "a7" in hypotheses(bound) and "a7" not in cascade  # its text is known, its audio is not


def test_context_is_used_as_asked(corpus, decoded, tmp_path, monkeypatch):
    prompts = []
    phrases = PromptTemplate._phrases

    def spy(self, context):
        prompts.append(tuple(context))
        return phrases(self, context)

    monkeypatch.setattr(PromptTemplate, "_phrases", spy)

    def contexts(name, *options):
        prompts.clear()
        run(corpus, tmp_path / name, *options)
        return set(prompts)

    assert contexts("none", "--biasing", "none") == {()}
    assert contexts("prompt", "--biasing", "prompt") == {("james", "mary")}
    # neither can be spelled with six characters: nothing is placed, and the prompt names nothing
    assert () in contexts("place", "--biasing", "place", "--biasing_threshold", "-1")
    same(hypotheses(tmp_path / "place"), hypotheses(tmp_path / "none"))
    # the two bounds: what was heard as for speech; what is in the transcript
    pair = ("--foundation", str(corpus / "pair.yaml"))
    assert contexts("ctc", "--biasing", "place", "--input", "ctc", *pair) == {()}
    assert contexts("true", "--biasing", "place", "--input", "transcript", *pair) == {(), ("mary",)}
    # one list for all, of which the best two come into the prompt
    (tmp_path / "list.txt").write_text("bead\ncafe\ndad\nfed\n")
    listed = ("--biasing", "retrieve", "--biasing_list", str(tmp_path / "list.txt"), "--biasing_prompt_phrases", "2")
    for name, retriever in (("by_ctc", "ctc"), ("by_embedding", "embedding")):
        found = contexts(name, *listed, "--biasing_retriever", retriever) - {()}  # none: what a batch is sized by
        assert found and all(len(context) == 2 and set(context) < {"bead", "cafe", "dad", "fed"} for context in found)
    (tmp_path / "list.txt").write_text("fed\n")
    with pytest.raises(UserError, match="biasing.*--overwrite true"):  # results of another list are not mixed
        run(corpus, tmp_path / "by_ctc", *listed)


def test_phrases_that_are_heard_are_placed_in_speech_and_in_the_ctc_text(corpus, tmp_path, monkeypatch):
    """With a threshold that all pass, the best phrase is in every cascade's text."""
    texts = []
    monkeypatch.setattr(TextModel, "text_embeddings", spy_texts(texts, TextModel.text_embeddings))
    (tmp_path / "list.txt").write_text("bead\ncafe\n")
    listed = ["--biasing", "place", "--biasing_list", str(tmp_path / "list.txt"), "--biasing_threshold", "-99"]
    run(corpus, tmp_path / "ctc", "--input", "ctc", "--foundation", str(corpus / "pair.yaml"), *listed)
    assert texts and all({"bead", "cafe"} & set(text.split()) for text in texts)
    placed = run(corpus, tmp_path / "speech", *listed)
    plain = run(corpus, tmp_path / "plain", "--biasing", "none")
    assert any(hypotheses(placed)[u]["token_ids"] != hypotheses(plain)[u]["token_ids"] for u in hypotheses(plain))


def spy_texts(texts, original):
    def embed(self, prompts):
        texts.extend(self.llm.tokenizer.decode(prompt.words) for prompt in prompts)
        return original(self, prompts)

    return embed


def test_several_sets_and_tasks_in_one_call(corpus, tmp_path):
    data, encodings = str(corpus / "data"), str(corpus / "encodings")
    arguments = ["--data_dir", data, data, "--encodings_dir", encodings, encodings, "--model_dir", str(corpus / "exp")]
    outputs = ["--output_dir", str(tmp_path / "one"), str(tmp_path / "two")]
    assert decode.main([*arguments, *outputs, *SHORT, "--tasks", "ast"]) == 0
    assert hypotheses(tmp_path / "one").keys() == hypotheses(tmp_path / "two").keys() == {"q0", "q3", "q6"}
    with pytest.raises(UserError, match="1 for 2 --data_dir; give as many"):
        decode.main([*arguments, *outputs[:2]])
    with pytest.raises(UserError, match=r"--tasks nli: no rows of them in .*data"):
        run(corpus, tmp_path / "three", "--tasks", "nli")


def test_a_set_without_the_chosen_tasks_is_passed_over(corpus, tmp_path, capsys):
    write_data_dir(tmp_path / "asr", [row for row in read_data_dir(corpus / "data") if row.task == "asr"])
    arguments = ["--data_dir", str(tmp_path / "asr"), str(corpus / "data"), "--encodings_dir"]
    arguments += [*[str(corpus / "encodings")] * 2, "--model_dir", str(corpus / "exp"), "--tasks", "ast", *SHORT]
    assert decode.main([*arguments, "--output_dir", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    assert hypotheses(tmp_path / "two") and not (tmp_path / "one").exists()
    assert "asr: no rows of the chosen task(s)" in capsys.readouterr().out


def test_too_many_left_out_is_an_error_after_all_good_ones_are_written(corpus, tmp_path, capsys):
    output = run(corpus, tmp_path / "out", "--max_failed", "0.01", status=1)
    assert "9.1 % of the utterances are left out" in capsys.readouterr().err
    assert len(hypotheses(output)) == 10
    run(corpus, output, "--max_failed", "0.01", status=1)  # still an error, not "already decoded"
    run(corpus, output, "--max_failed", "0.1")


def test_results_of_another_adapter_or_setting_are_not_mixed(corpus, tmp_path):
    output = run(corpus, tmp_path / "out")
    with pytest.raises(UserError, match="options.*--overwrite true"):
        run(corpus, output, "--beam_size", "2")
    run(corpus, output, "--beam_size", "2", "--overwrite", "true")
    run(corpus, output, "--beam_size", "2", "--batch_size", "2")  # which changes nothing


def test_results_of_another_setting_are_made_again_where_that_is_asked_for(corpus, tmp_path, capsys):
    remake = ("--when_changed", "remake")
    output = run(corpus, tmp_path / "out", *remake)
    before = hypotheses(output)
    run(corpus, output, "--max_length", "2", "--job", "1", "--num_jobs", "2", *remake)  # killed before job 2 began
    for job in ("1", "2"):
        run(corpus, output, "--max_length", "3", "--job", job, "--num_jobs", "2", *remake)
        assert hypotheses(output) == before, "kept until the new ones are whole"
    said = capsys.readouterr().out
    assert f"{output}: made again, for something has changed (options.max_length: 12 there, 3 now)\n" in said
    run(corpus, output, "--max_length", "3", "--num_jobs", "2", "--merge", "true", *remake)
    assert "made again" in capsys.readouterr().out
    assert max(len(answer["token_ids"]) for answer in hypotheses(output).values()) == 3
    run(corpus, output, "--max_length", "3", *remake)
    assert "already decoded" in capsys.readouterr().out


def test_a_recording_that_was_encoded_anew_is_decoded_anew(corpus, tmp_path, capsys):
    copy = tmp_path / "encodings"
    copy.mkdir()
    for path in (corpus / "encodings").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    arguments = ("--encodings_dir", str(copy), "--when_changed", "remake")
    output = run(corpus, tmp_path / "out", *arguments, encodings=False)
    settings = json.loads((output / "settings.json").read_text())
    del settings["audio"]
    (output / "settings.json").write_text(json.dumps(settings))  # as results from before it was kept
    run(corpus, output, *arguments, encodings=False)
    assert "already decoded" in capsys.readouterr().out
    table = np.load(copy / "index.npy")
    table["crc32"][0] += 1
    np.save(copy / "index.npy", table)
    run(corpus, output, *arguments, encodings=False)
    assert "made again, for something has changed (audio: " in capsys.readouterr().out


def test_encodings_of_another_encoder_are_refused(corpus, tmp_path):
    copy = tmp_path / "encodings"
    copy.mkdir()
    for path in (corpus / "encodings").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    fingerprint = json.loads((copy / "fingerprint.json").read_text())
    fingerprint["reduction"] = {"kind": "ctc_blank", "threshold": "0.5"}
    (copy / "fingerprint.json").write_text(json.dumps(fingerprint))
    with pytest.raises(UserError, match="another configuration.*reduction"):
        run(corpus, tmp_path / "out", "--encodings_dir", str(copy), encodings=False)


def test_configuration_file(corpus, decoded, tmp_path):
    (tmp_path / "decode.yaml").write_text("max_length: 3\nbeam_size: 2\nbiasing: prompt\n")
    output = run(corpus, tmp_path / "out", "--config", str(tmp_path / "decode.yaml"))
    settings = json.loads((output / "settings.json").read_text())
    assert settings["options"]["beam_size"] == 2 and settings["options"]["max_length"] == 12  # the command line wins
    (tmp_path / "decode.yaml").write_text("beam_sise: 2\n")
    with pytest.raises(UserError, match="unknown key 'beam_sise', did you mean 'beam_size'"):
        run(corpus, tmp_path / "out", "--config", str(tmp_path / "decode.yaml"))
    (tmp_path / "decode.yaml").write_text("beam_size: {a: 1}\n")
    with pytest.raises(UserError, match="must be one value"):
        run(corpus, tmp_path / "out", "--config", str(tmp_path / "decode.yaml"))


def test_drafts_are_checked_in_the_named_tasks_and_change_no_answer(corpus, decoded, tmp_path, capsys):
    """The encoder's text is the draft of this adapter, which has no CTC of its own; beam search has none."""
    assert all(h["draft_tokens"] == 0 for h in hypotheses(decoded).values())
    drafted = run(corpus, tmp_path / "asr", "--ctc_draft_source", "encoder")
    same(hypotheses(drafted), hypotheses(decoded))
    found = hypotheses(drafted)
    assert all((h["draft_tokens"] > 0) == (u[0] == "a") for u, h in found.items())
    summary = json.loads((drafted / "summary.json").read_text())
    assert summary["draft_tokens"] == sum(h["draft_tokens"] for h in found.values()) > 0 == summary["from_ctc"]
    assert "% of the tokens come from drafts" in capsys.readouterr().out
    everything = hypotheses(run(corpus, tmp_path / "all", "--ctc_draft_source", "encoder", "--ctc_draft_tasks", "all"))
    assert all(h["draft_tokens"] > 0 for h in everything.values())
    plain = hypotheses(run(corpus, tmp_path / "beam", "--ctc_draft_source", "encoder", "--beam_size", "2"))
    assert all(h["draft_tokens"] == 0 for h in plain.values())
    accept = ["--ctc_draft", "accept", "--ctc_draft_source", "encoder", "--ctc_draft_entropy", "99"]
    taken = run(corpus, tmp_path / "taken", *accept, "--max_length", "90")
    assert {u for u, h in hypotheses(taken).items() if h["from_ctc"]} == {u for u in found if u[0] == "a"}
    # the frozen LLM on text: the text itself is the draft, and nothing is taken or relaxed
    pair = ["--foundation", str(corpus / "pair.yaml"), "--input", "ctc"]
    cascade = hypotheses(run(corpus, tmp_path / "ctc", *pair, "--ctc_draft", "none"))
    relaxed = hypotheses(run(corpus, tmp_path / "ctc2", *pair, "--ctc_draft", "accept", "--ctc_draft_ratio", "1e-9"))
    same(relaxed, cascade)
    assert any(h["draft_tokens"] for h in relaxed.values()) and not any(h["from_ctc"] for h in relaxed.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ctc_draft", "accept", "--beam_size", "2"], "accept needs greedy search"),
        (["--ctc_draft_ratio", "0"], "ctc_draft_ratio must be above 0"),
        (["--job", "3", "--num_jobs", "2"], "--job must be from 1"),
        (["--beam_size", "0"], "beam_size must be at least 1"),
        (["--model_dir", "nowhere"], "nowhere.*cannot read the configuration"),
        (["--adapter_file", "nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--input", "ctc"], "needs --foundation"),
        (["--ngpu", "1"], "torch finds 0 GPU"),
        (["--ngpu", "-1"], "--ngpu takes a number of GPUs, or 0 for the CPU, not -1"),
        (["--biasing", "none", "--biasing_list", "list.txt"], "--biasing_list has no effect"),
        (["--biasing_list", "nowhere.txt"], "nowhere.txt: cannot read the phrases"),
        (["--biasing", "retrieve", "--biasing_prompt_phrases", "0"], "--biasing_prompt_phrases must be at least 1"),
        (["--biasing", "place", "--biasing_config", "nowhere.yaml"], "nowhere.yaml: cannot read the biasing options"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(corpus, tmp_path, options, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    model = ["--model_dir", str(corpus / "exp")] if options[0] not in ("--model_dir", "--input") else []
    arguments = ["--data_dir", str(corpus / "data"), "--encodings_dir", str(corpus / "encodings"), *model]
    with pytest.raises(UserError, match=words):
        decode.main([*arguments, "--output_dir", str(tmp_path / "out"), *options])


def test_help_and_a_finished_call_do_not_import_torch(corpus, decoded):
    code = "import sys; from slm_espnet.bin import decode; decode.main(sys.argv[1:]); assert 'torch' not in sys.modules"
    arguments = ["--data_dir", str(corpus / "data"), "--output_dir", str(decoded), *SHORT, "--max_failed", "0.5"]
    arguments += ["--silence", "ask"]
    arguments += ["--encodings_dir", str(corpus / "encodings"), "--model_dir", str(corpus / "exp")]
    output = subprocess.run([sys.executable, "-c", code, *arguments], text=True, capture_output=True)
    assert output.returncode == 0 and "already decoded" in output.stdout, output.stderr
    help_text = subprocess.check_output([sys.executable, "-m", "slm_espnet.bin.decode", "--help"], text=True)
    assert "--beam_size" in help_text


def test_gpus_that_are_not_there_are_said_before_anything_is_loaded(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UserError, match=r"--ngpu 2: torch finds 1 GPU\(s\); use --ngpu 1"):
        run(corpus, tmp_path / "out", "--ngpu", "2")


def test_a_language_model_is_dealt_out_to_the_gpus_of_a_job(corpus, tmp_path, monkeypatch):
    """None are here: what the loader is told."""
    from slm_espnet.decoding.run import DecodingRun

    arguments = ["--data_dir", str(corpus / "data"), "--output_dir", str(tmp_path), "--model_dir", str(corpus / "exp"),
                 "--encodings_dir", str(corpus / "encodings"), "--ngpu"]  # fmt: skip
    runs = {n: DecodingRun(decode.get_parser().parse_args([*arguments, n])) for n in "123"}
    monkeypatch.setattr("slm_espnet.llm.placement.free_memory", lambda: {n: 1000 for n in range(8)})
    assert set(runs["2"]._placed_conf["max_memory"]) == {0, 1}, "of the eight that are there"
    assert "max_memory" not in runs["1"]._placed_conf, "nothing is dealt out"
    for n, trained, expected in (("2", {0: 5, 1: 6}, {0: 5, 1: 6}), ("3", {0: 5}, {0: 5}),
                                 ("1", {0: 5, 1: 6}, {0: 900})):  # fmt: skip
        runs[n].llm_conf |= {"device_map": "auto", "max_memory": trained}
        assert runs[n]._placed_conf["max_memory"] == expected
    maps = {n: DecodingRun(decode.get_parser().parse_args([*arguments, n])).llm_conf.get("device_map") for n in "012"}
    assert maps == {"0": None, "1": None, "2": "auto"}


def test_recognition_writes_nothing_where_nobody_speaks(corpus, tmp_path, capsys):
    """As the Python API does; other tasks are asked, and a recording that was replaced by speech is, too."""
    rate, time = 16000, np.arange(16000) / 16000
    speech = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time) * (np.sin(9 * time) > 0)
    sounds = {"zeros": np.zeros(rate), "noise": 0.1 * np.random.default_rng(0).standard_normal(rate), "speech": speech}
    rows = []
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
        common = dict(audio=AudioSource(str(tmp_path / f"{name}.wav")), language="en", speaker="s", text="x")
        rows.append(Row(f"{name}-asr", prompt="recognize", task="asr", context=("james",), **common))
        rows.append(Row(f"{name}-ast", prompt="translate this speech", task="ast", **common))
    write_data_dir(tmp_path / "data", rows)
    pair = ["--foundation", str(corpus / "pair.yaml")]
    data = ["--data_dir", str(tmp_path / "data"), "--max_failed", "0.5"]
    encodings = ["--encodings_dir", str(tmp_path / "encodings")]
    encoding = [*pair, *data, "--output_dir", str(tmp_path / "encodings")]
    assert encode.main(encoding) == 0
    found = {}
    for name, source in (("cached", encodings), ("live", pair), ("asked", [*encodings, "--silence", "ask"])):
        where = ["--output_dir", str(tmp_path / name), "--model_dir", str(corpus / "exp")]
        assert decode.main([*data, *source, *where, *SHORT]) == 0
        found[name] = {utt_id for utt_id, one in hypotheses(tmp_path / name).items() if one["silent"]}
    assert found == {"cached": {"zeros-asr", "noise-asr"}, "live": {"zeros-asr", "noise-asr"}, "asked": set()}
    assert all(hypotheses(tmp_path / "cached")[name]["text"] == "" for name in found["cached"])
    assert json.loads((tmp_path / "cached/summary.json").read_text())["silent"] == 2
    assert "2 recordings hold no speech: their answer is empty" in capsys.readouterr().out
    soundfile.write(tmp_path / "zeros.wav", 0.5 * speech, rate)
    assert encode.main(encoding) == 0
    assert len(EncodingReader(tmp_path / "encodings").silent) == 1
