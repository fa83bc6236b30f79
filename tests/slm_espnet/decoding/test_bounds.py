"""Length bounds, loops and options."""

import pytest

from slm_espnet.decoding.bounds import find_loop, length_bound
from slm_espnet.decoding.types import DecodingOptions


def test_bound_follows_what_was_spoken():
    options = DecodingOptions(max_length=50, max_length_ratio=1.5, max_length_offset=10)
    assert [length_bound(options, n) for n in (0, 3, 4, 100)] == [10, 14, 16, 50]
    assert length_bound(options, None) == 50
    assert length_bound(DecodingOptions(max_length=50, max_length_ratio=0), 3) == 50


@pytest.mark.parametrize(
    ("ids", "keep"),
    [
        ([1, 2, 3] + [4] * 16, 4),
        ([1, 2, 3] + [4] * 15, None),
        ([1, 2, 3] + [4] * 40, 4),
        ([9] + [1, 2] * 8, 3),
        ([9, 2] + [1, 2] * 8, 3),  # the loop is [2, 1] and begins one token earlier
        ([9] + [1, 2, 3, 4, 5] * 4, 6),
        ([9] + [1, 2, 3, 4, 5] * 3, None),
        ([1, 2] * 8 + [7], None),
        ([], None),
    ],
)
def test_loops(ids, keep):
    assert find_loop(ids, ngram=4, repeats=4) == keep
    assert find_loop(tuple(ids), ngram=4, repeats=4) == keep
    assert find_loop(ids, ngram=4, repeats=0) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam_size": 0},
        {"max_length": 0},
        {"loop_repeats": 1},
        {"max_length_ratio": -1.0},
        {"max_length_offset": 0},
        {"batch_size": 0},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DecodingOptions(**wrong)
