"""The results of a scoring run as Markdown (ESPnet's RESULTS.md format, then the tasks between their bounds) and JSON.

Each decoding directory keeps its own part; the experiment's RESULTS.md and results.json are put together from the parts
of all its decodings, so that scoring one again replaces its numbers and leaves the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from slm_espnet.files import write_atomically
from slm_espnet.scoring.environment import describe
from slm_espnet.scoring.evaluate import SetScores, training_mark
from slm_espnet.scoring.metrics import LOWER_IS_BETTER, PERCENT

ERROR_TABLE_HEAD = ["|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|", "|---|---|---|---|---|---|---|---|---|"]
MOST_SPEAKERS = 40  # lines per table of speakers; the worst come first
ODD_FACTOR = 3.0  # a speaker whose value is this many times as bad as the set's median, and ...
ODD_DISTANCE = 5.0  # ... this many points worse, is marked as odd

TRAINED = {"": "yes", " (self)": "self", " (unseen)": "**unseen**"}  # what tables say for a mark

RESULTS, SPEAKERS, PAGE = "results.json", "results_by_speaker.json", "RESULTS.md"


def write_results(
    exp_dir: Path, inference: str, scores: Sequence[SetScores], environment: Mapping[str, str]
) -> None:
    """Write one decoding's part under exp_dir/decode_<inference>, then the experiment's page and list."""
    part = exp_dir / f"decode_{inference}"
    _write_json(part / RESULTS, [row for one in scores for row in one.results])
    _write_json(part / SPEAKERS, [row for one in scores for row in one.speakers])
    write_atomically(part / PAGE, "\n".join(decoding_section(exp_dir.resolve(), inference, scores)) + "\n")
    parts = sorted(path.parent for path in exp_dir.glob(f"decode_*/{RESULTS}"))
    rows = [row for directory in parts for row in json.loads((directory / RESULTS).read_text(encoding="utf-8"))]
    _write_json(exp_dir / RESULTS, rows)
    pages = [(directory / PAGE).read_text(encoding="utf-8").rstrip() for directory in parts]
    head = "\n".join(["# RESULTS", "## Environments", *describe(environment)])
    write_atomically(exp_dir / PAGE, "\n\n".join([head, *pages]) + "\n")


def _write_json(path: Path, rows: Iterable[dict]) -> None:
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    write_atomically(path, f"[\n{lines}\n]\n")


def decoding_section(exp_dir: Path, inference: str, scores: Sequence[SetScores]) -> list[str]:
    """Markdown lines of one decoding."""
    lines = [f"## {exp_dir.parent.name}/{exp_dir.name} (decode_{inference})"]
    for kind in ("WER", "CER"):
        rows = [f"|{label}|{totals.cells()}|" for one in scores for k, label, totals in one.tables if k == kind]
        lines += [f"### {kind}", "", *ERROR_TABLE_HEAD, *rows, ""]
    lines += ["### Tasks between two bounds", "", *_explanation(), ""]
    for one in scores:
        lines += [f"#### {one.name}", "", *task_table(one.results), ""]
    lines += ["### Decoding", "", *rate_table(scores), "", "### Speakers", "", *speaker_tables(scores)]
    signatures = sorted({f"{r['metric']}: `{r['signature']}`" for s in scores for r in s.results if r["signature"]})
    if signatures:
        lines += ["", "Signatures: " + "; ".join(signatures)]
    return lines


def _explanation() -> list[str]:
    return [
        "cascade: CTC greedy transcript into the LLM; bound: true transcript into it; CTC greedy: the encoder alone.",
        "Error rates, BLEU and chrF in 0..100, other metrics as shares; ↓ lower is better; ± bootstrap standard error.",
        "trained: yes, with labels; self, without: its instructions, with the LLM's own answers as targets; or unseen.",
    ]


def task_table(results: Sequence[dict]) -> list[str]:
    """Tasks × systems of one set; metrics of the encoder alone become a column."""
    listened = {
        (row["task"], row["language"], row["metric"].removeprefix("ctc_")): row["value"]
        for row in results
        if row["metric"].startswith("ctc_")
    }
    lines = ["|task|language|trained|metric|SLM|cascade|bound|CTC greedy|Snt|", "|---|---|---|---|---|---|---|---|---|"]
    for row in results:
        metric = row["metric"]
        if metric.startswith("ctc_"):
            continue
        value = show(metric, row["value"])
        if row["standard_error"] is not None:
            value += f" ± {show(metric, row['standard_error'])}"
        encoder = listened.get((row["task"], row["language"], metric))
        cells = [row["task"], row["language"] or "-", TRAINED[training_mark(row)]]
        cells += [metric + (" ↓" if metric in LOWER_IS_BETTER else ""), value]
        cells += [show(metric, row["cascade"]), show(metric, row["bound"]), show(metric, encoder), str(row["count"])]
        lines.append(f"|{'|'.join(cells)}|")
    return lines


def show(metric: str, value: float | None) -> str:
    """A number in its metric's precision; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.1f}" if metric in PERCENT else f"{value:.3f}"


def rate_table(scores: Sequence[SetScores]) -> list[str]:
    """Per set and system: what has no hypothesis (scored as empty), was cut at the length bound, or looped; and drafts.

    Of the answers that had a draft: the share of tokens that come from it, of answers taken from CTC without the LLM,
    and passes of the LLM's decoder per token.
    """
    names = ("missing", "left_out", "truncated", "looped")
    lines = ["|set|system|Snt|no hypothesis|left out|truncated|looped|from drafts|LLM not asked|passes per token|"]
    lines.append("|---" * 10 + "|")
    for one in scores:
        for rates in one.rates:
            shares = [f"{rates[name]} ({100 * rates[name] / max(1, rates['utterances']):.1f} %)" for name in names]
            found, drafts = rates["drafts"], ["-"] * 3
            if found is not None:
                drafts = [f"{100 * found[name]:.1f} %" for name in ("accepted", "from_ctc")]
                drafts.append(f"{found['passes']:.2f}")
            lines.append(f"|{one.name}|{rates['system']}|{rates['utterances']}|{'|'.join([*shares, *drafts])}|")
    return lines


def speaker_tables(scores: Sequence[SetScores]) -> list[str]:
    """Error rates by speaker for the recognition tasks, the worst first, odd ones marked."""
    lines: list[str] = []
    for one in scores:
        kinds = ("wer", "cer")
        groups = sorted({(r["task"], r["language"], r["metric"]) for r in one.speakers if r["metric"] in kinds})
        for task, language, metric in groups:
            rows = [r for r in one.speakers if (r["task"], r["language"]) == (task, language)]
            mark = training_mark(rows[0])
            lines += [f"#### {one.name}, {task} {language}{mark}, {metric.upper()}", "", *_speaker_table(rows), ""]
    return lines[:-1] or ["No recognition task was scored; results_by_speaker.json has the other tasks."]


def _speaker_table(rows: Sequence[dict]) -> list[str]:
    systems = [system for system in ("slm", "cascade", "bound", "ctc_greedy") if system in rows[0]]
    ranked = sorted(rows, key=lambda row: (row["slm"] is None, -(row["slm"] or 0.0), row["speaker"]))
    median = sorted(row["slm"] or 0.0 for row in rows)[len(rows) // 2]
    lines = [f"|speaker|Snt|{'|'.join(systems)}||", "|---" * (len(systems) + 3) + "|"]
    for row in ranked[:MOST_SPEAKERS]:
        odd = (row["slm"] or 0.0) > max(ODD_FACTOR * median, median + ODD_DISTANCE) and len(rows) > 2
        cells = [row["speaker"], str(row["count"]), *(show("wer", row[s]) for s in systems), "odd" if odd else ""]
        lines.append(f"|{'|'.join(cells)}|")
    if len(ranked) > MOST_SPEAKERS:
        lines += ["", f"{len(ranked) - MOST_SPEAKERS} more speakers, all better, are in {SPEAKERS}."]
    return lines
