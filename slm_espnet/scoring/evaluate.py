"""Scores of one test set: every task and language, the SLM between its two bounds, and the encoder's own text.

The lower bound is the cascade (CTC transcript → LLM), the upper bound the LLM on the true transcript. An utterance
without a hypothesis counts as an empty one, in every system.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from slm_espnet.data.datadir import Row
from slm_espnet.errors import UserError
from slm_espnet.scoring.decoded import Decoded
from slm_espnet.scoring.error_rate import ErrorRate
from slm_espnet.scoring.metrics import PRIMARY, GroupScores, Measured, score_group
from slm_espnet.scoring.normalizers import NORMALIZERS
from slm_espnet.tasks import Task

SYSTEMS = ("slm", "cascade", "bound")


@dataclass(frozen=True)
class Run:
    """What holds for all sets of one scoring run."""

    tasks: Mapping[str, Task]
    train_tasks: frozenset[str]  # tasks that the adapter was trained on
    inference: str  # inference tag
    seed: int | None = None
    bleu_tokenize: str = "13a"  # sacrebleu's


@dataclass(frozen=True)
class SetScores:
    """Everything that is reported of one set."""

    name: str
    results: list[dict]  # rows of results.json
    tables: list[tuple[str, str, ErrorRate]]  # (WER | CER, dataset label, totals)
    speakers: list[dict]  # rows of results_by_speaker.json
    rates: list[dict] = field(default_factory=list)  # per system: utterances, missing, left_out, truncated, looped


def evaluate_set(
    name: str,
    rows: Sequence[Row],
    systems: Mapping[str, Decoded],
    run: Run,
    ctc: Mapping[str, str] | None = None,
) -> SetScores:
    """Score one set.

    Args:
        name: the set's name.
        rows: its data directory.
        systems: by name (SYSTEMS); `slm` must be there.
        run: settings.
        ctc: audio key → the encoder's CTC greedy text; None where there is none.
    """
    scores = SetScores(name, [], [], [], [_rates(name, system, systems[system], rows) for system in systems])
    for (task_name, language), group in sorted(_groups(rows).items()):
        if task_name not in run.tasks:
            known = ", ".join(run.tasks)
            raise UserError(f"set {name}: task {task_name!r} in utt2task is not in the tasks file, which has {known}")
        task = run.tasks[task_name]
        scored = {system: _score(task, group, decoded, run) for system, decoded in systems.items()}
        where = "/".join(filter(None, (name, task_name, language)))
        base = {"set": name, "task": task_name, "language": language, "inference": run.inference}
        base |= {"seen": task_name in run.train_tasks, "seed": run.seed, "normalizer": task.normalizer}
        scores.results.extend(_result(base, metric, scored, len(group)) for metric in scored["slm"].metrics)
        for system, result in scored.items():
            label = f"decode_{run.inference}/{where}" if system == "slm" else f"{system}/{where}"
            scores.tables.extend((kind, label, totals) for kind, totals in result.error_rates.items())
        listened = _score_ctc(task, group, ctc) if ctc is not None and task.scorer == "wer" else None
        if listened is not None:
            scores.results.extend(_ctc_results(base, listened, group))
            scores.tables.extend((kind, f"ctc_greedy/{where}", totals) for kind, totals in listened.error_rates.items())
        scores.speakers.extend(_by_speaker(base, task, group, scored, listened))
    return scores


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.task, row.language].append(row)
    return groups


def _score(task: Task, rows: Sequence[Row], decoded: Decoded, run: Run) -> GroupScores:
    normalize = NORMALIZERS[task.normalizer]
    references = [normalize(row.text) for row in rows]
    hypotheses = [normalize(decoded.hypotheses.get(row.utt_id, "")) for row in rows]
    lists = [[normalize(phrase) for phrase in row.context] for row in rows]
    return score_group(task.scorer, references, hypotheses, lists, run.bleu_tokenize)


def _score_ctc(task: Task, rows: Sequence[Row], ctc: Mapping[str, str]) -> GroupScores:
    """The encoder alone on the same rows; a recording that could not be encoded counts as an empty text."""
    normalize = NORMALIZERS[task.normalizer]
    lists = [[normalize(phrase) for phrase in row.context] for row in rows]
    hypotheses = [normalize(ctc.get(row.audio.key, "")) for row in rows]
    return score_group("wer", [normalize(row.text) for row in rows], hypotheses, lists)


def _result(base: dict, metric: str, scored: Mapping[str, GroupScores], count: int) -> dict:
    measured = {system: scores.metrics[metric] for system, scores in scored.items()}
    slm, cascade = measured["slm"], measured.get("cascade")
    row = {**base, "metric": metric, "value": _number(slm.value), "count": count}
    for system in SYSTEMS[1:]:
        row[system] = _number(measured[system].value) if system in measured else None
    row["standard_error"] = slm.standard_error()
    row["cascade_difference_standard_error"] = slm.difference_standard_error(cascade) if cascade else None
    row["signature"] = slm.signature
    return row


def _ctc_results(base: dict, listened: GroupScores, rows: Sequence[Row]) -> list[dict]:
    """Rows of the encoder's own text, as metrics of their own: ctc_wer, ctc_cer, and ctc_name_recall with a list."""
    results = []
    for metric, measured in listened.metrics.items():
        row = _result(base, metric, {"slm": listened}, len(rows))
        results.append({**row, "metric": f"ctc_{metric}", "value": _number(measured.value)})
    return results


def _by_speaker(
    base: dict, task: Task, rows: Sequence[Row], scored: Mapping[str, GroupScores], listened: GroupScores | None
) -> list[dict]:
    metric = PRIMARY[task.scorer]
    index: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        index[row.speaker].append(i)
    measured: dict[str, Measured] = {system: scores.metrics[metric] for system, scores in scored.items()}
    if listened is not None:
        measured["ctc_greedy"] = listened.metrics[metric]
    keys = {key: base[key] for key in ("set", "task", "language", "inference", "seed")}
    return [
        {
            **keys,
            "speaker": speaker,
            "metric": metric,
            "count": len(where),
            **{system: _number(m.of_subset(where)) for system, m in measured.items()},
        }
        for speaker, where in sorted(index.items())
    ]


def _rates(name: str, system: str, decoded: Decoded, rows: Sequence[Row]) -> dict:
    ids = {row.utt_id for row in rows}
    return {
        "set": name,
        "system": system,
        "utterances": len(ids),
        "missing": len(ids - set(decoded.hypotheses)),
        "left_out": len(ids & set(decoded.left_out)),
        "truncated": len(ids & decoded.truncated),
        "looped": len(ids & decoded.looped),
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
