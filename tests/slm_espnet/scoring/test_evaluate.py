"""The encoder's own CTC text beside the systems."""

from __future__ import annotations

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.scoring.decoded import Decoded
from slm_espnet.scoring.evaluate import Run, evaluate_set
from slm_espnet.scoring.report import speaker_tables, task_table
from slm_espnet.tasks import Task

ASR = Task("asr", "wer", "basic", {"default": ("write",)}, {"default": "write"})


def rows_of(texts, speakers=None, context=()):
    speakers = speakers or ["s"] * len(texts)
    return [
        Row(f"u{i}", AudioSource(f"{i}.wav"), text, "write", "asr", "en", speaker, context)
        for i, (text, speaker) in enumerate(zip(texts, speakers, strict=True))
    ]


def evaluate(rows, hypotheses, ctc=None):
    decoded = Decoded("somewhere", {f"u{i}": h for i, h in enumerate(hypotheses)}, frozenset(), frozenset(), {})
    run = Run({"asr": ASR}, frozenset({"asr"}), "greedy", 1)
    return evaluate_set("test", rows, {"slm": decoded}, run, ctc)


def test_ctc_error_rates_are_metrics_of_their_own_and_a_column_of_the_table():
    rows = rows_of(["a b", "c d", "e f"])
    ctc = {rows[0].audio.key: "a b", rows[1].audio.key: "c x"}  # the third recording could not be encoded
    scores = evaluate(rows, ["a b", "c d", "e f"], ctc)
    values = {r["metric"]: r for r in scores.results}
    assert values["wer"]["value"] == 0 and values["wer"]["cascade"] is None
    assert values["ctc_wer"]["value"] == 50 and values["ctc_wer"]["count"] == 3
    assert any("|wer ↓|0.0 ± 0.0|-|-|50.0|3|" in line for line in task_table(scores.results))
    assert ("WER", "ctc_greedy/test/asr/en") in {(kind, label) for kind, label, _ in scores.tables}


def test_context_lists_are_scored_for_the_encoder_too():
    rows = rows_of(["call walter", "call max"], context=("walter", "max"))
    ctc = {rows[0].audio.key: "call water", rows[1].audio.key: "call max"}
    values = {r["metric"]: r["value"] for r in evaluate(rows, ["call walter", "call max"], ctc).results}
    assert (values["name_recall"], values["ctc_name_recall"]) == (1.0, 0.5)
    assert (values["b_wer"], values["ctc_b_wer"]) == (0.0, 50.0)


def test_odd_speaker_is_marked_and_comes_first():
    speakers = ["fine", "good", "alicia", "well"]
    scores = evaluate(rows_of(["a b c d"] * 4, speakers), ["a b c d", "a b c d", "x y z d", "a b c d"])
    table = [line for line in speaker_tables([scores]) if line.startswith("|") and "---" not in line]
    assert table[1] == "|alicia|1|75.0|odd|"
    assert all(line.endswith("||") for line in table[2:])


def test_undefined_value_is_null():
    values = {r["metric"]: r for r in evaluate(rows_of(["", ""]), ["", "word"]).results}
    assert values["wer"]["value"] is None and values["wer"]["standard_error"] is None
