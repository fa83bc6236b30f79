"""The encoder's own CTC text beside the systems."""

from __future__ import annotations

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.scoring.decoded import Counts, Decoded
from slm_espnet.scoring.evaluate import Run, evaluate_set
from slm_espnet.scoring.report import decoding_section, rate_table, speaker_tables, task_table
from slm_espnet.tasks import Part, Task

WORDS = Part("", "wer", "transcript", {"default": "basic"})
ASR = Task("asr", (WORDS,), {"default": ("write",)}, {"default": "write"})


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


def test_what_was_cut_and_what_drafts_saved_is_in_the_table():
    """Shares are those of the answers that had a draft; where none had, there is nothing to say."""
    rows = rows_of(["a b", "c d", "e f", "g h"])
    texts = {f"u{i}": "x" for i in range(4)}
    counts = {"u0": Counts(10, 3, 12, 8, 0), "u1": Counts(5, 0, 0, 0, 1), "u2": Counts(7, 8, 0, 0, 0)}
    drafted = Decoded("somewhere", texts, frozenset({"u3"}), frozenset({"u0", "u1"}), {"u2": "why"}, counts)
    plain = Decoded("somewhere", texts, frozenset(), frozenset(), {}, {"u2": counts["u2"]})
    run = Run({"asr": ASR}, frozenset({"asr"}), "greedy", 1)
    table = rate_table([evaluate_set("test", rows, {"slm": drafted, "cascade": plain}, run)])
    rates = "0 (0.0 %)|1 (25.0 %)|1 (25.0 %)|2 (50.0 %)"
    assert table[2] == f"|test|slm|4|{rates}|86.7 %|50.0 %|0.20|"
    assert table[3].endswith("|0 (0.0 %)|-|-|-|") and table[0].count("|") == table[1].count("|") == table[2].count("|")


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


def test_a_chain_of_thought_is_scored_part_by_part():
    parts = (
        Part("transcript", "wer", "transcript", {"default": "basic"}, marker="Transcript:"),
        Part("translation", "bleu", "translation", {"default": "none"}, {"zh": "zh"}, marker="Translation:"),
    )
    task = Task("asr_then_ast", parts, {"default": ("do",)}, {"default": "do"})
    target = task.join(transcript="Hello there, my friend.", translation="你好，我的朋友。")
    row = Row("u", AudioSource("a.wav"), target, "do", "asr_then_ast", "en", "s", target_language="zh")
    outputs = {"u": "transcript: hello their my friend translation: 你好，我的朋友。"}
    run = Run({"asr_then_ast": task}, frozenset(), "greedy", 1)
    decoded = Decoded("somewhere", outputs, frozenset(), frozenset(), {})
    scores = evaluate_set("test", [row], {"slm": decoded}, run, {row.audio.key: "hello there my friend"})
    values = {(r["task"], r["metric"]): r for r in scores.results}
    assert values["asr_then_ast:transcript", "wer"]["value"] == 25
    assert values["asr_then_ast:transcript", "ctc_wer"]["value"] == 0, "the encoder's text is compared to its part"
    bleu = values["asr_then_ast:translation", "bleu"]
    assert bleu["value"] > 99 and "tok:zh" in bleu["signature"] and bleu["language"] == "en_zh"
    assert not any(metric.startswith("ctc") for task, metric in values if task.endswith("translation"))


def test_a_language_without_spaces_is_judged_by_characters():
    rows = [Row("u0", AudioSource("a.wav"), "我 喜欢 茶", "write", "asr", "zh", "s")]
    scores = evaluate(rows, ["我喜欢喝茶"])
    values = {r["metric"]: r["value"] for r in scores.results}
    assert values["cer"] == 25 and "wer" not in values
    assert [(r["metric"], r["slm"]) for r in scores.speakers] == [("cer", 25)]
    assert any("asr zh, CER" in line for line in speaker_tables([scores]))


def test_unseen_tasks_are_marked_in_every_table(tmp_path):
    rows = rows_of(["a b", "c d"])
    decoded = Decoded("somewhere", {"u0": "a b", "u1": "c x"}, frozenset(), frozenset(), {})
    for trained, mark in ((frozenset({"ast"}), "unseen"), (frozenset({"asr"}), "")):
        scores = evaluate_set("test", rows, {"slm": decoded}, Run({"asr": ASR}, trained, "greedy", 1))
        page = decoding_section(tmp_path, "greedy", [scores])
        tables = [line for line in page if "asr" in line]
        assert len(tables) == 5, tables  # WER, CER; wer and cer between their bounds; speakers
        assert all((mark or "unseen") in line for line in tables) == bool(mark), tables
