"""A language model that overflows stops decoding with advice; it used to answer "!!!!" or end in a KeyError."""

import pytest
import torch

from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.errors import UserError
from slm_espnet.inference import Decoder, Request, TextModel
from slm_espnet.llm.build import build_llm
from slm_espnet.prompt import PromptTemplate


@pytest.mark.parametrize("options", [{}, {"beam_size": 2}, {"ctc_draft": "none"}], ids=["greedy", "beam", "no draft"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_decoding_stops_with_advice(tiny_llama, options, value):
    llm = build_llm("hf_causal", {"model": str(tiny_llama)})
    with torch.no_grad():
        llm.model.get_output_embeddings().weight[7] = value
    decoder = Decoder(TextModel(llm, PromptTemplate()), DecodingOptions(max_length=5, **options))
    with pytest.raises(UserError, match="not finite.*bfloat16 or float32"):
        list(decoder.decode([Request("a", "recognize this", text="call mary", repeats=True)]))
