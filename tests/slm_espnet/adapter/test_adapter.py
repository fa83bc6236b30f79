"""Bodies, reductions and their assembly: the same whatever else is in the batch, and built from a configuration."""

import pytest
import torch

from slm_espnet.adapter.adapter import shorten
from slm_espnet.adapter.base import Placement
from slm_espnet.adapter.build import build_adapter
from slm_espnet.errors import UserError

TABLE = torch.randn(11, 8, generator=torch.Generator().manual_seed(0)) * 0.3
CONFIGS = {
    "transformer": {"adapter_conf": {"size": 16, "heads": 2, "layers": 2}},
    "transformer rotary": {"adapter_conf": {"size": 16, "heads": 2, "layers": 1, "positions": "rotary"}},
    "transformer none": {"adapter_conf": {"size": 16, "heads": 2, "layers": 1, "positions": "none"}},
    "transformer convolution": {
        "adapter_conf": {"size": 16, "heads": 2, "layers": 2, "positions": "none", "convolution": 5}
    },
    "mlp": {"adapter": "mlp", "adapter_conf": {"size": 16}},
    "conv": {"adapter": "conv", "adapter_conf": {"size": 16, "stride": 2, "kernel_size": 3}},
    "conv same": {"adapter": "conv", "adapter_conf": {"size": 16}},
    "conv reduction": {
        "adapter": "mlp",
        "adapter_conf": {"size": 16},
        "length_reduction": "conv",
        "length_reduction_conf": {"layers": 2, "output_size": 12},
    },
}


def make(name, output="linear", **conf):
    torch.manual_seed(1)
    config = {"input_size": 10, "adapter": "transformer", "adapter_output": output, **CONFIGS[name], **conf}
    return build_adapter(config, TABLE).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_batch_and_padding_change_nothing_and_lengths_are_those_promised(name):
    adapter = make(name)
    lengths = torch.tensor([9, 1, 14, 6])
    frames = torch.randn(4, 14, 10)
    together = adapter(frames, lengths, TABLE)
    factor = adapter.body.reduction_factor * (1 if adapter.reduction is None else adapter.reduction.reduction_factor)
    assert together.lengths.tolist() == [-(-n // factor) for n in lengths.tolist()]
    for row, length in enumerate(lengths.tolist()):
        alone = adapter(frames[row : row + 1, :length], lengths[row : row + 1], TABLE)
        size = int(alone.lengths)
        torch.testing.assert_close(together.embeddings[row, :size], alone.embeddings[0], atol=1e-5, rtol=1e-4)


def test_position_matters_only_where_it_is_encoded():
    frames = torch.randn(1, 6, 10)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for name, same in (
        ("transformer", False),
        ("transformer rotary", False),
        ("transformer convolution", False),
        ("transformer none", True),
    ):
        adapter = make(name)
        straight = adapter(frames, torch.tensor([6]), TABLE).embeddings[:, order]
        shuffled = adapter(frames[:, order], torch.tensor([6]), TABLE).embeddings
        assert torch.allclose(straight, shuffled, atol=1e-5) is same


def test_placements_follow_a_reduction():
    spans = [Placement(1, 3, (4,)), Placement(3, 7, (5,)), Placement(7, 7, (6,))]
    assert shorten(spans, 4) == [Placement(0, 1, (4,)), Placement(1, 2, (5,)), Placement(2, 2, (6,))]
    adapter = make("conv reduction")
    result = adapter(torch.randn(1, 16, 10), torch.tensor([16]), TABLE, [[Placement(5, 8, (2, 3))]])
    assert result.lengths.tolist() == [5]
    torch.testing.assert_close(result.embeddings[0, 1:3], TABLE[[2, 3]])


def test_dropout_is_off_outside_training():
    adapter = make("transformer")
    frames, lengths = torch.randn(2, 5, 10), torch.tensor([5, 5])
    assert torch.equal(adapter(frames, lengths, TABLE).embeddings, adapter(frames, lengths, TABLE).embeddings)
    adapter.train()
    assert not torch.equal(adapter(frames, lengths, TABLE).embeddings, adapter(frames, lengths, TABLE).embeddings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapter_conf": {"widht": 3}}, "adapter_conf has unknown key.*widht.*size"),
        ({"adapter": "qformer"}, "--adapter qformer.*transformer"),
        ({"adapter_conf": {"size": 17, "heads": 2}}, "adapter_conf: size 17"),
        ({"adapter_output": "linear", "adapter_output_conf": {"collapse": True}}, "collapse.*ctc_head"),
        ({"adapter_conf": {"positions": "learned"}}, "sinusoidal"),
        ({"adapter_conf": {"convolution": 4}}, "odd number of frames.*not 4"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(change, message):
    config = {"input_size": 10, "adapter": "transformer", "adapter_output": "linear", **change}
    with pytest.raises(UserError, match=message) as caught:
        build_adapter(config, TABLE)
    assert "\n" not in str(caught.value)
