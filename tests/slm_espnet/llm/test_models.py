"""Every family gives exactly what transformers' own forward gives, alone or in a batch, with or without a cache."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from slm_espnet.llm.build import build_llm

CAUSAL = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_images", "mistral", "gpt2")
SEQ2SEQ = ("t5", "t5_gated", "mt5", "umt5")
PROMPTS = [[5, 9, 17, 4, 22, 30, 8, 11, 6, 40], [7, 13, 6], [12, 25, 9, 31, 6, 7]]
TARGETS = [[6, 8, 2], [10, 11, 12, 13, 2], [2]]
CLOSE = dict(atol=2e-5, rtol=1e-4)


def build(directory, family, **conf):
    kind = "hf_seq2seq" if family in SEQ2SEQ else "hf_causal"
    return build_llm(kind, {"model": str(directory), **conf})


def padded(rows):
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return ids, torch.tensor([len(row) for row in rows])


def batch_inputs(llm, rows):
    ids, lengths = padded(rows)
    noise = 100.0 * (torch.arange(ids.size(1)) >= lengths[:, None])[..., None]  # what is in the padding must not matter
    return llm.embed(ids) + noise, lengths


def reference(directory, family, prompt, target):
    """Logits (U, V) of one utterance by the untouched model, from token ids."""
    with torch.no_grad():
        if family in SEQ2SEQ:
            model = AutoModelForSeq2SeqLM.from_pretrained(directory)
            return model(input_ids=torch.tensor([prompt]), labels=torch.tensor([target])).logits[0]
        model = AutoModelForCausalLM.from_pretrained(directory)
        logits = model(input_ids=torch.tensor([[*prompt, *target[:-1]]])).logits[0]
        return logits[len(prompt) - 1 :]


@pytest.mark.parametrize("family", CAUSAL + SEQ2SEQ)
@torch.no_grad()
def test_loss_logits_and_steps_equal_the_models_own(model_directory, family):
    directory = model_directory(family)
    llm = build(directory, family)
    inputs, lengths = batch_inputs(llm, PROMPTS)
    target, target_lengths = padded(TARGETS)
    expected = [reference(directory, family, p, t) for p, t in zip(PROMPTS, TARGETS, strict=True)]

    torch.testing.assert_close(llm.loss_logits(inputs, lengths, target, target_lengths), torch.cat(expected), **CLOSE)

    state, first = llm.start(inputs, lengths)
    rest = llm.step(state, target[:, :-1])
    for row, logits in enumerate(expected):
        found = torch.cat([first[row : row + 1], rest[row]])[: len(logits)]
        torch.testing.assert_close(found, logits, **CLOSE)


@pytest.mark.parametrize("family", ("llama", "gemma", "gpt2", "t5"))
@torch.no_grad()
def test_embedding_table_is_what_embed_gives(model_directory, family):
    llm = build(model_directory(family), family)
    ids = torch.arange(llm.vocab_size)
    torch.testing.assert_close(llm.embedding_table(), llm.embed(ids), rtol=0, atol=0)
    assert llm.embedding_table().shape == (llm.vocab_size, llm.dim)
    assert llm.embedding_table() is llm.embedding_table()  # not computed at every training step


@pytest.mark.parametrize("family", ("llama", "gemma2", "gemma3", "mistral", "gpt2", "t5", "umt5"))
@torch.no_grad()
def test_state_can_be_reordered_repeated_shortened_and_cropped(model_directory, family):
    """Rows of different lengths stand side by side: as many positions as wished are forgotten in each."""
    llm = build(model_directory(family), family)
    inputs, lengths = batch_inputs(llm, PROMPTS)
    state, _ = llm.begin(inputs, lengths, torch.tensor([[5, 40], [6, 41], [7, 8]]))
    assert state.can_crop()
    state.crop(torch.tensor([1, 2, 0]))  # 5 | nothing | 7 8
    state.reorder(torch.tensor([2, 2, 0, 1]))
    llm.step(state, torch.tensor([[9, 30, 31, 32], [10, 11, 33, 34], [12, 13, 14, 35], [16, 17, 18, 19]]))
    state.crop(torch.tensor([3, 2, 1, 0]))
    state.reorder(torch.tensor([1, 2, 3, 0]))
    llm.step(state, torch.tensor([[20, 36], [21, 37], [22, 38], [23, 39]]))
    state.crop(torch.tensor([1, 1, 1, 1]))
    answers = [[7, 8, 10, 11, 20], [5, 12, 13, 14, 21], [16, 17, 18, 19, 22], [7, 8, 9, 23]]
    found = llm.step(state, torch.tensor([[24, 25]] * 4))
    for row, (prompt, answer) in enumerate(zip((2, 0, 1, 2), answers, strict=True)):
        inputs, lengths = batch_inputs(llm, [PROMPTS[prompt]])
        _, logits = llm.begin(inputs, lengths, torch.tensor([[*answer, 24, 25]]))
        torch.testing.assert_close(found[row], logits[0, -2:], **CLOSE)


@pytest.mark.parametrize("family", ("llama", "t5"))
def test_frozen_in_training_mode_too(model_directory, family):
    llm = build(model_directory(family), family).train()
    inputs, lengths = batch_inputs(llm, PROMPTS)
    inputs.requires_grad_(True)
    target, target_lengths = padded(TARGETS)
    first = llm.loss_logits(inputs, lengths, target, target_lengths)
    assert torch.equal(first, llm.loss_logits(inputs, lengths, target, target_lengths))  # no dropout
    first.sum().backward()
    valid = torch.arange(inputs.size(1)) < lengths[:, None]
    assert inputs.grad[valid].abs().sum() > 0
    assert not inputs.grad[~valid].any()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in llm.parameters())


def test_bfloat16_keeps_its_dtype_and_answers_in_float32(model_directory):
    llm = build(model_directory("t5"), "t5", dtype="bfloat16")
    assert llm.embedding_table().dtype == torch.bfloat16
    assert llm.identity()["dtype"] == "bfloat16"
    inputs, lengths = batch_inputs(llm, PROMPTS)
    with torch.no_grad():
        _, logits = llm.start(inputs.float(), lengths)
    assert logits.dtype == torch.float32 and bool(logits.isfinite().all())


def test_stop_ids_include_those_of_the_generation_config(tmp_path, model_directory):
    import json
    import shutil

    directory = shutil.copytree(model_directory("llama"), tmp_path / "model")
    settings = json.loads((directory / "generation_config.json").read_text())
    (directory / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": [2, 9]}))
    assert build(directory, "llama").stop_ids == {2, 9}


def test_an_output_layer_of_its_own_is_kept_as_it_is(tmp_path, model_directory):
    """mT0 and Flan-T5 have one, which transformers ties by its configuration alone."""
    import shutil

    from safetensors.torch import load_file, save_file

    directory = shutil.copytree(model_directory("mt5"), tmp_path / "model")
    tensors = load_file(directory / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn(tensors["shared.weight"].shape)
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    llm = build(directory, "mt5")
    assert torch.equal(llm.model.lm_head.weight, tensors["lm_head.weight"])
    assert torch.equal(llm.embedding_table(), tensors["shared.weight"])
