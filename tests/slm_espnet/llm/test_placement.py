"""A model over several devices: where its parts go, what does not fit, and that it computes the same."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, LlamaConfig, T5Config

from slm_espnet.errors import UserError
from slm_espnet.llm.build import build_llm, read_conf
from slm_espnet.llm.placement import place
from slm_espnet.llm.quantization import quantized_layers
from slm_espnet.planning.training import largest_batch
from slm_espnet.training.shapes import read_shapes

LAYERS = 6


@pytest.fixture
def llama():
    """Six layers of about 80,000 parameters and a vocabulary of 200, on paper."""
    config = LlamaConfig(vocab_size=200, hidden_size=64, intermediate_size=256, num_hidden_layers=LAYERS,
                         num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False)  # fmt: skip
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def size_of(model) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def test_layers_are_dealt_out_in_their_order_and_embeddings_are_on_the_first(llama):
    total = size_of(llama)
    placement = place(llama, "auto", free={0: total, 1: total, 2: total})
    assert placement.modules["model.embed_tokens"] == 0
    layers = [placement.modules[f"model.layers.{n}"] for n in range(LAYERS)]
    assert layers == sorted(layers) and set(layers) >= {0, 1} and placement.modules["lm_head"] == layers[-1]
    assert sum(placement.weights.values()) == total, "each parameter once"
    assert max(placement.weights.values()) < 0.7 * total, "balanced"


def test_shared_embeddings_are_in_one_place():
    with torch.device("meta"):
        config = T5Config(vocab_size=300, d_model=64, d_kv=16, d_ff=256, num_layers=4, num_heads=4)
        model = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)
    total = size_of(model)
    placement = place(model, "balanced", free={0: total, 1: total})
    names = [name for name in placement.modules if name in ("shared", "lm_head") or "embed_tokens" in name]
    assert {placement.modules[name] for name in names} == {0}
    assert sum(placement.weights.values()) == total and len(placement.weights) == 2


def test_quantized_weights_need_less_room(llama):
    quantized = sum(llama.get_submodule(name).weight.numel() for name in quantized_layers(llama))
    total = size_of(llama)
    assert sum(place(llama, "auto", quantization="8bit", free={0: total}).weights.values()) == total - quantized
    room = {0: int(0.3 * total), 1: int(0.35 * total)}
    assert place(llama, "auto", quantization="4bit", free=room).weights.keys() == {0, 1}
    with pytest.raises(UserError, match="the weights take .* GiB and there is room for .*--gpus_per_process.*8bit"):
        place(llama, "auto", free=room)


def test_max_memory_is_kept(llama):
    total = size_of(llama)
    placement = place(llama, "sequential", {0: total // 4, 1: f"{total // 1000}KB"}, free={0: total, 1: total})
    assert 0 < placement.weights[0] <= total // 4
    with pytest.raises(UserError, match="max_memory names 2, but there is only 0, 1"):
        place(llama, "auto", {2: 5}, free={0: total, 1: total})


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"device_map": "everywhere"}, "device_map must be one of auto, balanced, .*, not 'everywhere'"),
        ({"max_memory": {0: 5}}, "max_memory belongs to a device_map"),
    ],
)
def test_wrong_settings_are_one_line(conf, message):
    with pytest.raises(UserError, match=message):
        read_conf("hf_causal", {"model": "m", **conf})


@pytest.mark.parametrize("kind", ["hf_seq2seq", "hf_causal"])
def test_a_placed_model_computes_the_same_and_stays_where_it_is(kind, request, caplog):
    conf = {"model": str(request.getfixturevalue({"hf_seq2seq": "tiny_t5", "hf_causal": "tiny_llama"}[kind]))}
    with caplog.at_level(logging.INFO):
        placed, plain = build_llm(kind, {**conf, "device_map": "auto"}), build_llm(kind, conf)
    assert "go to devices cpu: 0.0 GiB" in caplog.text
    torch.manual_seed(0)
    inputs = torch.randn(2, 5, plain.dim)
    batch = torch.tensor([5, 3]), torch.tensor([[7, 8, 1], [9, 1, 0]]), torch.tensor([3, 2])
    results = []
    for llm in (placed, plain):
        speech = inputs.clone().requires_grad_()
        logits = llm.loss_logits(speech, *batch)
        logits.logsumexp(-1).sum().backward()
        results.append((logits, speech.grad))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
    assert placed.identity() == plain.identity(), "where it lies does not matter"
    assert placed.to("meta").embedding_table().device.type == "cpu"
    assert plain.to("meta").embedding_table().device.type == "meta"


def test_the_largest_batch_is_the_one_with_most_frames_and_is_split_between_processes(tmp_path):
    (tmp_path / "speech").write_text("a 10,4\nb 30,4\nc 12,4\nd 12,4\ne 12,4\n", encoding="utf-8")
    (tmp_path / "target").write_text("a 3\nb 4\nc 5\nd 6\ne 7\n", encoding="utf-8")
    shapes = read_shapes([tmp_path / name for name in ("speech", "target")])
    members, bounds = np.array([0, 1, 2, 3, 4, 1]), np.array([0, 2, 5, 6])  # a b, c d e, b
    frames, workload = largest_batch(shapes, members, bounds, 1)
    assert (frames, workload.batch_size, workload.target_tokens) == (30, 2, 4)
    assert largest_batch(shapes, np.array([2, 3, 4]), np.array([0, 3]), 2)[1].batch_size == 2
