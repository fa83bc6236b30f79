"""Every family decodes the same alone, in a batch, in another order, with drafts, and as transformers itself does."""

import pytest
import torch

from slm_espnet.decoding.search import search
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.errors import UserError
from slm_espnet.llm.build import build_llm

SEQ2SEQ = ("t5", "mt5")
CAUSAL = (
    "llama", "qwen2", "qwen3", "gemma2", "gemma3", "mistral", "phi", "gpt2", "bloom", "falcon", "falcon_alibi", "opt",
    "gpt_neox", "smollm3", "granite",
)  # fmt: skip
PROMPTS = [[5, 9, 17, 4, 22, 30, 8, 11, 6, 40], [7, 13, 6], [12, 25, 9, 31, 6, 7]]
BOUND = 10
GREEDY = DecodingOptions(ctc_draft="none", loop_repeats=0)
BEAM = DecodingOptions(ctc_draft="none", loop_repeats=0, beam_size=3)


@pytest.fixture(params=CAUSAL + SEQ2SEQ)
def llm(request, model_directory):
    kind = "hf_seq2seq" if request.param in SEQ2SEQ else "hf_causal"
    return build_llm(kind, {"model": str(model_directory(request.param))})


@torch.no_grad()
def decode(llm, prompts, options, drafts=None):
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(prompt) for prompt in prompts], batch_first=True)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    return search(llm, llm.embed(ids), lengths, [BOUND] * len(prompts), options, drafts)


def ids_of(results):
    return [result.token_ids for result in results]


@torch.no_grad()
def margin(llm, prompt, answer):
    """By how much the likeliest token leads, at the closest step of a greedy answer."""
    inputs = llm.embed(torch.tensor([prompt]))
    _, logits = llm.begin(inputs, torch.tensor([len(prompt)]), torch.tensor([answer[:-1]], dtype=torch.int64))
    best = logits[0].topk(2).values
    return float((best[:, 0] - best[:, 1]).min())


@torch.no_grad()
def generated(llm, prompt):
    stops = sorted(llm.stop_ids)
    options = dict(max_new_tokens=BOUND, do_sample=False, eos_token_id=stops, pad_token_id=0)
    found = llm.model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)).long(), **options)
    answer = found[0, 1 if llm.is_encoder_decoder else len(prompt) :].tolist()
    return tuple(answer[:-1] if answer[-1] in stops else answer)


def test_every_way_of_decoding_gives_the_same(llm):
    alone = [decode(llm, [prompt], GREEDY)[0].token_ids for prompt in PROMPTS]
    assert max(map(len, alone)) > 3
    for prompt, answer in zip(PROMPTS, alone, strict=True):
        assert not answer or margin(llm, prompt, answer) > 1e-3  # rounding decides nothing below
    assert ids_of(decode(llm, PROMPTS, GREEDY)) == alone
    assert ids_of(decode(llm, PROMPTS[::-1], GREEDY)) == alone[::-1]
    assert [generated(llm, prompt) for prompt in PROMPTS] == alone

    exact = DecodingOptions(ctc_draft="exact", loop_repeats=0)
    wrong = [(*answer[:2], 50 + row, *answer[3:]) for row, answer in enumerate(alone)]
    for drafts in (alone, wrong, [alone[0], (), wrong[2]]):
        assert ids_of(decode(llm, PROMPTS, exact, drafts)) == alone

    beams = [decode(llm, [prompt], BEAM)[0].token_ids for prompt in PROMPTS]
    assert ids_of(decode(llm, PROMPTS, BEAM)) == beams


def test_a_model_that_reads_more_than_embeddings_is_refused(model_directory, monkeypatch):
    from slm_espnet.llm.hf_causal import HFCausal

    embed = HFCausal.embed
    monkeypatch.setattr(HFCausal, "embed", lambda self, ids: embed(self, ids.flip(-1)))
    with pytest.raises(UserError, match="llama.*more of tokens than their embeddings; choose"):
        build_llm("hf_causal", {"model": str(model_directory("llama"))})


def test_a_model_that_sees_padding_is_refused(model_directory, monkeypatch):
    from transformers import LlamaForCausalLM

    forward = LlamaForCausalLM.forward
    unmasked = lambda self, *args, attention_mask=None, **others: forward(self, *args, **others)  # noqa: E731
    monkeypatch.setattr(LlamaForCausalLM, "forward", unmasked)
    with pytest.raises(UserError, match="llama.*sees padding on the left; choose"):
        build_llm("hf_causal", {"model": str(model_directory("llama"))})
