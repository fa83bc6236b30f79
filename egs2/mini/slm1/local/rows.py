"""Rows of (speech, prompt, target): what is asked about a spoken sentence, and the files of a data directory."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mini_corpus.grammar import Sentence
from mini_corpus.tasks import Example, Task, examples
from sets import SpokenSet


@dataclass(frozen=True)
class Recording:
    """A spoken sentence."""

    utt_id: str
    path: str
    speaker: str


@dataclass(frozen=True)
class Row:
    """One line of each file of the data directory."""

    utt_id: str
    audio: str  # wav.scp
    speaker: str  # utt2spk
    text: str  # the right answer
    prompt: str  # the instruction
    task: str  # utt2task
    language: str  # of the speech, utt2lang
    transcript: str  # what is said
    category: str  # utt2category
    context: tuple[str, ...] | None  # names that may be spoken


FILES = {
    "wav.scp": "audio",
    "utt2spk": "speaker",
    "text": "text",
    "prompt": "prompt",
    "utt2task": "task",
    "utt2lang": "language",
    "transcript": "transcript",
    "utt2category": "category",
}


def make_rows(spoken: SpokenSet, recordings: Iterable[Recording], tasks: Mapping[str, Task], seed: int) -> list[Row]:
    """One row for each sentence and task of the set; of several questions one is drawn."""
    rows = []
    for index, (sentence, recording) in enumerate(zip(spoken.sentences, recordings, strict=True)):
        rng = random.Random(f"{seed} {spoken.prefix} {index}")
        context = spoken.contexts[index] if spoken.contexts is not None else None
        for task in spoken.tasks:
            example = _example(rng, sentence, task, spoken)
            if example is None:
                continue
            prompt = tasks[task].prompt(example.variant, rng if spoken.paraphrase else None)
            rows.append(
                Row(
                    f"{recording.utt_id}-{task}", recording.path, recording.speaker, example.target, prompt, task,
                    spoken.language, example.source, sentence.category, context,
                )
            )  # fmt: skip
    return rows


def _example(rng: random.Random, sentence: Sentence, task: str, spoken: SpokenSet) -> Example | None:
    """What is asked; where the set is about names, its questions are about them. None where nothing applies."""
    found = [e for e in examples(sentence) if e.task == task and e.source_language == spoken.language]
    if spoken.contexts is not None and task == "qa":
        found = [e for e in found if e.variant in ("person", "second_person")]
    return rng.choice(found) if found else None


def write_rows(data_dir: Path, rows: Iterable[Row]) -> None:
    """Write a data directory, sorted by utterance id; `context` only where rows have one."""
    rows = sorted(rows, key=lambda row: row.utt_id)
    data_dir.mkdir(parents=True, exist_ok=True)
    for name, field in FILES.items():
        _write(data_dir / name, ((row.utt_id, getattr(row, field)) for row in rows))
    with_context = [row for row in rows if row.context is not None]
    if with_context:
        lists = ((row.utt_id, json.dumps(row.context, ensure_ascii=False)) for row in with_context)
        _write(data_dir / "context", lists)
    else:
        (data_dir / "context").unlink(missing_ok=True)
    speakers: dict[str, list[str]] = {}
    for row in rows:
        speakers.setdefault(row.speaker, []).append(row.utt_id)
    _write(data_dir / "spk2utt", ((speaker, " ".join(speakers[speaker])) for speaker in sorted(speakers)))


def _write(path: Path, lines: Iterable[tuple[str, str]]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(f"{key} {value}\n" for key, value in lines), encoding="utf-8")
    os.replace(temporary, path)
