"""The recipe of SQuAD with spoken passages on a made-up miniature in the published layout."""

from __future__ import annotations

import json

import pytest
from corpus_fixtures import text_corpora
from corpus_fixtures.stage1 import prepare
from corpus_fixtures.text_corpora import PASSAGE, article, question
from corpus_harness import write_text

pytest.importorskip("espeakng_loader", reason="speech synthesis needs espeakng-loader")


def test_all_stages(recipes, tmp_path):
    corpus = text_corpora.squad(tmp_path / "squad")
    work = recipes.run("spoken_squad", tmp_path, SQUAD=corpus)
    scored = {row["metric"]: row for row in work.scores()}
    assert scored["f1"]["count"] == 2 and scored["f1"]["task"] == "qa" and 0 <= scored["f1"]["value"] <= 1


def test_questions_of_a_passage_share_its_speech_and_keep_all_answers(tmp_path):
    corpus = text_corpora.squad(tmp_path / "squad")
    work = prepare("spoken_squad", tmp_path, corpus)
    test = work.rows("test")
    first, second = test["squad-t-0"], test["squad-t-1"]
    assert first.audio == second.audio and first.transcript == PASSAGE
    assert first.prompt == "Answer this question about the speech: Where did the cat sit?"
    assert first.text == "the mat" and set(first.references) == {"the mat", "on the mat"}  # the most frequent first
    assert second.references == ("grey", "gray")
    sets = {name: {row.transcript for row in work.rows(name).values()} for name in ("train", "dev")}
    assert [len(sets["dev"]), len(sets["train"])] == [1, 5] and not sets["dev"] & sets["train"]


def test_bad_questions_are_left_out_and_the_others_stay(tmp_path):
    entry = question("t-5")
    del entry["question"]
    dev = [
        article("One", [question("t-0"), question("t-0"), question("t-1", answers=()), entry]),
        article(
            "Two", [question("t-2"), {**question("t-3", answers=()), "is_impossible": True}], f"{PASSAGE} Caf\u00e9."
        ),
        article("Long", [question("t-4")], "word " * 40),
        {"title": "Empty", "paragraphs": [{"context": PASSAGE}]},
        {"title": "None"},
    ]
    corpus = text_corpora.squad(tmp_path / "squad", dev=dev)
    path = corpus / "dev-v1.1.json"
    path.write_bytes(path.read_bytes().replace(rb"Caf\u00e9", b"Caf\xe9"))
    options = "--max_failed 0.99 --max_words 30"
    work = prepare("spoken_squad", tmp_path, corpus, options)
    assert {reason: len(ids) for reason, ids in work.left_out("test").items()} == {
        "duplicate id": 1,
        "question without answer": 1,
        "malformed question": 3,
        "not UTF-8": 2,
        "passage of more than 30 words": 1,
    }
    assert set(work.rows("test")) == {"squad-t-0"}
    assert "dev-v1.1.json, article 1, paragraph 1" in work.output


def test_questions_without_answer_of_the_second_version_are_left_out_by_design(tmp_path):
    corpus = text_corpora.squad(tmp_path / "squad")
    for name in ("train", "dev"):
        (corpus / f"{name}-v1.1.json").rename(corpus / f"{name}-v2.0.json")
    impossible = {**question("t-9", answers=()), "is_impossible": True}
    write_text(corpus / "dev-v2.0.json", json.dumps({"data": [article("One", [question("t-0"), impossible])]}))
    work = prepare("spoken_squad", tmp_path, corpus)
    assert work.left_out("test") == {"no answer in the passage": ["squad-t-9"]}


def test_missing_and_broken_files_are_named(tmp_path):
    corpus = text_corpora.squad(tmp_path / "squad")
    (corpus / "dev-v1.1.json").rename(tmp_path / "dev")
    work = prepare("spoken_squad", tmp_path, corpus, check=False)
    assert work.status == 2 and "dev-v1.1.json is missing" in work.output
    write_text(corpus / "dev-v1.1.json", (tmp_path / "dev").read_text()[:-20])
    work = prepare("spoken_squad", tmp_path, corpus, check=False)
    assert work.status == 2 and "dev-v1.1.json:1: not valid JSON" in work.output
    write_text(corpus / "dev-v1.1.json", "[]")
    work = prepare("spoken_squad", tmp_path, corpus, check=False)
    assert work.status == 2 and "has no list `data`" in work.output
