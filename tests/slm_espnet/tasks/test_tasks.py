"""Tasks files: what they mean, what they refuse, and how targets in parts are put together and taken apart."""

from __future__ import annotations

import random

import pytest
import yaml

from slm_espnet.errors import UserError
from slm_espnet.tasks import load_tasks
from slm_espnet.tasks.languages import has_spaces, language_name

ASR = {
    "scorer": "wer",
    "normalizer": "basic",
    "prompts": {"en": ["transcribe this", "write this down"], "es": ["transcribe this spanish"]},
    "eval_prompt": {"en": "transcribe this", "es": "transcribe this spanish"},
}


def write(path, tasks, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"tasks": tasks, **more}), encoding="utf-8")
    return path


def one_wording(wording, **more):
    return {
        "scorer": "wer",
        "normalizer": "basic",
        "prompts": {"default": [wording]},
        "eval_prompt": {"default": wording},
    } | more


@pytest.fixture
def shared(top):
    return load_tasks(top / "conf/tasks/speech.yaml")


def test_evaluation_uses_one_wording_and_training_draws_from_all(tmp_path):
    task = load_tasks(write(tmp_path / "tasks.yaml", {"asr": ASR}))["asr"]
    assert (task.name, task.parts[0].scorer, task.variants) == ("asr", "wer", ("en", "es"))
    assert task.prompt(variant="en") == "transcribe this"
    assert task.prompt(language="es") == "transcribe this spanish", "the variant of the language"
    rng = random.Random(0)
    assert {task.prompt(rng, variant="en") for _ in range(50)} == {"transcribe this", "write this down"}
    with pytest.raises(UserError, match="'asr' has no prompt variant 'de'; it has en, es"):
        task.prompt(variant="de")
    with pytest.raises(UserError, match="no prompt variant 'de' or 'default'"):
        task.prompt(language="de")


def test_shared_wordings_name_languages(shared):
    needed = {"asr", "ast", "asr_biasing", "qa", "dialog", "continuation", "instruction", "asr_then_ast"}
    assert needed <= shared.keys()
    assert shared["asr"].prompt(language="de") == "Recognize this speech in German"
    assert shared["ast"].prompt(source="en", target="zh-CN") == "Translate this speech from English to Chinese"
    assert shared["qa"].prompt(question="who\n{won}?") == "Answer this question about the speech: who {won}?"
    rng = random.Random(0)
    for _ in range(30):
        assert "{" not in shared["ast"].prompt(rng, source="sv-SE", target="en_us")
    with pytest.raises(UserError, match="task 'asr'.*needs language="):
        shared["asr"].prompt()
    with pytest.raises(UserError, match="language 'xx' has no name"):
        shared["asr"].prompt(language="xx")


def test_every_shared_task_is_asked_for_in_training_as_in_evaluation(shared):
    fields = {"language": "en", "source": "en", "target": "de", "question": "q", "history": "h", "instruction": "i"}
    for task in shared.values():
        for variant in task.variants:
            asked = {task.prompt(random.Random(seed), variant=variant, **fields) for seed in range(40)}
            assert task.prompt(variant=variant, **fields) in asked, task.name


def test_a_pair_has_its_own_wording_where_there_is_one(tmp_path):
    spec = one_wording("into {target}", scorer="bleu", prompts={"default": ["into {target}"], "en_es": ["in spanish"]})
    spec["eval_prompt"] = {"default": "into {target}", "en_es": "in spanish"}
    task = load_tasks(write(tmp_path / "tasks.yaml", {"ast": spec}, languages={"de": "german"}))["ast"]
    assert task.prompt(source="en", target="es") == "in spanish"
    assert task.prompt(source="es", target="de") == "into german", "the file's name of the language"


def test_a_recipe_includes_and_overrides(tmp_path):
    shared = {"asr": one_wording("say {language}"), "qa": one_wording("ask", scorer="accuracy")}
    write(tmp_path / "conf/shared.yaml", shared, languages={"de": "german", "en": "english"})
    tasks = {"asr": {"normalizer": {"default": "none", "en": "english"}}, "mine": one_wording("my wording")}
    own = write(tmp_path / "egs/tasks.yaml", tasks, include="../conf/shared.yaml", languages={"de": "deutsch"})
    loaded = load_tasks(own)
    assert list(loaded) == ["asr", "qa", "mine"]
    assert loaded["asr"].prompt(language="de") == "say deutsch" and loaded["asr"].prompt(language="en") == "say english"
    (part,) = loaded["asr"].parts
    assert [part.normalizer_for(code) for code in ("en", "en-US", "de", "")] == ["english", "english", "none", "none"]
    write(tmp_path / "conf/shared.yaml", shared, include=["../egs/tasks.yaml"])
    with pytest.raises(UserError, match="tasks.yaml: the file includes itself"):
        load_tasks(own)
    only = tmp_path / "only.yaml"
    only.write_text("include: conf/none.yaml\n")
    with pytest.raises(UserError, match="none.yaml: cannot read"):
        load_tasks(only)


def test_a_chain_of_thought_is_joined_and_taken_apart(shared):
    task = shared["asr_then_ast"]
    target = task.join(translation="hola  amigo", transcript="hello my friend")
    assert target == "Transcript: hello my friend Translation: hola amigo"
    assert task.split(target) == ("hello my friend", "hola amigo")
    assert task.split("transcript: hello TRANSLATION: hola") == ("hello", "hola"), "whatever the case"
    assert task.split("hello Translation: hola") == ("hello", "hola"), "the first marker may be forgotten"
    assert task.split("Transcript: hello") == ("hello", "") and task.split("") == ("", "")
    assert task.split("Translation: hola") == ("", "hola")
    assert [part.scorer for part in task.parts] == ["wer", "bleu"]
    with pytest.raises(UserError, match="a marker|markers is part of a text"):
        task.join(transcript="say translation: now", translation="x")
    with pytest.raises(UserError, match="has the parts transcript, translation, not transcript"):
        task.join(transcript="x")
    with pytest.raises(UserError, match="'asr' has no parts"):
        shared["asr"].join(transcript="x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scoring": "wer"}, "unknown 'scoring'"),
        ({"scorer": "rouge"}, "unknown scorer 'rouge'; known: wer, bleu, accuracy"),
        ({"target": "summary"}, "unknown target 'summary'; known: transcript"),
        ({"normalizer": "english-uk"}, "unknown normalizer 'english-uk'"),
        ({"normalizer": {"en": "english-uk"}}, "unknown normalizer 'english-uk'"),
        ({"normalizer": {False: "basic"}}, "normalizer.*bare `no`"),
        ({"bleu_tokenize": "zh"}, "no meaning for the scorer wer"),
        ({"scorer": "bleu", "bleu_tokenize": "klingon"}, "unknown bleu_tokenize 'klingon'"),
        ({"eval_prompt": {"en": "transcribe"}}, r"prompts has the variants \['en', 'es'\], eval_prompt has \['en'\]"),
        ({"prompts": {"en": "transcribe this", "es": ["a"]}}, "variant 'en'.*list of at least one wording"),
        ({"eval_prompt": {"en": "", "es": "x"}}, "variant 'en'.*non-empty"),
        ({"eval_prompt": {"en": "in {language", "es": "x"}}, "variant 'en'.*written twice"),
        ({"eval_prompt": {"en": "in {a.b}", "es": "x"}}, "variant 'en'.*a field is a name"),
        ({"parts": {"a": {}, "b": {}}}, "unknown 'scorer'"),
    ],
)
def test_wrong_task_is_named(tmp_path, change, message):
    with pytest.raises(UserError, match=f"tasks.yaml: task 'asr'.*{message}"):
        load_tasks(write(tmp_path / "tasks.yaml", {"asr": {**ASR, **change}}))


def test_wrong_parts_are_named(tmp_path):
    wordings = {key: ASR[key] for key in ("prompts", "eval_prompt")}
    whole = {"marker": "A:", "scorer": "wer", "normalizer": "basic"}
    for parts, message in (
        ({"a": whole}, "two or more parts"),
        ({"a": whole, "b": {**whole, "marker": " "}}, "part 'b': the marker is empty"),
        ({"a": whole, "b": {"scorer": "wer"}}, "part 'b': missing 'marker', missing 'normalizer'"),
    ):
        with pytest.raises(UserError, match=f"task 'cot'.*{message}"):
            load_tasks(write(tmp_path / "tasks.yaml", {"cot": {**wordings, "parts": parts}}))


def test_missing_key_and_broken_file_are_named(tmp_path):
    with pytest.raises(UserError, match="missing 'scorer'"):
        load_tasks(write(tmp_path / "tasks.yaml", {"asr": {k: v for k, v in ASR.items() if k != "scorer"}}))
    for text in ("tasks: [asr]", "task: {}", "tasks: {", "tasks: {asr: 3}", "!!python/object/apply:os.getcwd []"):
        path = tmp_path / "broken.yaml"
        path.write_text(text)
        with pytest.raises(UserError, match="broken.yaml"):
            load_tasks(path)
    with pytest.raises(UserError, match="cannot read the tasks file"):
        load_tasks(tmp_path / "none.yaml")


def test_languages():
    assert [language_name(code) for code in ("no", "cmn_hans_cn", "zh-TW", "pt-BR")] == [
        "Norwegian", "Mandarin Chinese", "Taiwanese Mandarin", "Portuguese"
    ]  # fmt: skip
    assert [has_spaces(code) for code in ("en", "zh-CN", "ja", "ko", "")] == [True, False, False, True, True]


def test_the_tasks_files_of_all_recipes_are_understood(top):
    files = sorted(top.glob("egs2/*/slm1/conf/tasks.yaml"))
    assert len(files) >= 3
    for path in files:
        assert load_tasks(path), path
