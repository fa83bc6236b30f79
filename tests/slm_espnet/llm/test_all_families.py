"""Every family decodes the same alone, in a batch, in another order, with drafts, and as transformers itself does."""

import shutil

import pytest
import torch

from slm_espnet.decoding.search import search
from slm_espnet.decoding.types import DecodingOptions
from slm_espnet.errors import UserError
from slm_espnet.inference import Decoder, Request, TextModel
from slm_espnet.llm.build import build_llm
from slm_espnet.prompt import PromptTemplate

SEQ2SEQ = ("t5", "mt5", "bart", "mbart")
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


def is_near_tie(llm, template, request, answer):
    prompt = template.with_text(llm.tokenizer, request.text, request.instruction).ids
    return bool(answer) and margin(llm, list(prompt), answer) <= 1e-3


@torch.no_grad()
def generated(llm, prompt):
    stops = sorted(llm.stop_ids)
    options = dict(max_new_tokens=BOUND, do_sample=False, eos_token_id=stops, pad_token_id=0)
    found = llm.model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)).long(), **options)
    answer = found[0, len(llm.start_ids) if llm.is_encoder_decoder else len(prompt) :].tolist()
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


def test_tasks_mixed_in_a_batch_and_taken_up_again(llm):
    """Recognition, with drafts and a bound of its own, beside free answers; what was finished before is not needed."""
    said = ("call james", "book a table for two people", "the weather in london", "tell mary", "robert")
    requests = [
        Request(f"u{n}", "translate this", text=text, repeats=n % 2 == 0, recognizes=n % 2 == 0)
        for n, text in enumerate(said)
    ]
    template = PromptTemplate()
    for draft in ("none", "exact"):
        options = DecodingOptions(max_length=BOUND, max_length_ratio=0.5, max_length_offset=2, ctc_draft=draft,
                                  loop_repeats=0)  # fmt: skip
        decoder = Decoder(TextModel(llm, template), options)
        together = {name: one.token_ids for name, one in decoder.decode(requests)}
        if draft == "none":
            near = [r.utt_id for r in requests if is_near_tie(llm, template, r, together[r.utt_id])]
            expected = {name: ids for name, ids in together.items() if name not in near}
            assert len(near) <= 2, "rounding decides few of the answers"
        together = {name: ids for name, ids in together.items() if name not in near}
        assert together == expected
        for finished in (["u0", "u3"], ["u1", "u2", "u4"]):
            finished = {*finished, *near}
            rest = [one for batch in decoder.decode_batches(requests, finished) for one in batch]
            left = {name: ids for name, ids in expected.items() if name not in finished}
            assert {name: one.token_ids for name, one in rest} == left


def test_a_model_that_reads_more_than_embeddings_is_refused(model_directory, monkeypatch):
    from slm_espnet.llm.hf_causal import HFCausal

    embed = HFCausal.embed
    monkeypatch.setattr(HFCausal, "embed", lambda self, ids: embed(self, ids.flip(-1)))
    with pytest.raises(UserError, match="llama.*more of tokens than their embeddings, so speech"):
        build_llm("hf_causal", {"model": str(model_directory("llama"))})


def test_embeddings_of_each_layer_are_found_out(model_directory, tmp_path):
    """Gemma 3n looks its tokens up anew in every layer, which embeddings in their place cannot do."""
    from transformers import AutoModelForCausalLM

    folder = shutil.copytree(model_directory("gemma3n"), tmp_path / "gemma3n")
    model = AutoModelForCausalLM.from_pretrained(folder)
    for name, parameter in model.named_parameters():
        if name.endswith("correct_output_scale"):  # zero in a new model: no layer then sees its embeddings
            parameter.data.fill_(1.0)
    model.save_pretrained(folder)
    with pytest.raises(UserError, match="gemma3n_text.*more of tokens than their embeddings, so speech"):
        build_llm("hf_causal", {"model": str(folder)})


def test_a_model_that_sees_padding_is_refused(model_directory, monkeypatch):
    from transformers import LlamaForCausalLM

    forward = LlamaForCausalLM.forward
    unmasked = lambda self, *args, attention_mask=None, **others: forward(self, *args, **others)  # noqa: E731
    monkeypatch.setattr(LlamaForCausalLM, "forward", unmasked)
    with pytest.raises(UserError, match="llama.*sees padding on the left, so speech"):
        build_llm("hf_causal", {"model": str(model_directory("llama"))})


def test_an_encoder_decoder_that_cannot_be_run_by_its_parts_is_refused(model_directory, monkeypatch):
    from slm_espnet.llm.hf_seq2seq import HFSeq2Seq

    embed = HFSeq2Seq.embed
    monkeypatch.setattr(HFSeq2Seq, "embed", lambda self, ids: embed(self, ids + 1))
    with pytest.raises(UserError, match="t5.*other answers to embeddings than to tokens.*decoder-only"):
        build_llm("hf_seq2seq", {"model": str(model_directory("t5"))})
