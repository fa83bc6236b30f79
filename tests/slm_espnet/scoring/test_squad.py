"""Exact match and F1 as SQuAD's script gives them, worked out by hand."""

from __future__ import annotations

import pytest

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.scoring.decoded import Decoded
from slm_espnet.scoring.evaluate import Run, evaluate_set
from slm_espnet.scoring.metrics import score_group
from slm_espnet.scoring.squad import answer_scores, normalize_answer
from slm_espnet.tasks import load_tasks


def test_articles_punctuation_and_case_do_not_count():
    assert normalize_answer("  The Broncos' A-team, an  example.") == "broncos ateam example"
    assert normalize_answer("theatre") == "theatre"


def test_the_best_answer_counts():
    answers = [["Denver Broncos", "the Broncos"], ["gold"], ["a"], ["one two three four"]]
    scores = answer_scores(answers, ["broncos", "golden", "", "two one"])
    assert scores[0].tolist() == [1.0, 1.0]
    assert scores[1].tolist() == [0.0, 0.0]
    assert scores[2].tolist() == [1.0, 0.0]  # as the script has it: two empty texts match, and share no word
    assert scores[3].tolist() == [0.0, pytest.approx(2 * 1 * 0.5 / 1.5)]


def test_repeated_words_count_once_each():
    assert answer_scores([["a b b"]], ["b b b"])[0, 1] == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))


def test_without_alternatives_the_target_is_the_answer():
    scores = score_group("squad", ["the cat", "dog"], ["cat", ""]).metrics
    assert scores["exact_match"].value == 0.5 and scores["f1"].value == 0.5


def test_a_test_set_is_scored_by_its_references(tmp_path):
    (tmp_path / "tasks.yaml").write_text(
        "tasks: {qa: {scorer: squad, normalizer: none, prompts: {default: [ask]}, eval_prompt: {default: ask}}}"
    )
    right = ("Denver Broncos", "Broncos")
    rows = [
        Row("a", AudioSource("a.wav"), right[0], "ask", "qa", "en", "s", references=right),
        Row("b", AudioSource("b.wav"), "gold", "ask", "qa", "en", "s"),
    ]
    decoded = Decoded("d", {"a": "the Broncos", "b": "Gold"}, frozenset(), frozenset(), {})
    run = Run(load_tasks(tmp_path / "tasks.yaml"), frozenset(), "greedy")
    scores = evaluate_set("test", rows, {"slm": decoded}, run)
    assert {row["metric"]: row["value"] for row in scores.results} == {"exact_match": 1.0, "f1": 1.0}
