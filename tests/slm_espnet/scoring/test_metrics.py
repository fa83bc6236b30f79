"""Metrics on pairs whose scores are worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slm_espnet.scoring.error_rate import align, count_edits, summarize
from slm_espnet.scoring.metrics import score_group
from slm_espnet.scoring.normalizers import NORMALIZERS


def test_error_rates_in_espnet_terms():
    references = ["a b c d", "e f", "", "g"]
    hypotheses = ["a x c d y", "f", "z z", "g"]
    totals = summarize(count_edits(align(references, hypotheses)))
    # 7 words: one substituted, one deleted, 1 + 2 inserted; 3 of 4 sentences are wrong.
    assert totals.cells() == "4|7|71.4|14.3|14.3|42.9|71.4|75.0"
    scores = score_group("wer", references, hypotheses).metrics
    assert scores["wer"].value == pytest.approx(100 * 5 / 7)


def test_characters_count_spaces():
    totals = summarize(count_edits(align(["ab cd"], ["abcd"], "character")))
    assert (totals.reference, totals.deleted) == (5, pytest.approx(20))


def test_only_empty_references():
    scores = score_group("wer", ["", ""], ["", "word"])
    assert math.isnan(scores.metrics["wer"].value)
    assert scores.error_rates["WER"].cells() == "2|0|0.0|0.0|0.0|100.0|100.0|50.0"


def test_empty_hypothesis_is_all_deletions():
    assert score_group("wer", ["a b", "c d"], ["a b", ""]).metrics["wer"].value == pytest.approx(50)


def test_names_inside_and_outside_the_list():
    references = ["call rosalind now", "tell walter hello", "stop"]
    hypotheses = ["call rosalynd now", "tell walter max yellow", "stop max"]
    lists = [["rosalind", "max"], ["walter", "max"], ["max"]]
    scores = score_group("wer", references, hypotheses, lists).metrics
    assert scores["name_recall"].value == pytest.approx(1 / 2)
    assert scores["name_insertions"].value == pytest.approx(2 / 3)
    assert scores["b_wer"].value == pytest.approx(100 * 1 / 2)  # one misspelled, of two spoken listed words
    assert scores["u_wer"].value == pytest.approx(100 * 3 / 5)  # yellow, and two names that nobody said
    assert "b_wer" not in score_group("wer", references, hypotheses, [[], [], []]).metrics


def test_name_must_be_whole_words():
    scores = score_group("wer", ["see ann"], ["see anna"], [["ann"]]).metrics
    assert scores["name_recall"].value == 0


def test_translation_scores_and_their_parts_agree():
    references = ["the cat sat on the mat today", "hello there my friend", "we eat"]
    hypotheses = ["the cat sat on a mat today", "hello there my friend", ""]
    scores = score_group("bleu", references, hypotheses).metrics
    bleu = scores["bleu"]
    assert bleu.of_subset(range(3)) == pytest.approx(bleu.value)  # resampling works on the same number
    assert bleu.of_subset([1]) == pytest.approx(100)
    assert 0 < bleu.value < 100 and "tok:13a" in bleu.signature and "nc:6" in scores["chrf"].signature
    assert scores["exact_match"].value == pytest.approx(1 / 3)


def test_answers():
    scores = score_group("accuracy", ["paris", "half past two", ""], ["paris", "half past three", ""]).metrics
    assert scores["accuracy"].value == pytest.approx(2 / 3)
    assert scores["f1"].value == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_bootstrap_agrees_with_the_binomial_and_pairs_systems():
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.8
    references = ["x"] * 400
    mine = score_group("accuracy", references, ["x" if r else "y" for r in right]).metrics["accuracy"]
    binomial = math.sqrt(mine.value * (1 - mine.value) / 400)
    assert mine.standard_error() == pytest.approx(binomial, rel=0.15)
    assert mine.difference_standard_error(mine) == 0  # paired: no difference, no uncertainty
    other = score_group("accuracy", references, ["x" if r else "y" for r in rng.permutation(right)]).metrics["accuracy"]
    assert mine.difference_standard_error(other) == pytest.approx(math.sqrt(2) * binomial, rel=0.2)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("none", "  Don't  Stop. ", "Don't Stop."),
        ("basic", "Don\u2019t stop\u2014well-known \u00bfQu\u00e9? 'quoted'", "don't stop well known qu\u00e9 quoted"),
        ("basic", "\uff21\uff22 5 %", "ab 5"),
        ("basic", "\u0645\u06cc\u200c\u0631\u0648\u0645 co\u00adop a\u200bb",
         "\u0645\u06cc\u0631\u0648\u0645 coop a b"),
        ("turkish", "I\u015f\u0131k, \u0130yi! I\u0307z", "\u0131\u015f\u0131k iyi iz"),
        ("english", "Mr. Smith won't pay twenty-one", "mister smith will not pay 21"),
    ],
)
def test_normalizers(name, text, expected):
    assert NORMALIZERS[name](text) == expected
