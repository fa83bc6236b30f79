"""Results of several experiments side by side: mean and deviation over seeds for each configuration.

Experiments that differ only in their seed are recognized by their directory: `slm_asr_seed1` and `slm_asr_seed2` are
both `slm_asr`. Another label may be given as `label=directory`.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slm_espnet.errors import UserError
from slm_espnet.scoring.evaluate import training_mark
from slm_espnet.scoring.metrics import LOWER_IS_BETTER
from slm_espnet.scoring.report import RESULTS, show

SEED_SUFFIX = re.compile(r"[_-]seed[_-]?\d+$")
MARKS = {"": "", " (self)": " s", " (unseen)": " u"}
FOOTNOTE = (
    "u: the task was not trained; s: trained on the LLM's own answers to its instructions, without labels. "
    "Mean ± standard deviation over seeds. ↓: lower is better."
)
BOUNDS = (" cascade", " bound")  # columns; the space keeps them apart from labels
# What one line of the table is about: set, task, language, metric.
Key = tuple[str, str, str, str]


def label_of(experiment: str) -> tuple[str, Path]:
    """`label=directory`, or a directory, whose label is its name without the seed."""
    label, sign, directory = experiment.partition("=")
    path = Path(directory if sign else experiment)
    return (label if sign else SEED_SUFFIX.sub("", path.resolve().name)), path


def read_results(path: Path, inference: str | None = None) -> list[dict]:
    """Rows of an experiment's results.json, of one inference tag if that is given.

    Raises:
        UserError: missing or damaged file, or several decodings without a choice among them.
    """
    path = path / RESULTS if path.is_dir() else path
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); run stage 6 (scoring) first") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a valid list of results ({error}); run stage 6 (scoring) again") from error
    present = sorted({row["inference"] for row in rows})
    if inference is None and len(present) > 1:
        raise UserError(f"{path} has several decodings ({', '.join(present)}); choose one by --inference_tag")
    chosen = [row for row in rows if inference in (None, row["inference"])]
    if not chosen:
        raise UserError(f"{path} has no results of inference tag {inference!r}; it has {', '.join(present) or 'none'}")
    return chosen


def collect(experiments: Sequence[str], inference: str | None = None) -> dict[str, list[dict]]:
    """Rows by configuration label, in the order given; the same seed twice under one label is an error."""
    rows: dict[str, list[dict]] = defaultdict(list)
    seeds: dict[tuple[str, object], Path] = {}
    for experiment in experiments:
        label, path = label_of(experiment)
        found = read_results(path, inference)
        for seed in {row["seed"] for row in found}:
            if seed is not None and (label, seed) in seeds:
                first = seeds[label, seed]
                raise UserError(f"{path} and {first} are both {label!r} with seed {seed}: name them label=directory")
            seeds[label, seed] = path
        rows[label].extend(found)
    return dict(rows)


@dataclass(frozen=True)
class Line:
    """One set, task, language and metric in all configurations."""

    key: Key
    values: Mapping[str, Sequence[float]]  # configuration → its seeds' values; " cascade", " bound" → of all
    rows: Mapping[str, Mapping]  # configuration → one of its rows of results.json


def line_up(rows: Mapping[str, Sequence[dict]], metrics: Sequence[str] = ()) -> list[Line]:
    """Results by set, task, language and metric, in the order in which they come.

    Args:
        rows: rows of results.json by configuration.
        metrics: only these; empty: all.
    """
    table: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    examples: dict[Key, dict[str, dict]] = defaultdict(dict)
    for label, results in rows.items():
        for row in results:
            key = (row["set"], row["task"], row["language"], row["metric"])
            if metrics and row["metric"] not in metrics:
                continue
            examples[key][label] = row
            for column, value in ((label, row["value"]), *((name, row[name.strip()]) for name in BOUNDS)):
                if value is not None:
                    table[key][column].append(value)
    return [Line(key, dict(columns), examples[key]) for key, columns in table.items()]


def heads(rows: Mapping[str, Sequence[dict]]) -> dict[str, str]:
    """Configuration → the head of its column, which says how many seeds it has."""
    count = {label: len({json.dumps(row["seed"]) for row in results}) for label, results in rows.items()}
    return {label: f"{label} ({n} seed{'s' * (n > 1)})" for label, n in count.items()}


def comparison(rows: Mapping[str, Sequence[dict]], metrics: Sequence[str] = ()) -> list[str]:
    """Markdown: one line per set, task, language and metric; one column per configuration, then the bounds' means.

    Arguments as in `line_up`.
    """
    columns = "|".join(heads(rows).values())
    lines = [f"|set|task|language|metric|{columns}|cascade|bound|", "|---" * (len(rows) + 6) + "|"]
    for line in line_up(rows, metrics):
        metric = line.key[3]
        cells = [cell(line.values.get(label), metric) + mark_of(line, label) for label in rows]
        bounds = [cell([mean] if (mean := bound_of(line, name)) is not None else None, metric) for name in BOUNDS]
        arrow = " ↓" if metric in LOWER_IS_BETTER else ""
        shown = [line.key[0], line.key[1], line.key[2] or "-", f"{metric}{arrow}", *cells, *bounds]
        lines.append(f"|{'|'.join(shown)}|")
    return [*lines, "", FOOTNOTE]


def bound_of(line: Line, name: str) -> float | None:
    """The mean of one of BOUNDS over all experiments."""
    return statistics.fmean(line.values[name]) if line.values.get(name) else None


def mark_of(line: Line, label: str) -> str:
    """The mark of one configuration's number."""
    return _mark(line.rows[label]) if label in line.rows else ""


def cell(values: Sequence[float] | None, metric: str) -> str:
    """Mean ± standard deviation; the mean alone of a single value."""
    if not values:
        return "-"
    text = show(metric, statistics.fmean(values))
    return text if len(values) == 1 else f"{text} ± {show(metric, statistics.stdev(values))}"


def _mark(row: Mapping[str, object]) -> str:
    """Tasks without labelled training are marked, except for metrics of the encoder alone."""
    if row["metric"].startswith("ctc_"):
        return ""
    return MARKS[training_mark(row)]
