"""Tiny random language models that end their answers now and then, beside transformers' own copy of each."""

import pytest
import torch
from tiny_decoding import corpus, decoded
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from slm_espnet.llm.build import build_llm

__all__ = ["corpus", "decoded"]

KINDS = {"t5": ("hf_seq2seq", AutoModelForSeq2SeqLM), "llama": ("hf_causal", AutoModelForCausalLM)}


def sharpened(auto, source, folder):
    """A copy of a tiny model that answers differently to different inputs, and ends now and then."""
    model = auto.from_pretrained(source).eval()
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.9 if "lm_head" in name else 0.35)
        model.lm_head.weight[model.config.eos_token_id] *= 1.6
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="session", params=["t5", "llama"])
def pair(request, tiny_t5, tiny_llama, tmp_path_factory):
    """(our LLM, transformers' model) of the same random weights."""
    kind, auto = KINDS[request.param]
    folder = tmp_path_factory.mktemp(f"decoding_{request.param}")
    model = sharpened(auto, {"t5": tiny_t5, "llama": tiny_llama}[request.param], folder)
    return build_llm(kind, {"model": str(folder)}), model


@pytest.fixture(scope="session")
def sharp_t5(tiny_t5, tmp_path_factory):
    """Directory of such a T5."""
    folder = tmp_path_factory.mktemp("sharp_t5")
    sharpened(AutoModelForSeq2SeqLM, tiny_t5, folder)
    return folder


@pytest.fixture(scope="session")
def inputs(pair):
    """Embeddings (12, S, E) of random token sequences of different lengths, and lengths."""
    llm, _ = pair
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(2, 15, (12,), generator=generator)
    ids = torch.randint(3, llm.vocab_size, (12, int(lengths.max())), generator=generator)
    with torch.no_grad():
        return llm.embed(ids), lengths
