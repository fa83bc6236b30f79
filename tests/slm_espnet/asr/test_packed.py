import pytest
import torch
from torch.nn import functional as F

from slm_espnet.asr.packed import Layout, ResidualConv


@pytest.mark.parametrize("multiple", [1, 16])
def test_packing_and_unpacking_keep_every_frame_and_pool_its_utterance(multiple):
    lengths = torch.tensor([5, 1, 3])
    padded = torch.randn(3, 6, 4)
    layout = Layout.of(lengths, 6, 2, multiple)
    packed = layout.pack(padded)
    assert packed.shape == ({1: 2 + 9 + 3 * 2, 16: 32}[multiple], 4)
    assert not packed[layout.gaps].any() and len(layout.gaps) == len(packed) - 9
    back = layout.unpack(packed)
    means = layout.pooling(torch.float32) @ packed
    for index, length in enumerate(lengths.tolist()):
        assert torch.equal(back[index, :length], padded[index, :length])
        assert torch.allclose(means[index], padded[index, :length].mean(0), atol=1e-6)


@pytest.mark.parametrize("dilation", [1, 3])
def test_block_equals_torch_convolution_forward_and_backward(dilation):
    torch.manual_seed(0)
    size, width, lengths = 6, 5, torch.tensor([7, 2, 4])
    layout = Layout.of(lengths, 7, gap=3)
    shapes = ((size,), (size,), (width, 3 * size), (width,), (size, width))
    weights = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    keep = (torch.rand(3, width) > 0.3).double()
    padded = torch.randn(3, 7, size, dtype=torch.float64)
    probe = torch.randn(3, 7, size, dtype=torch.float64)

    def ours(x, *parameters):
        rows = keep.index_select(0, layout.utterance)
        return layout.unpack(ResidualConv.apply(layout.pack(x), layout.gaps, dilation, rows, *parameters))

    def torchs(x, norm_weight, norm_bias, conv_weight, conv_bias, out):
        kernel = conv_weight.view(width, 3, size).transpose(1, 2)
        results = []
        for index, length in enumerate(lengths.tolist()):
            one = x[index, :length]
            normed = F.layer_norm(one, (size,), norm_weight, norm_bias)
            hidden = F.conv1d(normed.t()[None], kernel, conv_bias, padding=dilation, dilation=dilation)[0].t().relu()
            results.append(F.pad(one + (hidden * keep[index]) @ out.t(), (0, 0, 0, 7 - length)))
        return torch.stack(results)

    mask = (torch.arange(7) < lengths[:, None])[..., None]
    outcomes = []
    for function in (ours, torchs):
        inputs = [t.clone().requires_grad_() for t in (padded, *weights)]
        result = function(*inputs) * mask
        (result * probe).sum().backward()
        outcomes.append([result.detach(), *(t.grad for t in inputs)])
    for mine, expected in zip(*outcomes, strict=True):
        assert torch.allclose(mine, expected, atol=1e-9)
