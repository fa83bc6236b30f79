"""A small experiment on disk: two sets, three systems, results worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

# utterance: speaker, task, language, target, transcript, SLM, cascade, bound
UTTERANCES = {
    "ann-1-asr": ("ann", "asr", "en", "Call Walter now.", None, "call walter now", "call water now", "call walter now"),
    "ann-1-qa": ("ann", "qa", "en", "walter", "call walter now", "walter", "water", "walter"),
    "bob-1-asr": ("bob", "asr", "en", "stop", None, "shop", "stop", "stop"),
    "bob-2-asr": ("bob", "asr", "es", "hola amigo", None, "hola", "ola amigo", "hola amigo"),
    "bob-2-ast": ("bob", "ast", "es", "he is my friend", "hola amigo", "he is my friend", "oh", "he is my friend"),
}
SYSTEMS = ("slm", "cascade", "bound")


def write_lines(path: Path, lines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def wording(scorer: str) -> dict:
    return {"scorer": scorer, "normalizer": "basic", "prompts": {"default": ["do"]}, "eval_prompt": {"default": "do"}}


@pytest.fixture
def experiment(tmp_path) -> SimpleNamespace:
    data = tmp_path / "data" / "test"
    columns = {"utt2spk": 0, "utt2task": 1, "utt2lang": 2, "text": 3, "transcript": 4}
    for name, column in columns.items():
        write_lines(data / name, (f"{u} {v[column]}" for u, v in sorted(UTTERANCES.items()) if v[column] is not None))
    write_lines(data / "wav.scp", (f"{u} {u.rpartition('-')[0]}.wav" for u in sorted(UTTERANCES)))
    write_lines(data / "prompt", (f"{u} do" for u in sorted(UTTERANCES)))
    tasks = {"asr": wording("wer"), "qa": wording("accuracy"), "ast": wording("bleu")}
    (tmp_path / "tasks.yaml").write_text(yaml.safe_dump({"tasks": tasks}))
    places = ("exp/slm_seed3/decode_greedy", "exp/ctc", "exp/true")
    directories = {system: tmp_path / place for system, place in zip(SYSTEMS, places, strict=True)}
    for number, directory in enumerate(directories.values(), start=5):
        write_lines(directory / "test" / "text", (f"{u} {v[number]}" for u, v in sorted(UTTERANCES.items())))
        rows = ({"utt_id": u, "truncated": u == "bob-1-asr", "looped": False} for u in UTTERANCES)
        write_lines(directory / "test" / "hypotheses.jsonl", map(json.dumps, rows))
    write_lines(tmp_path / "exp/slm_seed3/config.yaml", ["seed: 3"])
    options = ["--exp_dir", tmp_path / "exp/slm_seed3", "--inference_tag", "greedy", "--datadir", tmp_path / "data"]
    options += ["--test_sets", "test", "--tasks_config", tmp_path / "tasks.yaml", "--train_tasks", "asr"]
    options += ["--cascade_dir", directories["cascade"], "--bound_dir", directories["bound"]]
    exp_dir = tmp_path / "exp/slm_seed3"
    return SimpleNamespace(exp_dir=exp_dir, data=data, options=[str(o) for o in options], **directories)
