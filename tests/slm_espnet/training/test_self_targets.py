"""What is asked about recordings, and which answers become targets."""

import json
import random

import pytest
import yaml

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.errors import UserError
from slm_espnet.training.self_targets import (
    Instructions,
    ask,
    check_own_answers,
    load_instructions,
    take_answers,
    trained_and_self_tasks,
)

ANSWER = {"text": "yes", "token_ids": [5], "truncated": False, "looped": False}
TASKS = {
    "ast": {
        "scorer": "bleu",
        "normalizer": "basic",
        "prompts": {"en_es": ["say this in spanish"], "es_en": ["say this in english"]},
        "eval_prompt": {"en_es": "say this in spanish", "es_en": "say this in english"},
    },
    "translate": {
        "scorer": "bleu",
        "normalizer": "basic",
        "prompts": {"default": ["from {source} to {target}"]},
        "eval_prompt": {"default": "from {source} to {target}"},
    },
    "qa": {
        "scorer": "accuracy",
        "normalizer": "basic",
        "prompts": {"person": ["who", "which person"], "city": ["where"]},
        "eval_prompt": {"person": "who", "city": "where"},
    },
}


def row(utt_id, recording, task="asr", text="hello there", language="en", **more):
    return Row(utt_id, AudioSource(f"{recording}.wav"), text, "write", task, language, "s", **more)


def load(folder, values, tasks=TASKS):
    (folder / "instructions.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (folder / "tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks}), encoding="utf-8")
    return load_instructions(folder / "instructions.yaml", folder / "tasks.yaml")


def test_each_recording_is_asked_once_about_the_words_that_are_spoken():
    instructions = Instructions({"repeat": {"default": ("say it",)}})
    rows = [
        row("a-ast", "r0", "ast", "hola", category="c", context=("mary",)),  # has no transcript, the next row does
        row("a-asr", "r0"),
        row("b-ast", "r1", "ast", "adios", transcript="good bye"),
        row("c-ast", "r2", "ast", "nada"),
    ]
    questions, skipped = ask(rows, instructions, seed=1)
    assert [(q.utt_id, q.transcript) for q in questions] == [
        ("a-asr-self-repeat", "hello there"),
        ("b-ast-self-repeat", "good bye"),
    ]
    assert {q.prompt for q in questions} == {"say it"} and {q.task for q in questions} == {"repeat"}
    assert [q.audio for q in questions] == [rows[1].audio, rows[2].audio] and questions[0].context == ()
    assert skipped == {"c-ast": "no transcript"}


def test_the_draw_is_that_of_its_seed_and_covers_tasks_and_wordings():
    wordings = {name: {"default": (f"{name} 1", f"{name} 2")} for name in "xyz"}
    rows = [row(f"u{n:03d}", f"r{n}") for n in range(120)]
    one = Instructions(wordings)
    drawn = [ask(rows, one, seed)[0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 120
    assert {q.prompt for q in drawn[0]} == {f"{name} {n}" for name in "xyz" for n in (1, 2)}
    assert ask(rows[60:], one, 1)[0] == drawn[0][60:], "what a recording is asked does not depend on the others"
    two = ask(rows, Instructions(wordings, per_utterance=2), 1)[0]
    assert len(two) == 240 and all(a.audio != b.audio or a.task != b.task for a, b in zip(two, two[1:], strict=False))
    for count in (0, 7):
        assert len(ask(rows, Instructions(wordings, per_utterance=count), 1)[0]) == 360


def test_wordings_and_variants_are_those_of_the_language_spoken(tmp_path):
    instructions = load(
        tmp_path,
        {
            "instructions": {"repeat": {"es": ["repite"]}},
            "tasks": ["ast", "qa", "translate"],
            "target_languages": ["de", "en"],
        },
    )

    def prompts(name, language):
        return {instructions.draw(name, language, random.Random(n)) for n in range(30)}

    assert prompts("repeat", "es") == {("repite", None)} and prompts("repeat", "en") == {None}
    assert prompts("ast", "en") == {("say this in spanish", "es")}
    assert prompts("ast", "es-MX") == {("say this in english", "en")} and prompts("ast", "fr") == {None}
    assert prompts("qa", "es") == {("who", None), ("which person", None), ("where", None)}
    assert prompts("translate", "en") == {("from English to German", "de")}
    assert prompts("translate", "es") == {("from Spanish to German", "de"), ("from Spanish to English", "en")}
    only = Instructions({"repeat": {"es": ("repite",)}})
    assert ask([row("u", "r0")], only, 1) == ([], {"u": "no instruction for language en"})


def test_only_whole_answers_of_one_line_become_targets():
    questions, _ = ask([row(f"u{n}", f"r{n}") for n in range(6)], Instructions({"x": {"default": ("do",)}}), 1)
    changes = [{"text": " yes  indeed "}, {"truncated": True}, {"looped": True}, {"text": " "}, {"text": "one\ntwo"}]
    answers = {q.utt_id: {**ANSWER, **change} for q, change in zip(questions, changes, strict=False)}
    rows, reasons = take_answers(questions, answers, {"u5-self-x": "input longer than the language model reads"})
    assert [(r.utt_id, r.text) for r in rows] == [("u0-self-x", "yes indeed")]
    assert list(reasons.values()) == [
        "answer longer than the search allows",
        "answer repeats itself without end",
        "empty answer",
        "answer of several lines",
        "input longer than the language model reads",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"instructons": {}}, "has instructons; the keys of instructions are per_utterance, instructions"),
        (["a"], "has no keys at all"),
        ({"instructions": {"x": []}}, "x: default must be a list of wordings"),
        ({"instructions": {"x": {"en": ["do", " "]}}}, "x: en must be a list of wordings"),
        ({"instructions": ["x"]}, "must map names of tasks to wordings"),
        ({"tasks": ["qaa"]}, "task 'qaa' is not in .*tasks.yaml, which has ast, .*qa"),
        ({"tasks": "qa"}, "tasks must be a list of names"),
        ({"tasks": ["qa"], "instructions": {"qa": ["who"]}}, "qa is under instructions and under tasks"),
        ({"per_utterance": 2}, "holds no instruction"),
        ({"per_utterance": -1, "tasks": ["qa"]}, "per_utterance must be a whole number"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, values, message):
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, values)
    assert "\n" not in str(caught.value)


def test_tasks_need_a_tasks_file(tmp_path):
    (tmp_path / "i.yaml").write_text("tasks: [qa]\n")
    with pytest.raises(UserError, match="--tasks_config"):
        load_instructions(tmp_path / "i.yaml", None)
    with pytest.raises(UserError, match="cannot read the instructions"):
        load_instructions(tmp_path / "absent.yaml", None)


def test_a_task_with_labels_is_trained_and_one_with_own_answers_alone_is_self(tmp_path):
    for name in ("train", "train_self"):
        (tmp_path / name).mkdir()
    (tmp_path / "train_self/self_targets.json").write_text(json.dumps({"settings": {"llm": {"weights_sha256": "a"}}}))
    directories = [tmp_path / "train", tmp_path / "train_self"]
    groups = [("train", "asr", "en"), ("train_self", "asr", "en"), ("train_self", "dialog", "en")]
    assert trained_and_self_tasks(groups, directories) == (["asr"], ["dialog"])
    by_path = [(str(tmp_path / "train_self"), "dialog", "en"), (str(tmp_path / "train"), "qa", "en")]
    assert trained_and_self_tasks(by_path, directories) == (["qa"], ["dialog"])
    check_own_answers(directories, {"model": "m", "weights_sha256": "a"})
    with pytest.raises(UserError, match="answers of an LLM with weights a, not of m with b"):
        check_own_answers(directories, {"model": "m", "weights_sha256": "b"})
