"""The model card in the Hub's format: front matter with the scores, and what a user must know. Only measured values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCardData

from slm_espnet.files import write_atomically
from slm_espnet.scoring.evaluate import training_mark
from slm_espnet.scoring.metrics import PERCENT
from slm_espnet.scoring.report import task_table
from slm_espnet.tasks import Task
from slm_espnet.tasks.languages import primary

if TYPE_CHECKING:
    from slm_espnet.hub.package import PackRequest

TAGS = ("espnet", "slm_espnet", "speech", "speech-language-model")
TASK_TYPES = {"wer": "automatic-speech-recognition", "cer": "automatic-speech-recognition", "bleu": "translation",
              "chrf": "translation"}  # fmt: skip  # the Hub's names, by metric; for others see task_type
MOST_EPOCHS = 12  # lines of the training curve; provenance.json has all
NOT_STATED = "not stated by its makers"


@dataclass(frozen=True)
class CardFacts:
    """What a card is made from."""

    request: PackRequest
    config: Mapping[str, Any]  # config.yaml of the package
    settings: Mapping[str, Any]  # inference.yaml
    tasks: Mapping[str, Task]
    rows: Sequence[Mapping[str, Any]]  # of results.json, of one decoding; none: not scored
    provenance: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the model."""
        return self.request.name or self.request.exp_dir.resolve().name

    @property
    def languages(self) -> list[str]:
        """Codes as the maker gives them, else of what was seen in training and scored."""
        if self.request.languages:
            return list(self.request.languages)
        pairs = [row["language"] for row in (*self.provenance["examples seen"], *self.rows) if row["language"]]
        return sorted({primary(code) for pair in pairs for code in pair.split("_")})

    @property
    def base_models(self) -> list[str]:
        """Hub ids of the foundations; a model that is not on the Hub has none."""
        return [part["model"] for part in self.provenance["foundations"].values() if part["on_hub"]]


def write_card(path: Path, facts: CardFacts) -> None:
    """Write README.md; the same text is not written again."""
    text = f"---\n{front_matter(facts)}\n---\n\n{body(facts)}"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)


def front_matter(facts: CardFacts) -> str:
    """YAML that the Hub reads: licence, languages, base models, data sets, and the scores as model-index."""
    request = facts.request
    results = eval_results(facts.rows, facts.tasks)
    data = ModelCardData(
        language=facts.languages or None,
        license=request.license or None,
        library_name="espnet",
        tags=list(TAGS),
        base_model=facts.base_models or None,
        base_model_relation="adapter" if facts.base_models else None,
        datasets=list(request.datasets) or None,
        pipeline_tag="automatic-speech-recognition" if facts.settings.get("task") else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=facts.name,
        eval_results=results or None,
    )
    return data.to_yaml()


def eval_results(rows: Sequence[Mapping[str, Any]], tasks: Mapping[str, Task]) -> list[EvalResult]:
    """The adapter's own scores; what the encoder or the LLM alone has is in the card's table."""
    return [
        EvalResult(
            task_type=task_type(row, tasks),
            task_name=row["task"] + training_mark(row),
            dataset_type=row["set"],
            dataset_name=f"{row['set']} ({row['task']}{', ' if row['language'] else ''}{row['language'] or ''})",
            dataset_config=f"{row['task']}_{row['language']}" if row["language"] else row["task"],
            metric_type=row["metric"],
            metric_name=f"{row['metric']} ({'percent' if row['metric'] in PERCENT else 'share'})",
            metric_value=round(row["value"], 4),
        )
        for row in rows
        if not row["metric"].startswith("ctc_") and row["value"] is not None
    ]


def task_type(row: Mapping[str, Any], tasks: Mapping[str, Task]) -> str:
    """The Hub's name for a kind of task."""
    targets = {part.target for part in tasks[row["task"]].parts} if row["task"] in tasks else set()
    if targets and "answer" in targets:
        return "question-answering" if row["task"] == "qa" else "text-generation"
    return TASK_TYPES.get(row["metric"], "translation" if "translation" in targets else "automatic-speech-recognition")


def body(facts: CardFacts) -> str:
    """Everything below the front matter."""
    name = facts.name
    parts = [
        f"# {name}",
        "A speech language model (SLM, arXiv 2310.00230): a frozen speech encoder and a frozen language model, joined "
        "by a small adapter, which is all that was trained. Made with slm_espnet; this card was written by its packing "
        "command from the experiment's own files.",
        _usage(facts),
        _foundations(facts),
        _training(facts),
        _scores(facts),
        _asking(facts),
        _origin(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _usage(facts: CardFacts) -> str:
    packed = all(part["packed"] for part in facts.provenance["foundations"].values())
    needs = "Both frozen models are in this package." if packed else (
        "The frozen models are fetched at their pinned revisions, or given as folders (`speech_encoder=`, `llm=`); "
        "other weights are refused."
    )  # fmt: skip
    return "\n".join(
        [
            "## Use",
            "",
            "```python",
            "from slm_espnet import SLMInference",
            "",
            'slm = SLMInference.from_pretrained("<user>/<name>")  # where this package is, or its folder',
            'print(slm("speech.wav").text)',
            "```",
            "",
            needs,
        ]
    )


def _foundations(facts: CardFacts) -> str:
    lines = ["## Foundations", "", "| | model | revision | sha256 of the weights |", "|---|---|---|---|"]
    for role, part in facts.provenance["foundations"].items():
        model = f"[{part['model']}](https://huggingface.co/{part['model']})" if part["on_hub"] else part["model"]
        where = " (in this package)" if part["packed"] else "" if part["on_hub"] else " (give its folder)"
        revision = part["revision"] or "-"
        lines.append(f"| {role.replace('_', ' ')} | {model}{where} | {revision} | `{part['weights_sha256']}` |")
    licence = facts.request.license or NOT_STATED
    lines += ["", f"Licence of the adapter: {licence}. The foundations have their own, which hold as well."]
    return "\n".join(lines)


def _training(facts: CardFacts) -> str:
    training, seen = facts.provenance["training"], facts.provenance["examples seen"]
    tasks = ", ".join(training.get("trained_tasks", [])) or "not recorded"
    lines = ["## Training", "", f"Tasks with labels: {tasks}. Seed {training.get('seed', 'not recorded')}."]
    if training.get("self_tasks"):
        lines.append(f"The language model's own answers were targets of: {', '.join(training['self_tasks'])}.")
    if facts.request.datasets:
        lines.append(f"Data sets: {', '.join(facts.request.datasets)}.")
    if seen:
        total = sum(row["examples"] for row in seen)
        shares = "; ".join(f"{r['set']}, {r['task']}, {r['language'] or '-'}: {r['examples']}" for r in seen)
        lines += ["", f"Examples seen, of all epochs together {total}: {shares}."]
    curve = facts.provenance["training curve"]
    if curve:
        names = list(dict.fromkeys(key for row in curve for key in row))
        step = -(-len(curve) // MOST_EPOCHS)
        shown = [row for number, row in enumerate(curve) if number % step == 0 or number == len(curve) - 1]
        lines += ["", f"|{'|'.join(names)}|", "|---" * len(names) + "|"]
        lines += [f"|{'|'.join(str(row.get(key, '-')) for key in names)}|" for row in shown]
    else:
        lines += ["", "The training curve was not kept."]
    return "\n".join(lines)


def _scores(facts: CardFacts) -> str:
    if not facts.rows:
        return "## Scores\n\nThis model was not scored before it was packed."
    lines = [
        "## Scores",
        "",
        "cascade: the encoder's CTC transcript into the same language model; bound: the true transcript into it. Error "
        "rates, BLEU and chrF in 0..100, others as shares; ↓ lower is better. unseen: no training had this task.",
    ]
    for name in dict.fromkeys(row["set"] for row in facts.rows):
        lines += ["", f"### {name}", "", *task_table([row for row in facts.rows if row["set"] == name])]
    return "\n".join(lines)


def _asking(facts: CardFacts) -> str:
    lines = ["## What it can be asked", "", "Free text, or one of these by name:", ""]
    lines += ["| task | wording |", "|---|---|"]
    for task in facts.tasks.values():
        wordings = list(task.eval_prompt.values())
        more = f" (and {len(wordings) - 1} more)" if len(wordings) > 1 else ""
        lines.append(f"| {task.name} | {wordings[0]}{more} |")
    lines += ["", "`tasks.yaml` has all wordings, and the normalizer that each is scored with."]
    return "\n".join(lines)


def _origin(facts: CardFacts) -> str:
    toolkit, versions = facts.provenance["toolkit"], facts.provenance["versions"]
    lines = ["## Provenance", "", f"- toolkit: slm_espnet {toolkit['version']}, commit {toolkit['commit']}"]
    if facts.provenance["command"]:
        lines.append(f"- command: `{facts.provenance['command']}`")
    lines.append(f"- packed with {', '.join(f'{name} {version}' for name, version in versions.items())}")
    lines += [f"- scored with: {line}" for line in facts.provenance["scored with"]]
    return "\n".join([*lines, "", "`provenance.json` has the rest."])
