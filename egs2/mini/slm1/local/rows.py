"""Rows of (speech, prompt, target): what is asked about a spoken sentence."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mini_corpus.grammar import Sentence
from mini_corpus.tasks import Example, Task, examples
from sets import SpokenSet

from slm_espnet.data.datadir import AudioSource, Row


@dataclass(frozen=True)
class Recording:
    """A spoken sentence."""

    utt_id: str
    path: str
    speaker: str


def make_rows(spoken: SpokenSet, recordings: Iterable[Recording], tasks: Mapping[str, Task], seed: int) -> list[Row]:
    """One row for each sentence and task of the set; of several questions one is drawn."""
    rows = []
    for index, (sentence, recording) in enumerate(zip(spoken.sentences, recordings, strict=True)):
        rng = random.Random(f"{seed} {spoken.prefix} {index}")
        for task in spoken.tasks:
            example = _example(rng, sentence, task, spoken)
            if example is None:
                continue
            rows.append(
                Row(
                    utt_id=f"{recording.utt_id}-{task}",
                    audio=AudioSource(recording.path),
                    text=example.target,
                    prompt=tasks[task].prompt(example.variant, rng if spoken.paraphrase else None),
                    task=task,
                    language=spoken.language,
                    speaker=recording.speaker,
                    context=spoken.contexts[index] if spoken.contexts is not None else (),
                    transcript=example.source,
                    category=sentence.category,
                )
            )
    return rows


def _example(rng: random.Random, sentence: Sentence, task: str, spoken: SpokenSet) -> Example | None:
    """What is asked; where the set is about names, its questions are about them. None where nothing applies."""
    found = [e for e in examples(sentence) if e.task == task and e.source_language == spoken.language]
    if spoken.contexts is not None and task == "qa":
        found = [e for e in found if e.variant in ("person", "second_person")]
    return rng.choice(found) if found else None
