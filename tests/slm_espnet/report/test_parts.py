"""Parts of a page: alignments, curves, lengths, drawings."""

from __future__ import annotations

import numpy as np
import pytest

from slm_espnet.report import charts
from slm_espnet.report.curves import read_curve, read_seen
from slm_espnet.report.examples import Group, Token, to_tokens
from slm_espnet.report.lengths import by_length
from slm_espnet.report.names import label_of
from slm_espnet.scoring.error_rate import align
from slm_espnet.training.curve import CURVE, write_curve

from .conftest import RESULTS_LINE


def test_an_alignment_as_a_reader_would_write_it():
    edits = align(["the cat sat on the mat"], ["the bat sat the mat now"])[0]
    assert to_tokens(edits) == [
        Token("same", "the", "the"),
        Token("substituted", "cat", "bat"),
        Token("same", "sat", "sat"),
        Token("deleted", "on", ""),
        Token("same", "the mat", "the mat"),
        Token("inserted", "", "now"),
    ]
    assert to_tokens(align([""], ["so"])[0]) == [Token("inserted", "", "so")]
    characters = to_tokens(align(["ありがとう"], ["ありがと"], "character")[0], "")
    assert characters == [Token("same", "ありがと", "ありがと"), Token("deleted", "う", "")]


def test_curve_of_a_log_and_of_a_table(tmp_path):
    lines = [RESULTS_LINE.format(epoch=epoch, train=4.0, valid=3 / epoch) for epoch in (1, 2)]
    (tmp_path / "train.log").write_text("# a command\n" + "".join(lines) + "an epoch results: [train] loss=\n")
    curve = read_curve(tmp_path)
    assert curve.origin == "train.log" and curve.epochs() == 2
    assert curve.line("valid", "loss") == ([1, 2], [3.0, 1.5])
    assert curve.line("train", "grad_norm") == ([1, 2], [1500.0, 1500.0])
    assert curve.line("train", "optim0_lr0")[1] == [2e-4, 2e-4]
    assert curve.line("valid", "loss_ce_empty") == ([], [])  # NaN
    assert curve.line("valid", "norm_ratio")[1] == [0.981, 0.981]
    assert not any(name in ("time", "total_count") for _, name in curve.points)
    write_curve(tmp_path, 1, "valid", {"loss": 0.123456789, "acc": float("nan")})
    curve = read_curve(tmp_path)
    assert curve.origin == CURVE and curve.points == {("valid", "loss"): {1: 0.123456789}}
    assert read_curve(tmp_path / "nowhere").origin == ""


def test_an_epoch_that_is_done_again_replaces_its_lines(tmp_path):
    for epoch in (1, 2, 3):
        write_curve(tmp_path, epoch, "train", {"loss": 10.0 * epoch})
        write_curve(tmp_path, epoch, "valid", {"loss": float(epoch)})
    write_curve(tmp_path, 2, "train", {"loss": 7.5})  # resumed after epoch 1
    assert read_curve(tmp_path).points == {("train", "loss"): {1: 10.0, 2: 7.5}, ("valid", "loss"): {1: 1.0, 2: 2.0}}


def test_examples_seen_are_summed_over_epochs(tmp_path):
    head = "epoch\tset\ttask\tlanguage\texamples\tshare\n"
    (tmp_path / "examples_seen.tsv").write_text(head + "1\ta\tasr\ten\t5\t1.0\n2\ta\tasr\ten\t7\t1.0\n")
    assert read_seen(tmp_path) == [{"set": "a", "task": "asr", "language": "en", "examples": 12}]
    assert read_seen(tmp_path / "nowhere") == []


def test_bins_of_length_hold_everything_once():
    rng = np.random.default_rng(1)
    length = rng.integers(0, 20, 200)
    errors = rng.binomial(length, 0.2)
    counts = {name: np.stack([found, length], axis=1) for name, found in (("slm", errors), ("cascade", 0 * errors))}
    group = Group("test", None, [], counts.pop("slm"), counts)
    bins = by_length(group)
    assert 4 <= len(bins) <= 6
    assert sum(one.count for one in bins) == np.count_nonzero(length) and sum(one.words for one in bins) == length.sum()
    assert all(before.longest < after.shortest for before, after in zip(bins, bins[1:], strict=False))
    total = sum(one.rates["slm"] * one.words / 100 for one in bins)
    assert total == pytest.approx(errors[length > 0].sum()) and {one.rates["cascade"] for one in bins} == {0.0}
    silent = Group("test", None, [], np.zeros((3, 2), dtype=int), {})
    assert by_length(silent) == []


def test_names_in_drawings_are_names():
    dots = [charts.Dot("cost $5 <b> & $x", [(12.0, 1.0)], None, 0.0)]
    drawing = charts.between_bounds("one", "wer", dots)
    assert "cost $5 &lt;b&gt; &amp; $x" in drawing and "<b>" not in drawing
    assert "var(--slm)" in drawing and "#040404" not in drawing, "the page's colours, light and dark"
    assert "http" not in drawing and "font-family" not in drawing
    assert drawing == charts.between_bounds("one", "wer", dots), "the same every time"


def test_metrics_are_named_with_unit_and_direction():
    assert label_of("wer") == "WER % ↓" and label_of("ctc_b_wer") == "B-WER %, CTC greedy ↓"
    assert label_of("bleu") == "BLEU" and label_of("name_recall") == "name recall"
