"""Scores of one test set: every task and language, the SLM between its two bounds, and the encoder's own text.

The lower bound is the cascade (CTC transcript → LLM), the upper bound the LLM on the true transcript. An utterance
without a hypothesis counts as an empty one, in every system.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from slm_espnet.data.datadir import Row
from slm_espnet.errors import UserError
from slm_espnet.scoring.decoded import Counts, Decoded
from slm_espnet.scoring.error_rate import ErrorRate
from slm_espnet.scoring.metrics import SCORERS, GroupScores, Measured, score_group
from slm_espnet.scoring.normalizers import NORMALIZERS
from slm_espnet.tasks import Part, Task
from slm_espnet.tasks.languages import has_spaces

SYSTEMS = ("slm", "cascade", "bound")


@dataclass(frozen=True)
class Run:
    """What holds for all sets of one scoring run."""

    tasks: Mapping[str, Task]
    train_tasks: frozenset[str]  # tasks that the adapter was trained on, with labelled targets
    inference: str  # inference tag
    seed: int | None = None
    bleu_tokenize: str | None = None  # sacrebleu's tokenizer for all tasks; None: what the tasks say, else 13a
    self_tasks: frozenset[str] = frozenset()  # trained on without labels: the LLM's own answers to their instructions


@dataclass(frozen=True)
class SetScores:
    """Everything that is reported of one set."""

    name: str
    results: list[dict]  # rows of results.json
    tables: list[tuple[str, str, ErrorRate]]  # (WER | CER, dataset label, totals)
    speakers: list[dict]  # rows of results_by_speaker.json
    rates: list[dict] = field(default_factory=list)  # per system: counts of what was lost or cut, and what drafts saved


@dataclass(frozen=True)
class Question:
    """What is scored as one group: one part of the targets of one task in one language (or pair of languages)."""

    task: Task
    position: int  # of the part
    rows: Sequence[Row]

    @property
    def part(self) -> Part:
        """The part of the task's targets."""
        return self.task.parts[self.position]

    @property
    def name(self) -> str:
        """Name in results: the task's, with the part's where it has several."""
        return f"{self.task.name}:{self.part.name}" if self.part.name else self.task.name

    @property
    def languages(self) -> str:
        """The language spoken, or the pair: what results go by."""
        return self.rows[0].languages

    @property
    def recognizes(self) -> bool:
        """Whether the words spoken are what is wanted, so that the encoder's own text can be compared."""
        return self.part.scorer == "wer" and self.part.target == "transcript"

    @cached_property
    def language(self) -> str:
        """Language of the texts that are compared."""
        row = self.rows[0]
        return row.language if self.part.target == "transcript" else row.target_language or row.language

    @property
    def normalizer(self) -> str:
        """Name of the normalizer."""
        return self.part.normalizer_for(self.language)

    @property
    def by_characters(self) -> bool:
        """Recognition in a language without spaces: those that an output has anyway are taken out."""
        return self.part.scorer == "wer" and not has_spaces(self.language)

    @property
    def main_metric(self) -> str:
        """The metric of break-downs."""
        return "cer" if self.by_characters else SCORERS[self.part.scorer].main

    def normalized(self, text: str) -> str:
        """A text as it is compared."""
        text = NORMALIZERS[self.normalizer](text)
        return "".join(text.split()) if self.by_characters else text

    def of_target(self, text: str) -> str:
        """This part of a target or a hypothesis, as it is compared."""
        return self.normalized(self.task.split(text)[self.position])

    @cached_property
    def lists(self) -> list[list[str]]:
        """Per utterance the context phrases as they are compared; each is normalized once, long lists repeat them."""
        known = {phrase: self.normalized(phrase) for phrase in {p for row in self.rows for p in row.context}}
        return [[known[phrase] for phrase in row.context] for row in self.rows]

    def score(self, hypotheses: Sequence[str], run: Run) -> GroupScores:
        """Score one system's normalized texts."""
        references = [self.of_target(row.text) for row in self.rows]
        right = [[self.of_target(text) for text in row.references or (row.text,)] for row in self.rows]
        tokenize = run.bleu_tokenize or self.part.bleu_tokenize_for(self.language, "13a")
        scores = score_group(self.part.scorer, references, hypotheses, self.lists, tokenize, right)
        if self.by_characters:  # without spaces a text has one word
            del scores.metrics["wer"], scores.error_rates["WER"]
        return scores


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
    for question in questions(name, rows, run.tasks):
        own = question.task.name in run.self_tasks - run.train_tasks
        seen = own or question.task.name in run.train_tasks
        base = {"set": name, "task": question.name, "language": question.languages, "inference": run.inference}
        base |= {"seen": seen, "self": own, "seed": run.seed, "normalizer": question.normalizer}
        _evaluate_question(question, base, systems, run, ctc, scores)
    return scores


def questions(name: str, rows: Sequence[Row], tasks: Mapping[str, Task]) -> list[Question]:
    """The groups in which a set's rows are scored, by task, language and part; UserError for an unknown task."""
    found = []
    for (task_name, _), group in sorted(_groups(rows).items()):
        if task_name not in tasks:
            known = ", ".join(tasks)
            raise UserError(f"set {name}: task {task_name!r} in utt2task is not in the tasks file, which has {known}")
        found += [Question(tasks[task_name], position, group) for position in range(len(tasks[task_name].parts))]
    return found


def _evaluate_question(
    question: Question,
    base: dict,
    systems: Mapping[str, Decoded],
    run: Run,
    ctc: Mapping[str, str] | None,
    scores: SetScores,
) -> None:
    """Score one group of a set; what came out is added to the set's scores."""
    group = question.rows
    scored = {
        system: question.score([question.of_target(decoded.hypotheses.get(row.utt_id, "")) for row in group], run)
        for system, decoded in systems.items()
    }
    listened = None
    if ctc is not None and question.recognizes:
        # a recording that could not be encoded counts as an empty text
        listened = question.score([question.normalized(ctc.get(row.audio.key, "")) for row in group], run)
    where = "/".join(filter(None, (base["set"], base["task"], base["language"])))
    scores.results.extend(_result(base, metric, scored, len(group)) for metric in scored["slm"].metrics)
    for system, result in scored.items():
        label = f"decode_{run.inference}/{where}{training_mark(base)}" if system == "slm" else f"{system}/{where}"
        scores.tables.extend((kind, label, totals) for kind, totals in result.error_rates.items())
    if listened is not None:
        scores.results.extend(_ctc_results(base, listened, group))
        scores.tables.extend((kind, f"ctc_greedy/{where}", totals) for kind, totals in listened.error_rates.items())
    scores.speakers.extend(_by_speaker(base, question, scored, listened))


def training_mark(row: Mapping[str, Any]) -> str:
    """What headings and labels say of a task: nothing where it was trained on with labels."""
    if not row["seen"]:
        return " (unseen)"
    return " (self)" if row.get("self") else ""


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.task, row.languages].append(row)
    return groups


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
    base: dict, question: Question, scored: Mapping[str, GroupScores], listened: GroupScores | None
) -> list[dict]:
    metric = question.main_metric
    index: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(question.rows):
        index[row.speaker].append(i)
    measured: dict[str, Measured] = {system: scores.metrics[metric] for system, scores in scored.items()}
    if listened is not None:
        measured["ctc_greedy"] = listened.metrics[metric]
    keys = {key: base[key] for key in ("set", "task", "language", "inference", "seen", "self", "seed")}
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
    counts = [decoded.counts[utt_id] for utt_id in sorted(ids & decoded.counts.keys())]
    return {
        "set": name,
        "system": system,
        "utterances": len(ids),
        "missing": len(ids - set(decoded.hypotheses)),
        "left_out": len(ids & set(decoded.left_out)),
        "truncated": len(ids & decoded.truncated),
        "looped": len(ids & decoded.looped),
        "drafts": _drafts(counts),
    }


def _drafts(counts: Sequence[Counts]) -> dict | None:
    """What drafts saved in the answers that had one: shares of tokens and answers, passes per token; or None."""
    drafted = [count for count in counts if count.tried or count.from_ctc]
    tokens = sum(count.tokens for count in drafted)
    if not tokens:
        return None
    return {
        "accepted": sum(count.tokens if count.from_ctc else count.accepted for count in drafted) / tokens,
        "from_ctc": sum(count.from_ctc for count in drafted) / len(drafted),
        "passes": sum(count.passes for count in drafted) / tokens,
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None
