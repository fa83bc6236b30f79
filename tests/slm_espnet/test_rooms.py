"""Each choice has a base class with its contract: a class that misses a method of it cannot be made."""

from __future__ import annotations

import inspect
import sys
from abc import ABC
from pathlib import Path

import pytest

from slm_espnet.adapter.base import AbsAdapterBody, AbsAdapterOutput
from slm_espnet.adapter.build import BODIES, OUTPUTS, REDUCTIONS
from slm_espnet.length_reduction.base import AbsStaticReduction, AbsTrainedReduction
from slm_espnet.length_reduction.build import STATIC_REDUCTIONS
from slm_espnet.llm.base import AbsLLM, AbsTokenizer, DecodingState
from slm_espnet.llm.hf_causal import CausalState, HFCausal
from slm_espnet.llm.hf_seq2seq import HFSeq2Seq, Seq2SeqState
from slm_espnet.llm.tokenizer import HFTokenizer
from slm_espnet.speech_encoder.base import AbsSpeechEncoder
from slm_espnet.speech_encoder.batching import AbsBatchedEncoder
from slm_espnet.speech_encoder.espnet_ctc import ESPnetCTCEncoder
from slm_espnet.speech_encoder.huggingface_ctc import HuggingFaceCTCEncoder
from slm_espnet.speech_encoder.huggingface_encoder import SelfSupervisedEncoder, WhisperEncoder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "utils"))
from launch import BACKENDS
from launcher.backend import AbsBackend

ROOMS = {
    AbsSpeechEncoder: [ESPnetCTCEncoder, HuggingFaceCTCEncoder, SelfSupervisedEncoder, WhisperEncoder],
    AbsBatchedEncoder: [ESPnetCTCEncoder, HuggingFaceCTCEncoder, SelfSupervisedEncoder],
    AbsLLM: [HFCausal, HFSeq2Seq],
    AbsTokenizer: [HFTokenizer],
    DecodingState: [CausalState, Seq2SeqState],
    AbsStaticReduction: list(STATIC_REDUCTIONS.values()),
    AbsTrainedReduction: list(REDUCTIONS.values()),
    AbsAdapterBody: list(BODIES.values()),
    AbsAdapterOutput: list(OUTPUTS.values()),
    AbsBackend: list(BACKENDS.values()),
}


@pytest.mark.parametrize("base", ROOMS, ids=lambda base: base.__name__)
def test_a_choice_without_a_method_cannot_be_made(base):
    assert issubclass(base, ABC) and base.__abstractmethods__
    for method in base.__abstractmethods__:
        assert inspect.getdoc(vars(base).get(method) or getattr(base, method)), f"{base.__name__}.{method} says nothing"
        others = {name: lambda self: None for name in base.__abstractmethods__ if name != method}
        with pytest.raises(TypeError, match=method):
            type("Unfinished", (base,), others)()
    for choice in ROOMS[base]:
        assert issubclass(choice, base) and not choice.__abstractmethods__
