"""An experiment's page from what its stages left behind; what is missing is said on the page, never an error."""

from __future__ import annotations

import datetime
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slm_espnet.errors import UserError
from slm_espnet.files import read_yaml, write_atomically
from slm_espnet.report import charts, losses, tables
from slm_espnet.report.curves import Curve, read_curve, read_seen
from slm_espnet.report.examples import Example, Group, choose, examples, group_of
from slm_espnet.report.lengths import by_length
from slm_espnet.report.names import label_of
from slm_espnet.report.options import PageOptions
from slm_espnet.report.page import render
from slm_espnet.report.sound import Sound, embed
from slm_espnet.scoring.evaluate import questions
from slm_espnet.scoring.inputs import SetInput, read_set
from slm_espnet.scoring.record import Record
from slm_espnet.scoring.report import RESULTS, SPEAKERS
from slm_espnet.tasks import Task

REPORT = "report.html"
CONFIG = "config.yaml"


@dataclass
class Material:
    """Everything that was found of an experiment."""

    results: Sequence[Mapping]  # rows of this decoding's results.json
    all_results: Sequence[Mapping]  # of all decodings of the experiment
    by_speaker: Sequence[Mapping]
    config: Mapping[str, Any]  # the training's
    config_text: str
    curve: Curve
    seen: Sequence[Mapping]  # examples in training, by set, task and language
    inputs: Sequence[SetInput]
    groups: Sequence[Group] = ()
    missing: list[str] = field(default_factory=list)  # what is not on the page, and why


def write_report(
    directory: Path,
    record: Record,
    tasks: Mapping[str, Task],
    inputs: Sequence[SetInput],
    options: PageOptions,
    missing: Sequence[str] = (),
) -> Path:
    """Write report.html beside a decoding's results.

    Args:
        directory: exp/<tag>/decode_<inference tag>, scored.
        record: what it was scored with.
        tasks: of the tasks file.
        inputs: the sets as they were scored; those that could not be read are missing.
        options: how much the page holds.
        missing: what could not be read, for the page to say.

    Raises:
        UserError: results.json is missing or damaged, or the page cannot be written.
    """
    material = gather(directory, record, tasks, inputs)
    material.missing.extend(missing)
    path = directory / REPORT
    write_atomically(path, render("report.html.j2", **context(directory, record, material, options)))
    return path


def read_inputs(record: Record) -> tuple[list[SetInput], list[str]]:
    """The sets of a decoding that was scored earlier, and what can no longer be read."""
    found, missing = [], []
    for name in record.test_sets:
        try:
            one = read_set(name, record.sources, record.eval_tasks)
        except UserError as error:
            missing.append(f"utterances of {name}: {error}")
            continue
        found += [] if one is None else [one]
    return found, missing


def gather(directory: Path, record: Record, tasks: Mapping[str, Task], inputs: Sequence[SetInput]) -> Material:
    """Read what there is."""
    results = _rows(directory / RESULTS, required=True)
    path = record.model_dir / CONFIG
    config = read_yaml(path, "the training's configuration") if path.is_file() else None
    material = Material(
        results, _rows(directory.parent / RESULTS) or results, _rows(directory / SPEAKERS),
        config if isinstance(config, dict) else {}, path.read_text(encoding="utf-8") if path.is_file() else "",
        read_curve(record.model_dir), read_seen(record.model_dir), inputs,
    )  # fmt: skip
    material.groups = [
        group_of(one, question) for one in inputs for question in questions(one.name, one.rows, tasks)
    ]  # fmt: skip
    _say_missing(material, record)
    return material


def _say_missing(material: Material, record: Record) -> None:
    """Whole sections that the page lacks, with the reason."""
    rows = material.results
    if not material.curve.points:
        reason = f"neither training_curve.tsv nor results in train.log of {record.model_dir}"
        material.missing.append(f"training curves: {reason}")
    for system, what in (("cascade", "the encoder's transcript (cascade)"), ("bound", "the true transcript (bound)")):
        if all(row[system] is None for row in rows):
            material.missing.append(f"the frozen LLM on {what}: it was not decoded for these sets")
    if not any(row["metric"].startswith("ctc_") for row in rows):
        material.missing.append("the encoder's own text: no encodings were given, or the encoder has no CTC")
    if not material.config:
        material.missing.append(f"the training's configuration: there is no {record.model_dir / CONFIG}")


def _rows(path: Path, required: bool = False) -> list[dict]:
    """Rows of one of scoring's JSON files."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if not required:
            return []
        raise UserError(f"{path}: cannot read it ({error.strerror}); run stage 6 (scoring) first") from error
    except ValueError as error:
        raise UserError(f"{path}: not a valid list of results ({error}); run stage 6 (scoring) again") from error
    return rows


def context(directory: Path, record: Record, material: Material, options: PageOptions) -> dict[str, Any]:
    """What the template shows."""
    mains = tables.main_metrics(material.results, material.by_speaker)
    panels = tables.task_panels(material.results, mains)
    drawn = [
        (panel, charts.between_bounds(f"task{number}", panel.metric, panel.dots)) for number, panel in enumerate(panels)
    ]
    shown, sound = show_utterances(material, options)
    speakers = tables.speaker_tables(material.by_speaker)
    names = tables.name_lines(material.all_results, _list_lengths(material.inputs))
    return {
        "experiment": directory.resolve().parent.name,
        "decoding": directory.resolve().name.removeprefix("decode_"),
        "made": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "record": record,
        "material": material,
        "overview": tables.overview(panels, material.results),
        "panels": drawn,
        "mains": mains,
        "listened": tables.listened(material.results),
        "sets": list(dict.fromkeys(row["set"] for row in material.results)),
        "training": charts.training(material.curve),
        "lengths": _lengths(material),
        "speakers": speakers,
        "speaker_charts": _speaker_charts(speakers),
        "names": names,
        "name_charts": _name_charts([line for line in names if line.inference == material.results[0]["inference"]]),
        "shown": shown,
        "sound": sound,
        "options": options,
        "cuts": losses.cuts(material.inputs),
        "left_out": [
            *losses.training_left_out(material.config),
            *losses.encoding_left_out(material.inputs, record.sources.encodings),
            *losses.decoding_left_out(material.inputs),
        ],
    }


def show_utterances(
    material: Material, options: PageOptions
) -> tuple[list[tuple[Group, Sequence[Example]]], Sound]:
    """The utterances of each group, recognition first, and their audio: the worst of each group before the others."""
    inputs = {one.name: one for one in material.inputs}
    ordered = sorted(material.groups, key=lambda group: not group.question.recognizes)
    shown = [
        (group, examples(inputs[group.set], group, choose(group, options.worst, options.typical))) for group in ordered
    ]
    most = max((len(found) for _, found in shown), default=0)
    turns = [found[turn] for turn in range(most) for _, found in shown if turn < len(found)]
    return shown, embed((one.audio for one in turns), options.audio_kb)


def _lengths(material: Material) -> list[dict[str, Any]]:
    """Error rates by length, of the recognition groups that have more than one length."""
    found = []
    for number, group in enumerate(group for group in material.groups if group.question.recognizes):
        bins = by_length(group)
        if len(bins) > 1:
            title = f"{group.set} {group.question.languages}".strip()
            systems = [name for name in charts.SYSTEM_COLOURS if name in bins[0].rates and name != "bound"]
            drawing = charts.by_length(f"length{number}", bins)
            found.append({"title": title, "bins": bins, "systems": systems, "drawing": drawing})
    return found


def _speaker_charts(found: Sequence[tables.SpeakerTable]) -> list[tuple[str, Any]]:
    """One drawing per task and metric."""
    groups: dict[tuple[str, str], dict[str, list[float]]] = {}
    for table in found:
        task = table.rows[0]["task"] if table.rows else ""
        if table.rows:
            values = [row["slm"] for row in table.rows]
            groups.setdefault((task, table.metric), {})[tables.condition(table.rows[0])] = values
    return [
        (f"{task}, {label_of(metric)}", charts.speakers(f"speakers{number}", metric, values))
        for number, ((task, metric), values) in enumerate(groups.items())
    ]


def _name_charts(lines: Sequence[tables.NameLine]) -> list[tuple[str, Any]]:
    """B-WER by length of the list, for each task and language with several lengths."""
    groups: dict[str, list[tables.NameLine]] = {}
    for line in lines:
        if line.list_length is not None and line.values["b_wer"]["slm"] is not None:
            groups.setdefault(f"{line.task} {line.language}".strip(), []).append(line)
    found = []
    for number, (title, group) in enumerate(groups.items()):
        lengths = [line.list_length for line in group]
        if len(set(lengths)) == len(lengths) > 1:
            keys = {"slm": "slm", "cascade": "cascade", "ctc_greedy": "ctc"}
            values = {system: [line.values["b_wer"][key] for line in group] for system, key in keys.items()}
            found.append((title, charts.by_list_length(f"names{number}", lengths, values)))
    return found


def _list_lengths(inputs: Sequence[SetInput]) -> dict[str, float]:
    """Phrases in an utterance's list, in the middle of each set."""
    lengths = {one.name: [len(row.context) for row in one.rows if row.context] for one in inputs}
    return {name: statistics.median(found) for name, found in lengths.items() if found}
