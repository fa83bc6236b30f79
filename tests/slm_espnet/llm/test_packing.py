"""Packing: sequences that share rows give what they give alone, and its own arithmetic."""

import numpy as np
import pytest
import torch

from slm_espnet.llm.build import build_llm
from slm_espnet.llm.packing import packed_rows, plain_rows, spans

CAUSAL = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_images", "mistral", "gpt2")
CLOSE = dict(atol=2e-5, rtol=1e-4)
INPUTS, TARGETS = (19, 4, 7, 3, 12, 1), (5, 3, 2, 1, 4, 2)  # longer than the windows of the families that have one


def batch_of(llm):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(len(INPUTS), max(INPUTS), llm.dim, generator=generator)
    target = torch.randint(3, 20, (len(TARGETS), max(TARGETS)), generator=generator)
    return inputs, torch.tensor(INPUTS), target, torch.tensor(TARGETS)


@pytest.mark.parametrize("family", CAUSAL)
def test_packed_logits_and_gradients_are_those_of_each_sequence_alone(model_directory, family, monkeypatch):
    llm = build_llm("hf_causal", {"model": str(model_directory(family))})
    inputs, lengths, target, target_lengths = batch_of(llm)
    inputs.requires_grad_()
    shapes = []
    run = llm.model.base_model.forward
    monkeypatch.setattr(
        llm.model.base_model, "forward", lambda *a, **k: shapes.append(k["inputs_embeds"].shape[:2]) or run(*a, **k)
    )
    packed = llm.loss_logits(inputs, lengths, target, target_lengths)
    (gradient,) = torch.autograd.grad(packed.square().sum(), inputs)
    assert shapes[-1][0] < len(INPUTS), "rows were shared"
    done = 0
    for row, (size, target_size) in enumerate(zip(INPUTS, TARGETS, strict=True)):
        alone = inputs[row : row + 1, :size].detach().requires_grad_()
        own = lengths[row : row + 1], target[row : row + 1, :target_size], target_lengths[row : row + 1]
        logits = llm.loss_logits(alone, *own)
        torch.testing.assert_close(packed[done : done + target_size], logits, **CLOSE)
        (expected,) = torch.autograd.grad(logits.square().sum(), alone)
        assert (gradient[row, :size] - expected[0]).norm() < 1e-4 * expected.norm()
        assert not gradient[row, size:].any()
        done += target_size


def test_what_cannot_keep_sequences_apart_is_not_packed(model_directory, monkeypatch):
    directory = model_directory("llama")
    llm = build_llm("hf_causal", {"model": str(directory)})
    expected = build_llm("hf_causal", {"model": str(directory), "packing": False}).loss_logits(*batch_of(llm))
    run = llm.model.base_model.forward

    def leak(inputs_embeds, **arguments):  # as a recurrent model would
        return run(inputs_embeds=inputs_embeds + inputs_embeds.cumsum(1), **arguments)

    monkeypatch.setattr(llm.model.base_model, "forward", leak)
    assert not llm._packs()
    monkeypatch.undo()
    torch.testing.assert_close(llm.loss_logits(*batch_of(llm)), expected)


@pytest.mark.parametrize("lengths", [(5,), (3, 3, 3), (9, 1, 1, 1, 4, 5, 8, 2), (1,) * 7, (6, 0, 6, 3, 3)])
def test_every_position_has_a_place_of_its_own_in_rows_of_the_longest(lengths):
    lengths = np.array(lengths)
    for rows in (packed_rows(lengths.tolist()), plain_rows(lengths.tolist())):
        places = rows.flat(lengths)
        assert rows.size == lengths.max() and len(set(places.tolist())) == lengths.sum()
        expected = np.concatenate([np.arange(length) for length in lengths])
        assert (rows.positions(lengths).reshape(-1)[places] == expected).all()
        numbers = rows.sequences(lengths).reshape(-1)[places]
        pairs = {(place // rows.size, number) for place, number in zip(places.tolist(), numbers.tolist(), strict=True)}
        assert len(pairs) == (lengths > 0).sum()


def test_rows_are_shared_where_that_saves_a_tenth_of_them():
    assert packed_rows([10, 9, 9, 8, 8]).count == 5
    assert packed_rows([10, 5, 5, 4, 6]).count == 3 and packed_rows([10, 5, 5, 4, 6]).shared
    assert not packed_rows([20] * 18 + [10, 10]).shared, "one row of twenty is not worth a mask"
    assert spans(np.array([3, 9]), np.array([2, 3])).tolist() == [3, 4, 9, 10, 11]
