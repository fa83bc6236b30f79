"""What the page's tables hold, worked out of results.json and its neighbours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slm_espnet.report.charts import Dot
from slm_espnet.scoring.evaluate import training_mark
from slm_espnet.scoring.metrics import LOWER_IS_BETTER
from slm_espnet.scoring.report import ODD_DISTANCE, ODD_FACTOR

NAME_METRICS = ("name_recall", "name_insertions", "b_wer", "u_wer", "wer")
STATES = {"": "trained", " (self)": "self", " (unseen)": "unseen"}


def state_of(row: Mapping) -> str:
    """How the adapter knows a task: trained, self (on the LLM's own answers) or unseen."""
    return STATES[training_mark(row)]


def condition(row: Mapping) -> str:
    """Set, with the language where it is known."""
    return f"{row['set']} {row['language']}" if row["language"] else row["set"]


def main_metrics(results: Sequence[Mapping], by_speaker: Sequence[Mapping]) -> dict[tuple[str, str], str]:
    """(task, language) → its main metric: that of the speakers' table, else the first one that was scored."""
    found: dict[tuple[str, str], str] = {}
    for row in (*by_speaker, *results):
        if not row["metric"].startswith("ctc_"):
            found.setdefault((row["task"], row["language"]), row["metric"])
    return found


@dataclass(frozen=True)
class TaskPanel:
    """One task in all conditions, on its main metric."""

    task: str
    metric: str
    state: str  # trained, self or unseen
    dots: Sequence[Dot]
    rows: Sequence[Mapping]  # rows of results.json, in the order of the dots


def task_panels(results: Sequence[Mapping], mains: Mapping[tuple[str, str], str]) -> list[TaskPanel]:
    """One panel per task and metric, trained tasks first."""
    groups: dict[tuple[str, str], list[Mapping]] = defaultdict(list)
    for row in results:
        if row["metric"] == mains.get((row["task"], row["language"])):
            groups[row["task"], row["metric"]].append(row)
    several = len({row["language"] for row in results}) > 1
    panels = []
    for (task, metric), rows in groups.items():
        names = [condition(row) if several else row["set"] for row in rows]
        dots = [
            Dot(name, [(row["value"], row.get("standard_error"))], row["cascade"], row["bound"])
            for name, row in zip(names, rows, strict=True)
        ]
        panels.append(TaskPanel(task, metric, state_of(rows[0]), dots, rows))
    order = list(STATES.values())
    return sorted(panels, key=lambda panel: order.index(panel.state))


@dataclass(frozen=True)
class Overview:
    """Conditions × tasks: the main metric of each."""

    tasks: Sequence[TaskPanel]
    lines: Sequence[tuple[str, Sequence[Mapping | None]]]  # condition, a row of results.json per task


def overview(panels: Sequence[TaskPanel], results: Sequence[Mapping]) -> Overview:
    """The table at the top, in the order of the sets."""
    names = list(dict.fromkeys(condition(row) for row in results))
    cells = {(condition(row), number): row for number, panel in enumerate(panels) for row in panel.rows}
    lines = [(name, [cells.get((name, number)) for number in range(len(panels))]) for name in names]
    return Overview(panels, [line for line in lines if any(line[1])])


def listened(results: Sequence[Mapping]) -> dict[tuple[str, str, str, str], float | None]:
    """(set, task, language, metric) → the value of the encoder's own text."""
    return {
        (row["set"], row["task"], row["language"], row["metric"].removeprefix("ctc_")): row["value"]
        for row in results
        if row["metric"].startswith("ctc_")
    }


@dataclass(frozen=True)
class NameLine:
    """How the names of a list came through, in one set."""

    set: str
    task: str
    language: str
    inference: str  # which decoding of the experiment
    list_length: float | None  # phrases an utterance, in the middle; None where the data are not at hand
    values: Mapping[str, Mapping[str, float | None]]  # metric → slm, cascade, ctc


def name_lines(results: Sequence[Mapping], list_lengths: Mapping[str, float]) -> list[NameLine]:
    """One line per set, task, language and decoding that had lists."""
    groups: dict[tuple[str, str, str, str], dict[str, Mapping]] = defaultdict(dict)
    for row in results:
        groups[row["set"], row["task"], row["language"], row["inference"]][row["metric"]] = row
    lines = []
    for (name, task, language, inference), rows in groups.items():
        if "b_wer" not in rows:
            continue
        values = {
            metric: {
                "slm": rows[metric]["value"] if metric in rows else None,
                "cascade": rows[metric]["cascade"] if metric in rows else None,
                "ctc": rows[f"ctc_{metric}"]["value"] if f"ctc_{metric}" in rows else None,
            }
            for metric in NAME_METRICS
        }
        lines.append(NameLine(name, task, language, inference, list_lengths.get(name), values))
    return sorted(lines, key=lambda line: (line.task, line.language, line.list_length or 0, line.set, line.inference))


@dataclass(frozen=True)
class SpeakerTable:
    """The speakers of one condition, the worst first."""

    title: str
    metric: str
    rows: Sequence[Mapping]  # rows of results_by_speaker.json
    odd: frozenset[str]  # much worse than the others


def speaker_tables(by_speaker: Sequence[Mapping]) -> list[SpeakerTable]:
    """One table per set, task and language in which a speaker has more than one utterance or there are few of them."""
    groups: dict[tuple[str, str, str], list[Mapping]] = defaultdict(list)
    for row in by_speaker:
        groups[row["set"], row["task"], row["language"]].append(row)
    tables = []
    for (name, task, language), rows in groups.items():
        if len(rows) < 2 or all(row["count"] == 1 for row in rows):  # utterances, not speakers
            continue
        metric = rows[0]["metric"]
        lower = metric in LOWER_IS_BETTER
        known = [row for row in rows if row["slm"] is not None]
        ranked = sorted(known, key=lambda row: (-row["slm"] if lower else row["slm"], row["speaker"]))
        odd = _odd(ranked) if lower else frozenset()
        tables.append(SpeakerTable(f"{name}, {task} {language}".strip(), metric, ranked, odd))
    return tables


def _odd(ranked: Sequence[Mapping]) -> frozenset[str]:
    """The same rule as in RESULTS.md."""
    if len(ranked) < 3:
        return frozenset()
    median = sorted(row["slm"] for row in ranked)[len(ranked) // 2]
    limit = max(ODD_FACTOR * median, median + ODD_DISTANCE)
    return frozenset(row["speaker"] for row in ranked if row["slm"] > limit)
