"""Noise to encode, and the assertion that a batch changes nothing."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def speech() -> tuple[torch.Tensor, torch.Tensor]:
    """Four padded utterances of noise (4, N) and their lengths; two are equally long."""
    lengths = torch.tensor([9000, 16000, 12345, 9000])
    waves = 0.1 * torch.randn(4, 16000, generator=torch.Generator().manual_seed(5))
    return waves * (torch.arange(16000) < lengths[:, None]), lengths


@pytest.fixture
def assert_batch_is_single(speech):
    """Function (encoder, tolerance): every utterance comes out of a batch, in any order, as it does alone."""

    def check(encoder, tolerance: float = 2e-5) -> None:
        waves, lengths = speech
        order = torch.tensor([2, 0, 3, 1])
        together = encoder(waves[order], lengths[order])
        for row, source in enumerate(order.tolist()):
            alone = encoder(waves[source : source + 1, : lengths[source]], lengths[source : source + 1])
            count = int(alone.lengths[0])
            assert int(together.lengths[row]) == count
            scale = alone.frames.abs().max()
            assert (together.frames[row, :count] - alone.frames[0, :count]).abs().max() <= tolerance * scale
            if alone.ctc_log_probs is not None:
                torch.testing.assert_close(
                    together.ctc_log_probs[row, :count], alone.ctc_log_probs[0, :count], atol=10 * tolerance, rtol=0
                )

    return check
