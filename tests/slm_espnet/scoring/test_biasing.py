"""U-WER and B-WER: by hand, against the published benchmark, and as a command."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from slm_espnet.bin import score_biasing
from slm_espnet.errors import UserError
from slm_espnet.scoring.biasing import (
    Reference,
    align_by_cost,
    biased_counts,
    error_rates,
    read_hypotheses,
    read_references,
    score,
)
from slm_espnet.scoring.names import found_in, name_counts

REFERENCES = {
    "u1": Reference("call rosalind at noon", ("rosalind",), ("rosalind", "gertrude")),
    "u2": Reference("tell walter the news", ("walter",), ("walter", "gertrude")),
    "u3": Reference("stop", (), ("gertrude",)),
}
HYPOTHESES = {"u1": "call rosalynd at", "u2": "tell walter walter the the news", "u3": "stop gertrude"}


def test_errors_worked_out_by_hand():
    rates = score(REFERENCES, HYPOTHESES)
    # u1: rosalind misspelled (B), noon deleted (U); u2: walter inserted (B), the inserted (U); u3: a distractor is U
    biased, unbiased = rates["B-WER"], rates["U-WER"]
    assert (biased.words, biased.substituted, biased.deleted, biased.inserted) == (2, 1, 0, 1)
    assert (unbiased.words, unbiased.substituted, unbiased.deleted, unbiased.inserted) == (7, 0, 1, 2)
    assert biased.percent == pytest.approx(100) and unbiased.percent == pytest.approx(100 * 3 / 7)
    assert rates["WER"].percent == pytest.approx(100 * 5 / 9)


def test_two_substitutions_give_way_to_a_match_between_an_insertion_and_a_deletion():
    assert align_by_cost("a b".split(), "b c".split()) == [("a", None), ("b", "b"), (None, "c")]
    assert align_by_cost("a b".split(), "c d".split()) == [("a", "c"), ("b", "d")]
    assert align_by_cost("x a".split(), ["a"]) == [("x", None), ("a", "a")]
    assert align_by_cost("a a".split(), ["a"]) == [("a", None), ("a", "a")]  # from the end, pairs first
    assert align_by_cost([], ["a"]) == [(None, "a")] and align_by_cost(["a"], []) == [("a", None)]


def test_alignment_has_least_cost_of_all():
    def least(left, right):
        if not left or not right:
            return 3 * (len(left) + len(right))
        pair = least(left[1:], right[1:]) + (0 if left[0] == right[0] else 4)
        return min(pair, 3 + least(left[1:], right), 3 + least(left, right[1:]))

    words = [list(text) for n in range(4) for text in itertools.product("ab", repeat=n)]
    for left, right in itertools.product(words, [[*word, "c"] for word in words]):
        edits = align_by_cost(left, right)
        assert [a for a, _ in edits if a is not None] == left and [b for _, b in edits if b is not None] == right
        assert sum(3 if None in edit else 4 * (edit[0] != edit[1]) for edit in edits) == least(left, right)


def test_published_result_is_met_to_the_last_word(top, capsys):
    folder = top.parent / "shared/data/text/deep_bias"
    if not folder.is_dir():
        pytest.skip("the benchmark's files (is21_deep_bias) are not on this machine")
    system = "test-clean.b1.rnnt_baseline.tsv"
    hyps, refs = folder / f"{system}.gz", folder / "test-clean.biasing_100.tsv.gz"
    assert score_biasing.main(["--refs", str(refs), "--hyps", str(hyps)]) == 0
    assert capsys.readouterr().out == (folder / f"{system}.result").read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    refs, hyps = tmp_path / "refs.tsv", tmp_path / "hyps.tsv.gz"
    rows = ((u, r.text, json.dumps(r.biased), json.dumps(r.listed)) for u, r in REFERENCES.items())
    refs.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    with gzip.open(hyps, "wt", encoding="utf-8") as file:
        file.writelines(f"{u}\t{text}\n" for u, text in HYPOTHESES.items())
    return refs, hyps


def test_command_reads_what_it_documents(files, capsys, tmp_path):
    refs, hyps = files
    assert read_references(refs) == REFERENCES and read_hypotheses(hyps) == HYPOTHESES
    assert score_biasing.main(["--refs", str(refs), "--hyps", str(hyps)]) == 0
    tab = capsys.readouterr().out
    assert "B-WER: error_rate=100.0, ref_words=2, subs=1, ins=1, dels=0" in tab
    text = tmp_path / "text"
    text.write_text("".join(f"{u} {t}\n" for u, t in HYPOTHESES.items()), encoding="utf-8")
    assert score_biasing.main(["--refs", str(refs), "--hyps", str(text), "--separator", "space"]) == 0
    assert capsys.readouterr().out == tab


def test_missing_hypotheses_stop_unless_lenient(files, tmp_path, capsys):
    refs, _ = files
    hyps = tmp_path / "part.tsv"
    hyps.write_text("u3\nu1\tcall rosalind at noon\n", encoding="utf-8")
    with pytest.raises(UserError, match="no hypothesis for 1 of 3 utterances, such as u2.*--lenient"):
        score_biasing.main(["--refs", str(refs), "--hyps", str(hyps)])
    assert score_biasing.main(["--refs", str(refs), "--hyps", str(hyps), "--lenient", "true"]) == 0
    out = capsys.readouterr().out
    assert "U-WER: error_rate=25.0, ref_words=4, subs=0, ins=0, dels=1" in out and "left out: 1 of 3" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"u9\ttext\n", r"refs.tsv:4: 2 columns"),
        (b"u9\ttext\t[1]\n", r"refs.tsv:4: expected a JSON list of words"),
        (b"u9\ttext\t[\n", r"refs.tsv:4: expected a JSON list of words"),
        (b"u1\ttext\t[]\n", r"refs.tsv:4: utterance u1 occurs twice"),
        (b"u9\tt\xff\t[]\n", r"refs.tsv:4: not UTF-8"),
    ],
)
def test_bad_reference_lines_are_named(files, line, message):
    refs, _ = files
    refs.write_bytes(refs.read_bytes() + line)
    with pytest.raises(UserError, match=message):
        read_references(refs)


def test_bad_hypotheses_are_named(tmp_path):
    path = tmp_path / "hyps.tsv"
    path.write_text("u1\ta\tb\n")
    with pytest.raises(UserError, match="hyps.tsv:1: expected an id"):
        read_hypotheses(path)
    path.write_text("u1\ta\nu1\tb\n")
    with pytest.raises(UserError, match="hyps.tsv:2: utterance u1 occurs twice"):
        read_hypotheses(path)
    with pytest.raises(UserError, match="cannot read it"):
        read_references(tmp_path / "none.tsv.gz")


def test_counts_are_kept_by_utterance():
    counts = biased_counts(["a b", "c"], ["a x", ""], [{"b"}, set()])
    assert counts.tolist() == [[[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 0, 1, 0], [0, 0, 0, 0]]]
    assert np.isnan(error_rates(counts[1:])["B-WER"].percent)


def test_phrases_are_found_as_whole_words():
    text = "ann marie met joanna"
    assert found_in(text, ["ann", "ann marie", "anna", "marie met joanna", "met ann", ""]) == {
        "ann", "ann marie", "marie met joanna"
    }  # fmt: skip
    assert name_counts([text], ["ann met bob"], [["ann", "joanna", "bob", "zoe"]]).tolist() == [[2, 1, 1]]
