"""The tasks file: what it means, and what it refuses."""

from __future__ import annotations

import random

import pytest
import yaml

from slm_espnet.errors import UserError
from slm_espnet.tasks import load_tasks, prompt

ASR = {
    "scorer": "wer",
    "normalizer": "basic",
    "prompts": {"en": ["transcribe this", "write this down"], "es": ["transcribe this spanish"]},
    "eval_prompt": {"en": "transcribe this", "es": "transcribe this spanish"},
}


def write(tmp_path, tasks):
    path = tmp_path / "tasks.yaml"
    path.write_text(yaml.safe_dump({"tasks": tasks}), encoding="utf-8")
    return path


def test_evaluation_uses_one_wording_and_training_draws_from_all(tmp_path):
    task = load_tasks(write(tmp_path, {"asr": ASR}))["asr"]
    assert (task.name, task.scorer, task.variants) == ("asr", "wer", ("en", "es"))
    assert prompt(task, "en") == "transcribe this"
    rng = random.Random(0)
    assert {prompt(task, "en", rng) for _ in range(50)} == {"transcribe this", "write this down"}
    with pytest.raises(UserError, match="'asr' has no prompt variant 'de'; it has en, es"):
        prompt(task, "de")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scoring": "wer"}, "unknown 'scoring'"),
        ({"scorer": "rouge"}, "unknown scorer 'rouge'; known: wer, bleu, accuracy"),
        ({"normalizer": "english-uk"}, "unknown normalizer 'english-uk'"),
        ({"eval_prompt": {"en": "transcribe"}}, r"prompts has the variants \['en', 'es'\], eval_prompt has \['en'\]"),
        ({"prompts": {"en": "transcribe this", "es": ["a"]}}, "variant 'en'.*list of at least one wording"),
        ({"eval_prompt": {"en": "", "es": "x"}}, "variant 'en'.*non-empty"),
    ],
)
def test_wrong_task_is_named(tmp_path, change, message):
    with pytest.raises(UserError, match=f"tasks.yaml: task 'asr'.*{message}"):
        load_tasks(write(tmp_path, {"asr": {**ASR, **change}}))


def test_missing_key_and_broken_file_are_named(tmp_path):
    with pytest.raises(UserError, match="missing 'scorer'"):
        load_tasks(write(tmp_path, {"asr": {k: v for k, v in ASR.items() if k != "scorer"}}))
    for text in ("tasks: [asr]", "task: {}", "tasks: {", "!!python/object/apply:os.getcwd []"):
        path = tmp_path / "broken.yaml"
        path.write_text(text)
        with pytest.raises(UserError, match="broken.yaml"):
            load_tasks(path)
    with pytest.raises(UserError, match="cannot read the tasks file"):
        load_tasks(tmp_path / "none.yaml")
