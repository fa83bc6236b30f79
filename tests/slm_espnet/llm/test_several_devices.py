"""A model whose layers are on two devices: nothing meets what is on the other one.

There are no GPUs here. Tensors without numbers (torch's fake tensors) stand on `cpu` and `cpu:1`, and an operation on
both is an error, as it is on two GPUs. What a GPU alone can show (streams, pinned memory, real numbers) is not shown.
"""

import numpy as np
import pytest
import torch
import transformers
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch._subclasses.fake_tensor import FakeTensorMode

from slm_espnet.llm.hf_causal import HFCausal
from slm_espnet.llm.hf_seq2seq import HFSeq2Seq
from slm_espnet.llm.kv_cache import drop_last
from slm_espnet.llm.packing import packed_rows
from slm_espnet.llm.placement import place

HERE, THERE = "cpu", "cpu:1"
SMALL = dict(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
T5_SMALL = dict(vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0)
CAUSAL_MAP = {
    "model.embed_tokens": HERE, "model.layers.0": HERE, "model.layers.1": HERE, "model.layers.2": THERE,
    "model.layers.3": THERE, "model.norm": THERE, "lm_head": THERE,
}  # fmt: skip
T5_MAP = {
    "shared": HERE, "encoder.embed_tokens": HERE, "decoder.embed_tokens": HERE, "encoder.block.0": HERE,
    "encoder.block.1": HERE, "encoder.final_layer_norm": HERE, "decoder.block.0": THERE, "decoder.block.1": THERE,
    "decoder.final_layer_norm": THERE, "lm_head": THERE,
}  # fmt: skip

BART_SMALL = dict(
    vocab_size=64, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
    encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64, decoder_start_token_id=2,
)  # fmt: skip
BART_MAP = {  # what accelerate makes of it, see below: the bias lies apart from the output layer
    "model.shared": HERE, "lm_head": HERE, "model.decoder.embed_tokens": HERE, "model.encoder": HERE,
    "model.decoder.embed_positions": HERE, "model.decoder.layernorm_embedding": THERE, "final_logits_bias": THERE,
    "model.decoder.layers": THERE,
}  # fmt: skip


class Hook(AlignDevicesHook):
    """Moves what goes into a module to where its weights are, as accelerate's; they are there already."""

    def init_hook(self, module):
        return module


def deal_out(model, places):
    """Put fake weights onto devices, with the hooks that accelerate's dispatch_model would add."""
    for name, module in model.named_modules():
        owners = [owner for owner in places if name == owner or name.startswith(f"{owner}.")]
        device = places[max(owners, key=len)] if owners else HERE
        for kind in (module._parameters, module._buffers):
            for key, value in kind.items():
                if value is not None:
                    path = f"{name}.{key}" if name else key
                    made = torch.empty(value.shape, dtype=value.dtype, device=places.get(path, device))
                    is_weight = kind is module._parameters
                    kind[key] = torch.nn.Parameter(made, requires_grad=False) if is_weight else made
        if not name or (owners and module.state_dict()):  # all below what is named in the map, as accelerate does
            hook = Hook(execution_device=device, io_same_device=not name, skip_keys="past_key_values")
            add_hook_to_module(module, hook)


@pytest.fixture
def fake(monkeypatch, tiny_llama, tiny_t5):
    """Function (kind, configuration, map) → an LLM of ours on fake devices."""
    tensor = torch.tensor

    def placed_tensor(data, *args, device=None, **options):  # fake tensors forget the device of a constant
        made = tensor(data, *args, **options)
        return made if device is None else torch.empty(made.shape, dtype=made.dtype, device=device)

    def make(llm_class, config, places):
        from slm_espnet.model_source import ModelSource

        config._attn_implementation = "eager"
        auto = "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"
        model = getattr(transformers, auto).from_config(config).eval()
        deal_out(model, places)
        module = "slm_espnet.llm.hf_seq2seq" if config.is_encoder_decoder else "slm_espnet.llm.hf_causal"
        monkeypatch.setattr(f"{module}.load_weights", lambda *_: model)
        monkeypatch.setattr(f"{module}.read_config", lambda _: config)
        monkeypatch.setattr(f"{module}.on_device", lambda array, device: placed_tensor(array, device=device))
        folder = tiny_t5 if config.is_encoder_decoder else tiny_llama
        llm = llm_class(ModelSource("fake", "", folder), "float32", device_map="auto")
        llm._packing = False  # which is tried with numbers
        return llm

    monkeypatch.setattr(torch, "tensor", placed_tensor)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield make


FAMILIES = {
    "llama": (HFCausal, lambda: transformers.LlamaConfig(**SMALL), CAUSAL_MAP),
    "gemma3": (HFCausal, lambda: transformers.Gemma3TextConfig(**SMALL, sliding_window=4), CAUSAL_MAP),
    "bart": (HFSeq2Seq, lambda: transformers.BartConfig(**BART_SMALL), BART_MAP),
    "mt5": (HFSeq2Seq, lambda: transformers.MT5Config(**T5_SMALL, tie_word_embeddings=False), T5_MAP),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_meets_what_is_on_another_device(fake, family):
    llm_class, config, places = FAMILIES[family]
    llm = fake(llm_class, config(), places)
    ids, lengths = torch.zeros(2, 5, dtype=torch.int64), torch.full((2,), 5)
    answer, answer_lengths = torch.zeros(2, 3, dtype=torch.int64), torch.full((2,), 3)
    inputs = llm.embed(ids)
    state, logits = llm.begin(inputs, lengths, answer)
    assert logits.device == llm.step(state, answer[:, :1]).device == inputs.device
    cache = state.cache.self_attention_cache if llm.is_encoder_decoder else state.cache
    devices = {layer.keys.device.index for layer in cache.layers}
    assert devices == ({1} if llm.is_encoder_decoder else {None, 1}), "the model is dealt out"
    states = llm.target_states(inputs, lengths, answer, answer_lengths, ([5, 5], [3, 3]))
    assert states.device == llm.logits(states).device == inputs.device, "where the targets are"


def test_the_bias_of_the_output_layer_moves_with_the_model(model_directory):
    """BART's bias belongs to no layer; it stayed on the CPU where the whole model went to a GPU."""
    from slm_espnet.llm.build import build_llm

    llm = build_llm("hf_seq2seq", {"model": str(model_directory("bart"))}).to("meta")
    assert llm.logits(torch.empty(3, llm.dim, device="meta")).device.type == "meta"


def test_accelerate_puts_the_bias_of_bart_apart_from_its_output_layer():
    """BART_MAP is what a model on two GPUs gets."""
    with torch.device("meta"):
        model = transformers.AutoModelForSeq2SeqLM.from_config(transformers.BartConfig(**BART_SMALL))
    total = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    places = place(model, "auto", free={0: total, 1: total}).modules
    assert {name: (HERE, THERE)[device] for name, device in places.items()} == BART_MAP


def test_rows_of_several_sequences_on_several_devices(fake):
    llm = fake(HFCausal, transformers.LlamaConfig(**SMALL), CAUSAL_MAP)
    llm._packing = True
    before, after = [9, 2, 2, 2], [3, 2, 2, 2]
    inputs = llm.embed(torch.zeros(4, 9, dtype=torch.int64))
    target = torch.zeros(4, 3, dtype=torch.int64)
    states = llm.target_states(inputs, torch.tensor(before), target, torch.tensor(after), (before, after))
    assert packed_rows([11, 3, 3, 3]).shared and states.device == inputs.device


def test_rows_of_caches_on_several_devices_are_moved_where_they_are(fake, monkeypatch):
    """What a draft leaves in the cache is moved to the right in each layer, on the layer's device."""
    llm = fake(*FAMILIES["llama"][:1], FAMILIES["llama"][1](), CAUSAL_MAP)
    inputs = llm.embed(torch.zeros(2, 5, dtype=torch.int64))
    state, _ = llm.begin(inputs, torch.full((2,), 5), torch.zeros(2, 3, dtype=torch.int64))
    state.reorder(torch.arange(2))
    counts = torch.zeros(2, dtype=torch.int64)
    monkeypatch.setattr(torch.Tensor, "aminmax", lambda _: (np.int64(1), np.int64(3)))  # fake ones have no numbers
    monkeypatch.setattr("slm_espnet.llm.kv_cache._without_empty_slots", lambda _, mask: mask)
    drop_last(state.cache, counts, state.mask)
    assert [layer.keys.size(2) for layer in state.cache.layers] == [7, 7, 7, 7]
    assert {layer.keys.device.index for layer in state.cache.layers} == {None, 1}
