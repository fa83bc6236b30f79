"""Several experiments on one page: every score side by side, dots between the bounds, losses by epoch."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slm_espnet.files import write_atomically
from slm_espnet.report import charts
from slm_espnet.report.curves import read_curve
from slm_espnet.report.page import render
from slm_espnet.report.svg import COLOURS
from slm_espnet.scoring.collect import BOUNDS, Line, bound_of, cell, heads, label_of, line_up, mark_of
from slm_espnet.scoring.metrics import LOWER_IS_BETTER

# title, unit, train or valid, name of the average
CURVES = (
    ("Validation loss", "loss", "valid", "loss"),
    ("Validation cross-entropy", "loss", "valid", "loss_ce"),
    ("Token accuracy, validation", "share", "valid", "acc"),
)


def write_comparison(
    path: Path, experiments: Sequence[str], rows: Mapping[str, Sequence[dict]], metrics: Sequence[str] = ()
) -> None:
    """Write the page.

    Args:
        path: of the page.
        experiments: as `collect` takes them: directories, or label=directory.
        rows: what `collect` gave for them.
        metrics: only these; empty: all.
    """
    lines = line_up(rows, metrics)
    write_atomically(path, render("comparison.html.j2", **_context(experiments, rows, lines)))


def _context(experiments: Sequence[str], rows: Mapping[str, Sequence[dict]], lines: Sequence[Line]) -> dict[str, Any]:
    colours = {label: charts.SERIES[number % len(charts.SERIES)] for number, label in enumerate(rows)}
    return {
        "made": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "heads": heads(rows),
        "lines": [
            {
                "key": line.key,
                "cells": [(cell(line.values.get(label), line.key[3]), mark_of(line, label)) for label in rows],
                "best": _best(line, rows),
                "bounds": [bound_of(line, name) for name in BOUNDS],
            }
            for line in lines
        ],
        "sets": list(dict.fromkeys(line.key[0] for line in lines)),
        "panels": _panels(lines, list(rows), list(colours.values())),
        "curves": _curves(experiments, colours),
        "marks": [
            {"label": head, "colour": COLOURS[colours[label]], "marker": charts.MARKERS[number % len(charts.MARKERS)]}
            for number, (label, head) in enumerate(heads(rows).items())
        ],
        "experiments": [str(label_of(experiment)[1]) for experiment in experiments],
    }


def _best(line: Line, labels: Mapping[str, Any]) -> int | None:
    """Which configuration has the best mean; None where there is nothing to choose from, or no single one."""
    means = {n: statistics.fmean(line.values[label]) for n, label in enumerate(labels) if line.values.get(label)}
    if len(means) < 2:
        return None
    best = (min if line.key[3] in LOWER_IS_BETTER else max)(means.values())
    winners = [number for number, mean in means.items() if mean == best]
    return winners[0] if len(winners) == 1 else None


def _panels(lines: Sequence[Line], labels: Sequence[str], colours: Sequence[str]) -> list[dict[str, Any]]:
    """One drawing per task and main metric: the first one that each task and language was scored with."""
    main: dict[tuple[str, str], str] = {}
    groups: dict[tuple[str, str], list[charts.Dot]] = {}
    for line in lines:
        name, task, language, metric = line.key
        if metric.startswith("ctc_") or main.setdefault((task, language), metric) != metric:
            continue
        values = []
        for label in labels:
            found = line.values.get(label) or []
            deviation = statistics.stdev(found) if len(found) > 1 else None
            values.append((statistics.fmean(found) if found else None, deviation))
        title = f"{name} {language}".strip()
        dot = charts.Dot(title, values, bound_of(line, BOUNDS[0]), bound_of(line, BOUNDS[1]))
        groups.setdefault((task, metric), []).append(dot)
    return [
        {"task": task, "drawing": charts.between_bounds(f"task{number}", metric, dots, colours)}
        for number, ((task, metric), dots) in enumerate(groups.items())
    ]


def _curves(experiments: Sequence[str], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Averages by epoch of every experiment that left a curve, one line per seed in the colour of its configuration."""
    found = []
    for experiment in experiments:
        label, path = label_of(experiment)
        found.append((label, read_curve(path if path.is_dir() else path.parent)))
    drawings = []
    for number, (title, unit, part, name) in enumerate(CURVES):
        lines = [charts.Line(label, *curve.line(part, name), colours[label]) for label, curve in found]
        lines = [line for line in lines if line.xs]
        if lines:
            drawings.append({"title": title, "drawing": charts.curves(f"curve{number}", unit, lines)})
    return drawings
