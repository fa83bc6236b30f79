"""Answers of every task were cut at twice the length of the transcript; that is right for recognition alone."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile

from slm_espnet.data.corpus import CorpusWriter
from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.decoding.requests import with_repeats
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.inference import Decoder, Request, TextModel
from slm_espnet.llm.build import build_llm
from slm_espnet.prompt import PromptTemplate
from slm_espnet.tasks import load_tasks
from slm_espnet.tasks.recognition import RECOGNITION_TASKS, recognition_tasks, recognition_tasks_of

ROOT = Path(__file__).resolve().parents[2]
OWN = (
    "tasks: {lyrics: {scorer: wer, normalizer: basic, prompts: {default: [Write the words]}, "
    "eval_prompt: {default: Write the words}}, qa: {scorer: accuracy, normalizer: basic, prompts: {default: [Answer]}, "
    "eval_prompt: {default: Answer}}}\n"
)


def test_the_default_names_are_those_of_the_shared_tasks():
    tasks = load_tasks(ROOT / "conf" / "tasks" / "speech.yaml")
    assert {name for name, task in tasks.items() if task.is_recognition} == set(RECOGNITION_TASKS)


def test_a_tasks_file_says_what_recognition_is(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "tasks.yaml").write_text(OWN, encoding="utf-8")
    (tmp_path / "exp" / "slm_x").mkdir(parents=True)
    expected = {"asr", "asr_biasing", "lyrics"}
    assert set(recognition_tasks(load_tasks(tmp_path / "conf" / "tasks.yaml"))) == expected
    assert set(recognition_tasks_of(tmp_path / "exp" / "slm_x")) == expected
    assert recognition_tasks_of(None) == RECOGNITION_TASKS


def test_only_recognition_is_bounded_by_what_was_said(tiny_llama):
    """A random LLM writes to the bound: 2 x 4 + 3 tokens for recognition, max_length for a question."""
    llm = build_llm("hf_causal", {"model": str(tiny_llama), "dtype": "float32"})
    llm.stop_ids = frozenset()
    common = {"audio": AudioSource("a.wav"), "text": "x", "prompt": "p", "language": "en", "speaker": "s"}
    rows = [Row(name, task=name, **common) for name in ("asr", "qa", "asr_biasing")]
    requests = with_repeats([Request(row.utt_id, "say", text="book") for row in rows], rows, RECOGNITION_TASKS)
    options = DecodingOptions(max_length=40, max_length_offset=3, loop_repeats=0)
    found = dict(Decoder(TextModel(llm, PromptTemplate()), options).decode(requests))
    assert {name: len(answer.token_ids) for name, answer in found.items()} == {"asr": 11, "qa": 40, "asr_biasing": 11}
    assert all(answer.truncated for answer in found.values())
    assert [r.repeats for r in with_repeats(requests, rows, RECOGNITION_TASKS, ["qa"])] == [False, True, False]
    assert all(r.recognizes == (r.utt_id != "qa") for r in map(replace, requests))


def test_rows_of_a_recipes_own_recognition_task_carry_their_transcript(tmp_path):
    """So that CTC, the bounds and the teacher know what was said without the tasks file."""
    (tmp_path / "tasks.yaml").write_text(OWN, encoding="utf-8")
    writer = CorpusWriter(SimpleNamespace(tasks_config=tmp_path / "tasks.yaml", seed=1))
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    common = {"audio": AudioSource(str(tmp_path / "a.wav")), "text": "la la", "language": "en", "speaker": "s"}
    for task in ("lyrics", "qa"):
        writer.add("train", Row(task, prompt=writer.prompt(task, task, training=False), task=task, **common), "here")
    found = {name: row.transcript for name, (row, _) in writer.sets["train"].rows.items()}
    assert found == {"lyrics": "la la", "qa": None}
