"""Benchmarks run what the toolkit runs, at the size that a pair states."""

from __future__ import annotations

import runpy

import pytest
import torch

from slm_espnet.errors import UserError


@pytest.fixture(scope="module")
def models(top):
    return runpy.run_path(str(top / "benchmarks/models.py"))


@pytest.mark.parametrize("name", ["tiny_t5", "tiny_causal"])
def test_both_models_of_a_pair_run(models, name):
    pair = models["read_pair"](name)
    encoder, llm = models["random_encoder"](pair), models["random_llm"](pair)
    output = encoder(0.1 * torch.randn(2, 16000), torch.tensor([16000, 9000]))
    assert output.lengths[0] > output.lengths[1] > 0 and output.frames.isfinite().all()
    assert isinstance(encoder.ctc_text([1, 2]), str)
    _, logits = llm.start(torch.randn(1, 4, llm.dim), torch.tensor([4]))
    assert logits.shape == (1, 1000) and logits.isfinite().all()


def test_sizes_are_those_of_the_published_models(models, top):
    from slm_espnet.planning.models import encoder_on_paper, llm_on_paper, parameter_count

    known = {"base_t5": (94, 61), "base_causal": (94, 135), "parakeet_gemma_2b": (609, 2506),
             "parakeet_flan_t5_xl": (609, 2850), "parakeet_llama_8b": (609, 8030)}  # fmt: skip
    for name, (encoder, llm) in known.items():
        pair = models["read_pair"](name)
        assert parameter_count(encoder_on_paper(pair).model) / 1e6 == pytest.approx(encoder, rel=0.02), name
        assert parameter_count(llm_on_paper(pair)) / 1e6 == pytest.approx(llm, rel=0.02), name


def test_a_pair_without_sizes_is_refused(models, top):
    with pytest.raises(UserError, match="must state the sizes"):
        models["read_pair"](str(top / "conf/foundation/mini.yaml"))
    with pytest.raises(UserError, match="tiny_t5"):
        models["read_pair"]("no_such_pair")


def test_operations_of_a_product_are_counted(top):
    floors = runpy.run_path(str(top / "benchmarks/floors.py"))
    left, right = torch.randn(3, 5), torch.randn(5, 7)
    assert floors["operations"](lambda: left @ right) == 2 * 3 * 5 * 7
    floor = floors["Floor"](operations=10.0, bytes=4.0, device="cpu", dtype="float32")
    assert floor.seconds(20, 4) == 2.0 and floor.seconds(20, 12) == 3.0
