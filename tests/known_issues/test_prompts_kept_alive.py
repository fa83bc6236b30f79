"""Prompts of 4,096 lists of phrases were kept in memory, each list with its thousands of phrases."""

import gc
import weakref

from slm_espnet.data.datadir import AudioSource, Row
from slm_espnet.llm.build import build_tokenizer
from slm_espnet.prompt import PromptTemplate
from slm_espnet.training.preprocessor import SLMPreprocessor


def row(context=()):
    return Row("a", AudioSource("a.wav"), "call mary", "recognize this", "asr", "en", "", context=context)


def test_lists_of_phrases_are_let_go_and_instructions_kept(tiny_t5):
    preprocessor = SLMPreprocessor(PromptTemplate(), build_tokenizer("hf_seq2seq", {"model": str(tiny_t5)}))
    lists = [tuple(f"mary {number} {n}" for n in range(20)) for number in range(30)]
    prompts = [weakref.ref(preprocessor.prompt(row(context))) for context in lists]
    gc.collect()
    assert not any(prompt() for prompt in prompts)
    assert preprocessor.prompt(row()) is preprocessor.prompt(row())
