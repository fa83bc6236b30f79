"""The Python API named EOS as the last token of answers that ended in another one, such as the end of a turn."""

from slm_espnet.api.questions import _tokens
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.inference import Decoder, Request, TextModel
from slm_espnet.llm.build import build_llm
from slm_espnet.prompt import PromptTemplate


def test_the_token_that_ended_an_answer_is_named(tiny_llama):
    llm = build_llm("hf_causal", {"model": str(tiny_llama)})
    options = DecodingOptions(max_length=6, loop_repeats=0)
    request = Request("u", "recognize this", text="call james on monday")
    ((_, whole),) = Decoder(TextModel(llm, PromptTemplate()), options).decode([request])
    end = next(i for i in whole.token_ids if i != whole.token_ids[0])
    llm.stop_ids = frozenset({llm.tokenizer.eos_id, end})
    for beams in (1, 2):
        options = DecodingOptions(max_length=6, beam_size=beams, loop_repeats=0)
        ((_, found),) = Decoder(TextModel(llm, PromptTemplate()), options).decode([request])
        tokens = _tokens(found, llm.tokenizer)
        if beams == 1:
            assert found.end_id == end and not found.truncated
        assert [token.id for token in tokens] == [*found.token_ids, *([] if found.truncated else [found.end_id])]
        assert found.truncated or tokens[-1].text == ""
    assert whole.end_id is None or whole.end_id in llm.stop_ids
