"""The recipe of Schema-Guided Dialogue on a made-up miniature in the published layout."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from corpus_fixtures import text_corpora
from corpus_fixtures.stage1 import prepare
from corpus_fixtures.text_corpora import dialogue, system, user
from corpus_harness import write_text

pytest.importorskip("espeakng_loader", reason="speech synthesis needs espeakng-loader")

REAL = Path(__file__).resolve().parents[3] / "shared/data/text/sgd"


def test_all_stages(recipes, tmp_path):
    corpus = text_corpora.sgd(tmp_path / "sgd")
    work = recipes.run("sgd", tmp_path, SGD=corpus, options=("--local_data_opts", "--subset 8"))
    scored = {(row["task"], row["metric"]): row for row in work.scores()}
    assert scored["dialog_state", "joint_goal_accuracy"]["count"] + scored["dialog", "bleu"]["count"] == 8
    assert 0 <= scored["dialog_state", "joint_goal_accuracy"]["value"] <= 1


def test_replies_and_states_of_a_turn_share_its_speech(tmp_path):
    corpus = text_corpora.sgd(tmp_path / "sgd")
    work = prepare("sgd", tmp_path, corpus)
    test = work.rows("test")
    assert len(test) == 3 * 2 * 2
    reply, state = (test[f"sgd-test-1_00001-02-{task}"] for task in ("dialog", "dialog_state"))
    assert reply.audio == state.audio and reply.transcript == state.transcript == "in San Jose"
    assert reply.text == "I have reserved it."
    assert reply.prompt == (
        "Reply to the user as the assistant. Services: Restaurants_2 (Find places to eat), intents: ReserveRestaurant "
        "(Reserve a table). The conversation so far: User: a table for 2 please Assistant: In which city?"
    )
    assert state.text == "Restaurants_2: intent = ReserveRestaurant; seats = 2; city = San Jose"
    assert state.references == ("Restaurants_2: intent = ReserveRestaurant; seats == 2; city = San Jose | SJ",)
    assert "seats (Number of seats: 1 or 2)" in state.prompt and "conversation so far" in state.prompt
    first = test["sgd-test-1_00001-00-dialog"]
    assert "conversation" not in first.prompt and first.speaker == reply.speaker
    assert {row.speaker for row in test.values()}.isdisjoint({row.speaker for row in work.rows("train").values()})


def test_history_schema_and_tasks_are_options(tmp_path):
    corpus = text_corpora.sgd(tmp_path / "sgd")
    options = "--history 1 --schema names --tasks dialog_state --subset 6"
    rows = prepare("sgd", tmp_path, corpus, options).rows("test")
    assert set(rows) == {f"sgd-test-1_{d:05d}-{t}-dialog_state" for d in range(3) for t in ("00", "02")}
    prompt = rows["sgd-test-1_00000-02-dialog_state"].prompt
    assert prompt.endswith("slots: city, seats (1 or 2). The conversation so far: Assistant: In which city?")
    options = "--history 0 --schema none --tasks dialog --subset 1"
    (row,) = prepare("sgd", tmp_path / "plain", corpus, options).rows("test").values()
    assert row.prompt == "Reply to the user as the assistant"


def test_bad_dialogues_are_left_out_and_the_others_stay(tmp_path):
    corpus = text_corpora.sgd(tmp_path / "sgd")
    ends_early = {**dialogue("1_00001"), "turns": [user("yes please", {})]}
    strange = {**dialogue("1_00002"), "services": ["Hotels_9"]}
    slotless = {**dialogue("1_00003"), "turns": [user("hi", {"stars": ["5"]}), system("hello")]}
    speakerless = {**dialogue("1_00004"), "turns": [{"utterance": "hi", "frames": []}]}
    mute = {**dialogue("1_00005"), "turns": [user("?!", {}), system("Pardon?")]}
    found = [dialogue("1_00000"), ends_early, strange, slotless, speakerless, mute, dialogue("1_00000"), "nothing"]
    write_text(corpus / "test/dialogues_001.json", json.dumps(found))
    work = prepare("sgd", tmp_path, corpus, "--max_failed 0.99")
    left_out = {reason: len(ids) for reason, ids in work.left_out("test").items()}
    assert left_out == {
        "no target": 1,  # of the dialogue that ends with the user; its state stays
        "service without schema": 1,
        "malformed dialogue": 2,
        "nothing to say": 2,
        "duplicate id": 4,
        "malformed record": 1,
    }
    assert "'stars' is missing" in work.output and "Hotels_9" in work.output
    assert len(work.rows("test")) == 4 + 1


def test_missing_parts_of_the_corpus_are_named(tmp_path):
    corpus = text_corpora.sgd(tmp_path / "sgd")
    (corpus / "dev/dialogues_001.json").unlink()
    work = prepare("sgd", tmp_path, corpus, check=False)
    assert work.status == 2 and "dev: no dialogues_*.json" in work.output
    (corpus / "test/schema.json").unlink()
    work = prepare("sgd", tmp_path, corpus, check=False)
    assert work.status == 2 and "test/schema.json is missing" in work.output and "SGD=" in work.output


@pytest.mark.skipif(not REAL.is_dir(), reason="no Schema-Guided Dialogue beside the checkout (../shared)")
def test_published_dialogues(tmp_path):
    """All published dialogues that are there are understood, and every state is read back as it was written."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2] / "egs2/sgd/slm1/local"))
    from dialogues import Dialogue, read_dialogues, read_schema

    from slm_espnet.scoring.dialog_state import state_scores, write_state

    turns = states = 0
    for part in ("dev", "test"):
        for path in REAL.glob(f"{part}_*.json.gz"):
            name = path.name.removeprefix(f"{part}_").removesuffix(".gz")
            write_text(tmp_path / part / name, gzip.decompress(path.read_bytes()))
        for found in read_dialogues(tmp_path / part, read_schema(tmp_path / part / "schema.json")):
            assert isinstance(found, Dialogue), found
            turns += sum(turn.by_user for turn in found.turns)
            spoken = [turn.states for turn in found.turns if turn.states]
            references = [write_state(state, reference=True) for state in spoken]
            sums = state_scores(references, [write_state(state) for state in spoken])
            for state, (right, services) in zip(spoken, sums["joint_goal_exact"], strict=True):
                assert right == services == len(state), write_state(state)
            states += len(spoken)
    assert turns == states > 3000
