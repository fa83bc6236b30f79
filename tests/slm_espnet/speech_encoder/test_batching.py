"""What an encoder does with padding is found by trying it, and respected."""

from __future__ import annotations

import pytest
import torch

from slm_espnet.speech_encoder.base import EncoderOutput
from slm_espnet.speech_encoder.batching import AbsBatchedEncoder


class Windows(AbsBatchedEncoder):
    """A frame is the sum of 100 samples; `leak` lets it also see a part of what follows it."""

    sampling_rate, dim, frame_shift, blank_id, vocabulary = 1000, 1, 0.1, None, None

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.leak = leak
        self.batches: list[int] = []

    def encode(self, speech, speech_lengths):
        self.batches.append(len(speech))
        if speech.size(1) < 250:
            raise RuntimeError("kernel larger than input")
        frames = speech[:, : speech.size(1) // 100 * 100].unflatten(1, (-1, 100)).sum(-1, keepdim=True)
        later = torch.nn.functional.pad(frames, (0, 0, 0, 1), value=1.0)[:, 1:]
        return EncoderOutput(self.scale * (frames + self.leak * later), speech_lengths // 100, None)

    def ctc_text(self, token_ids):
        return ""

    def identity(self):
        return {}


@pytest.mark.parametrize(("leak", "batches"), [(0.0, [3]), (0.1, [2, 1])])
def test_only_an_encoder_that_sees_no_padding_gets_padded_batches(leak, batches):
    encoder = Windows(leak)
    assert encoder.min_samples == 250 and encoder.takes_padding is (leak == 0)
    lengths = torch.tensor([1000, 510, 1000])
    speech = torch.randn(3, 1000) * (torch.arange(1000) < lengths[:, None])
    encoder.batches.clear()
    output = encoder(speech, lengths)
    assert encoder.batches == batches
    assert output.lengths.tolist() == [10, 5, 10]
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(speech[row : row + 1, :length], lengths[row : row + 1])
        assert torch.equal(output.frames[row, : length // 100], alone.frames[0])


def test_padding_is_allowed_when_asked_for_and_its_price_said(caplog):
    exact, leaky, allowed = Windows(0.0), Windows(0.1), Windows(0.1)
    exact.allow_padding()
    assert exact.padding == "exact" and not caplog.records, "padding alters nothing here"
    assert not leaky.takes_padding and "one by one" in caplog.text
    allowed.allow_padding()
    assert allowed.padding == "allow" and "padding alters the frames" in caplog.text
    assert allowed.min_samples == 250
    allowed.batches.clear()
    allowed(torch.randn(3, 1000), torch.tensor([1000, 510, 1000]))
    assert allowed.batches == [3]


def test_frozen_encoders_stay_in_eval_mode():
    encoder = Windows(0.0).eval()
    assert not encoder.train().training and not encoder.train().requires_grad_(False).scale.requires_grad


def test_frame_shift_is_a_whole_number_of_hops():
    assert Windows(0.0).measured_frame_shift(20) == 0.1
