"""A training whose steps had no loss (transcripts longer than the speech, or none) ran on and trained nothing."""

import pytest
import torch

from slm_espnet.errors import UserError
from slm_espnet.training.emptiness import MOST_EMPTY, EmptySteps, ctc_frames


def batch():
    """One transcript of three tokens for two frames, one that fits, one utterance without."""
    return {
        "speech_lengths": torch.tensor([4, 8, 4]),
        "transcript": torch.tensor([[5, 6, 7], [5, 6, 0], [0, 0, 0]]),
        "transcript_lengths": torch.tensor([3, 2, 0]),
    }


def counted():
    return EmptySteps(lambda sizes: [size // 2 for size in sizes])


def test_equal_neighbours_need_a_blank_between_them():
    assert [ctc_frames(tokens) for tokens in ([], [1], [1, 2], [1, 1], [1, 1, 1, 2])] == [0, 1, 2, 3, 6]


def test_many_empty_steps_in_a_row_end_the_training_with_counts():
    steps = counted()
    for _ in range(MOST_EMPTY - 1):
        steps.add([0.0], 0.0, [batch()])
    steps.add([0.5], 1.0, [batch()])  # one with a loss: counted anew
    for _ in range(MOST_EMPTY - 1):
        steps.add([0.0, 0.0], 0.0, [batch(), batch()])
    steps.end()
    with pytest.raises(UserError, match="20 steps in a row have no loss.* no transcript and .*length_reduction"):
        steps.add([0.0], 0.0, [batch()])


def test_an_epoch_without_any_loss_ends_the_training():
    steps = counted()
    steps.end()  # no step at all is no fault of the losses
    steps.add([0.0], 0.0, [batch()])
    with pytest.raises(UserError, match="of their 3 utterances 1 have no transcript and 1 one"):
        steps.end()


def test_a_step_with_a_gradient_is_not_empty():
    steps = counted()
    steps.add([0.0], 0.1, [batch()])
    steps.end()
