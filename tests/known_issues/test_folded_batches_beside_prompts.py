"""Stage 3 came to write a third shape file, of prompts, and configurations with two fold lengths were refused."""

from __future__ import annotations

import numpy as np
import pytest

from slm_espnet.errors import UserError
from slm_espnet.training.shaping import Shaping, with_prompts

FILES = ["stats/speech_shape", "stats/target_shape", "stats/prompt_shape"]
LENGTHS = [np.array([10, 30, 70]), np.array([3, 4, 5]), np.array([900, 900, 900])]


def test_two_fold_lengths_go_on_to_mean_speech_and_targets():
    before = Shaping("folded", batch_size=2, fold_lengths=[50, 20]).form(LENGTHS[:2], [1, 1])
    now = Shaping("folded", batch_size=2, fold_lengths=with_prompts([50, 20], FILES)).form(LENGTHS, [1, 1, 1])
    assert [array.tolist() for array in now] == [array.tolist() for array in before]
    assert len(before[1]) == 3, "two batches, of which that of the longest is halved"


def test_nothing_else_is_filled_in():
    assert with_prompts([50, 20, 30], FILES) == [50, 20, 30]
    assert with_prompts([50], FILES[:2]) == [50] and with_prompts([], []) == []
    with pytest.raises(UserError, match="a fold_length for each of 3"):
        Shaping("folded", fold_lengths=with_prompts([50], FILES)).form(LENGTHS, [1, 1, 1])
