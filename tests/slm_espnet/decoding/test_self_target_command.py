"""The command that lets the frozen LLM answer: the shipped mini LLM on made-up rows; no audio is needed."""

import json

import pytest
import torch
from transformers import AutoTokenizer, T5ForConditionalGeneration

from slm_espnet.bin import self_target
from slm_espnet.data.datadir import AudioSource, Row, read_data_dir
from slm_espnet.data.validate import validate
from slm_espnet.data.writer import write_data_dir
from slm_espnet.errors import UserError
from slm_espnet.foundation import load_foundation
from slm_espnet.llm.build import build_tokenizer
from slm_espnet.training.build import build_template
from slm_espnet.training.preprocessor import SLMPreprocessor
from slm_espnet.training.self_targets import read_marker

WORDS = (
    "i want to fly from seville to singapore on thursday",
    "call james on monday at nine",
    "my neighbor saw a black bird in istanbul",
    "turn off the lights in the kitchen",
    "book a table for two people",
)
INSTRUCTIONS = """
per_utterance: 2
instructions:
  continuation: [continue the speech, what does the speaker say next]
  dialog: [answer the speaker]
  category: [what is the topic of this speech]
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A data directory of five segments and a row without transcript, and the instructions."""
    folder = tmp_path_factory.mktemp("self")
    common = {"prompt": "recognize this speech in english", "task": "asr", "language": "en", "speaker": "s"}
    rows = [
        Row(f"u{n}", AudioSource(str(folder / "long.wav"), 2.0 * n, 2.0 * n + 1.5), text, category="c", **common)
        for n, text in enumerate(WORDS)
    ]
    rows.append(Row("u9", AudioSource(str(folder / "long.wav"), 20.0, 21.0), "hola", **{**common, "task": "ast"}))
    write_data_dir(folder / "data/train", rows)
    (folder / "instructions.yaml").write_text(INSTRUCTIONS)
    return folder


@pytest.fixture(scope="module")
def make(work, top):
    """Runs the command; returns its exit status."""

    def run(output, *options):
        arguments = ["--data_dir", work / "data/train", "--foundation", top / "conf/foundation/mini.yaml"]
        arguments += ["--instructions", work / "instructions.yaml", "--output_dir", output, *options]
        return self_target.main([str(argument) for argument in arguments])

    return run


@pytest.fixture(scope="module")
def made(work, make):
    """The directory that one job made."""
    assert make(work / "data/train_self") == 0
    return work / "data/train_self"


def test_targets_are_the_llms_own_text_to_text_answers_token_by_token(made, top):
    foundation = load_foundation(top / "conf/foundation/mini.yaml")
    tokenizer = AutoTokenizer.from_pretrained(foundation.llm_conf["model"])
    model = T5ForConditionalGeneration.from_pretrained(foundation.llm_conf["model"]).eval()
    separator = tokenizer.convert_tokens_to_ids("<sp>")
    preprocessor = SLMPreprocessor(
        build_template(foundation.prompt_conf), build_tokenizer(foundation.llm, foundation.llm_conf)
    )
    rows = read_data_dir(made)
    assert len(rows) == 2 * len(WORDS)
    for row in rows:
        words, instruction = (tokenizer.encode(text, add_special_tokens=False) for text in (row.transcript, row.prompt))
        ids = torch.tensor([[*words, separator, *instruction, tokenizer.eos_token_id]])
        answer = model.generate(ids, max_new_tokens=60, do_sample=False, num_beams=1)[0].tolist()[1:]
        assert list(preprocessor.target_ids(row)) == answer, row
    assert read_marker(made)["in_other_tokens"] == 0


def test_rows_share_the_audio_of_their_source_and_keep_the_instructions_task(made, work):
    source = {row.utt_id: row for row in read_data_dir(work / "data/train")}
    rows = read_data_dir(made)
    for row in rows:
        original = source[row.utt_id.partition("-self-")[0]]
        assert row.audio.key == original.audio.key and row.transcript == original.text and row.category == "c"
    assert {row.task for row in rows} == {"continuation", "dialog", "category"}
    assert validate(made, audio="none").good
    assert (made / "same_audio_as").read_text() == "train\n"
    marker = read_marker(made)
    assert marker["source"] == "train" and sum(marker["tasks"].values()) == marker["rows"] == len(rows)
    assert marker["left_out"] == {"no transcript": 1}
    assert (made / "left_out.tsv").read_text() == "u9\tno transcript\n"
    assert marker["settings"]["llm"]["weights_sha256"] and read_marker(work / "data/train") is None


def test_killed_jobs_go_on_and_give_the_same_directory(made, make, tmp_path, capsys):
    output = tmp_path / "self"
    jobs = [("--job", 1, "--num_jobs", 2), ("--job", 2, "--num_jobs", 2)]
    for job in jobs:
        assert make(output, *job, "--batch_size", 2) == 0
    assert not (output / "wav.scp").exists(), "jobs do not write the directory, merging does"
    first = output / "answers/hypotheses.1.jsonl"
    written = first.read_bytes()
    first.write_bytes(written[: len(written) * 2 // 3])  # killed while it wrote, before it was done
    (output / "answers/done.1").unlink()
    with pytest.raises(UserError, match=r"job\(s\) 1 of 2 are not done"):
        make(output, "--num_jobs", 2, "--merge", "true")
    kept = first.read_bytes().count(b"\n")
    capsys.readouterr()
    assert kept > 0 and make(output, *jobs[0], "--batch_size", 2) == 0
    assert f"{kept} of them decoded before" in capsys.readouterr().out
    assert make(output, "--num_jobs", 2, "--merge", "true") == 0
    for name in ("text", "prompt", "utt2task", "wav.scp", "segments", "transcript"):
        assert (output / name).read_bytes() == (made / name).read_bytes()
    stamp = (output / "text").stat().st_mtime_ns
    for job in (*jobs, ("--num_jobs", 2, "--merge", "true")):
        assert make(output, *job) == 0
    assert (output / "text").stat().st_mtime_ns == stamp
    (output / "self_targets.json").unlink()  # killed between merging and the end of writing
    assert make(output, "--num_jobs", 2, "--merge", "true") == 0 and read_marker(output) is not None


def test_other_questions_are_refused_and_made_with_overwrite(make, work, tmp_path):
    output = tmp_path / "self"
    assert make(output) == 0
    before = (output / "prompt").read_text()
    with pytest.raises(UserError, match="other settings.*--overwrite true"):
        make(output, "--seed", 2)
    assert make(output, "--seed", 2, "--overwrite", "true") == 0
    assert (output / "prompt").read_text() != before and read_marker(output)["seed"] == 2
    with pytest.raises(UserError, match="another directory"):
        make(work / "data/train")


def test_too_many_unusable_answers_are_an_error_and_no_directory(make, tmp_path, capsys):
    assert make(tmp_path, "--max_length", 1) == 1
    assert "left out: 10 answer longer than the search allows" in capsys.readouterr().out
    assert not (tmp_path / "wav.scp").exists() and read_marker(tmp_path) is None
    reasons = [line.split("\t")[1] for line in (tmp_path / "left_out.tsv").read_text().splitlines()]
    assert len(reasons) == 11


def test_help_needs_no_torch(top):
    import subprocess
    import sys

    code = "import sys\nfrom slm_espnet.bin import self_target as c\nc.get_parser(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=top)


def test_a_damaged_marker_is_said(tmp_path):
    (tmp_path / "self_targets.json").write_text(json.dumps({})[:1])
    with pytest.raises(UserError, match="damaged"):
        read_marker(tmp_path)
