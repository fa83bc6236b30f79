"""One row and its encoding → the arrays of one training example."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from slm_espnet.data.datadir import Row
from slm_espnet.llm.base import AbsTokenizer
from slm_espnet.prompt import Prompt, PromptTemplate
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
        self._prompt = lru_cache(maxsize=4096)(self._build_prompt)
        self._encode = lru_cache(maxsize=65536)(lambda text: tuple(tokenizer.encode(text)))

    def _build_prompt(self, instruction: str, context: tuple[str, ...]) -> Prompt:
        return self.template.build(self.tokenizer, instruction, context)

    def target_ids(self, row: Row) -> tuple[int, ...]:
        """The target in the LLM's tokens, ending in EOS."""
        return (*self._encode(row.text), self.tokenizer.eos_id)

    def transcript_ids(self, row: Row) -> tuple[int, ...]:
        """What is said, in the LLM's tokens, for CTC and the teacher of KL; () where it is not known."""
        spoken = spoken_text(row)
        return self._encode(spoken) if spoken else ()

    def prompt(self, row: Row) -> Prompt:
        """The row's prompt."""
        return self._prompt(row.prompt, tuple(row.context))

    def __call__(self, uid: str, data: dict[str, Any]) -> dict[str, np.ndarray]:
        """`data["speech"]` is (Row, Encoding); see the collate function for what comes out."""
        row, encoding = data["speech"]
        prompt = self.prompt(row)
        return {
            "speech": np.asarray(encoding.frames, dtype=np.float32),
            "seconds": np.array([encoding.seconds], dtype=np.float32),
            "prefix": np.array(prompt.prefix, dtype=np.int64),
            "suffix": np.array(prompt.suffix, dtype=np.int64),
            "target": np.array(self.target_ids(row), dtype=np.int64),
            "transcript": np.array(self.transcript_ids(row), dtype=np.int64),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.template})"
