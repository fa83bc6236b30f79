"""One row and its encoding → the arrays of one training example."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from slm_espnet.data.datadir import Row
from slm_espnet.llm.base import AbsTokenizer
from slm_espnet.prompt import SPEECH, WORD, Prompt, PromptTemplate, TextPrompt
from slm_espnet.tasks.recognition import RECOGNITION_TASKS


def spoken_text(row: Row) -> str:
    """What is said in a row: its transcript, or the target where the task is to write down what is said; else ""."""
    if row.transcript:
        return row.transcript
    return row.text if row.task in RECOGNITION_TASKS else ""


def spoken_texts(row: Row) -> list[str]:
    """What is said in each of a row's recordings, in the order of `Row.recordings`; "" where it is not known."""
    own = spoken_text(row)
    if row.further and not row.transcript:
        own = ""  # the target is about all of them
    before, after = ([one.transcript or "" for one in some] for some in (row.spoken_turns, row.further))
    return [*before, own, *after]


def turns_of(row: Row) -> tuple[tuple[str, str], ...]:
    """The earlier turns of a row, as the prompt template takes them."""
    return tuple((turn.role, SPEECH if turn.words is None else turn.words) for turn in row.history)


class SLMPreprocessor:
    """Tokenizes with the prompt template that decoding uses too."""

    def __init__(self, template: PromptTemplate, tokenizer: AbsTokenizer):
        self.template = template
        self.tokenizer = tokenizer
        # instructions repeat: tokenizing each once keeps the loader out of the way of training
        self._prompt = lru_cache(maxsize=4096)(lambda instruction: template.build(tokenizer, instruction))
        self._target = lru_cache(maxsize=65536)(lambda text: template.target(tokenizer, text))

    def target_ids(self, row: Row) -> tuple[int, ...]:
        """The target in the LLM's tokens, and the one that ends it."""
        return self._target(row.text)

    def transcript_ids(self, row: Row) -> tuple[tuple[int, ...], ...]:
        """What is said in each recording, in the LLM's tokens, for CTC; () where it is not known."""
        return self.with_text(row).said

    def prompt(self, row: Row) -> Prompt:
        """The row's prompt."""
        count = len(row.recordings)
        if row.context or row.history or count > 1:  # of its own, seldom twice
            return self.template.build(self.tokenizer, row.prompt, row.context, turns_of(row), count)
        return self._prompt(row.prompt)

    def with_text(self, row: Row) -> TextPrompt:
        """The row's prompt with what is said in place of speech; empty where nobody knows what is said."""
        texts = spoken_texts(row)
        if not any(texts):
            return TextPrompt((), ((),) * len(texts))
        words = [text or WORD for text in texts]
        read = self.template.with_text(self.tokenizer, words, row.prompt, row.context, turns_of(row))
        if all(texts):
            return read
        return TextPrompt((), tuple(ids if text else () for ids, text in zip(read.said, texts, strict=True)))

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, np.ndarray]:
        """`data["speech"]` is (Row, its encodings); see the collate function for what comes out."""
        row, encodings = data["speech"]
        prompt, read = self.prompt(row), self.with_text(row)
        example = {
            "speech": np.concatenate([one.frames for one in encodings], dtype=np.float32),
            "seconds": np.array([sum(one.seconds for one in encodings)], dtype=np.float32),
            "prefix": _ids(prompt.prefix),
            "suffix": _ids(prompt.suffix),
            "target": _ids(self.target_ids(row)),
            "transcript": _ids(read.words),
            "read": _ids(read.ids),
        }
        if len(encodings) > 1:
            between = prompt.parts[1:-1]
            example |= {
                "between": _ids(i for part in between for i in part),
                "speech_sizes": _ids(len(one.frames) for one in encodings),
                "transcript_sizes": _ids(map(len, read.said)),
                "between_sizes": _ids(map(len, between)),
            }
        return example

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.template})"


def _ids(values: Iterable[int]) -> np.ndarray:
    return np.array(tuple(values), dtype=np.int64)
