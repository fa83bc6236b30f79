"""One row and its encoding → the arrays of one training example."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from slm_espnet.data.datadir import Row
from slm_espnet.llm.base import AbsTokenizer
from slm_espnet.prompt import Prompt, PromptTemplate, TextPrompt
from slm_espnet.tasks.recognition import RECOGNITION_TASKS


def spoken_text(row: Row) -> str:
    """What is said in a row: its transcript, or the target where the task is to write down what is said; else ""."""
    if row.transcript:
        return row.transcript
    return row.text if row.task in RECOGNITION_TASKS else ""


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

    def transcript_ids(self, row: Row) -> tuple[int, ...]:
        """What is said, in the LLM's tokens, for CTC; () where it is not known."""
        return tuple(self.with_text(row).words)

    def prompt(self, row: Row) -> Prompt:
        """The row's prompt."""
        if row.context:  # a list of its own, seldom twice
            return self.template.build(self.tokenizer, row.prompt, row.context)
        return self._prompt(row.prompt)

    def with_text(self, row: Row) -> TextPrompt:
        """The row's prompt with what is said in place of speech; empty where nobody knows what is said."""
        spoken = spoken_text(row)
        if not spoken:
            return TextPrompt((), ())
        return self.template.with_text(self.tokenizer, spoken, row.prompt, row.context)

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, np.ndarray]:
        """`data["speech"]` is (Row, Encoding); see the collate function for what comes out."""
        row, encoding = data["speech"]
        prompt = self.prompt(row)
        read = self.with_text(row)
        return {
            "speech": np.asarray(encoding.frames, dtype=np.float32),
            "seconds": np.array([encoding.seconds], dtype=np.float32),
            "prefix": np.array(prompt.prefix, dtype=np.int64),
            "suffix": np.array(prompt.suffix, dtype=np.int64),
            "target": np.array(self.target_ids(row), dtype=np.int64),
            "transcript": np.array(read.words, dtype=np.int64),
            "read": np.array(read.ids, dtype=np.int64),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.template})"
