"""Batches are full, short of padding, and hold every recording."""

from __future__ import annotations

import numpy as np
import pytest

from slm_espnet.data.datadir import AudioSource
from slm_espnet.encodings.plan import MOST_IN_BATCH, Recording, batches


def recordings_of(seconds):
    return [Recording(f"{n:05d}", AudioSource("a.wav"), length) for n, length in enumerate(sorted(seconds)[::-1])]


@pytest.mark.parametrize("count", [1, 2, 30, 1000])
@pytest.mark.parametrize("batch_seconds", [5.0, 60.0, 900.0])
def test_batches_have_little_padding_and_are_not_too_long(batch_seconds, count):
    recordings = recordings_of(np.random.default_rng(0).lognormal(1.7, 0.7, count).clip(0.3, 35).tolist())
    found = batches(recordings, batch_seconds)
    assert [recording for batch in found for recording in batch] == recordings
    assert all(len(batch) == 1 or len(batch) * batch[0].seconds <= batch_seconds for batch in found)
    padded = sum(len(batch) * batch[0].seconds for batch in found)
    assert sum(recording.seconds for recording in recordings) >= 0.95 * padded


def test_a_batch_is_as_large_as_it_may_be():
    recordings = recordings_of([2.0] * 70)
    assert [len(batch) for batch in batches(recordings, 60.0)] == [30, 30, 10]
    assert max(map(len, batches(recordings_of([0.1] * 600), 60.0))) == MOST_IN_BATCH
    # all four would have 8.5 % of padding, the first three and the last have 4.9 %
    assert [len(batch) for batch in batches(recordings_of([10.0, 9.6, 8.5, 8.5]), 60.0)] == [3, 1]
    # one batch with much padding does not matter among many without
    recordings = recordings_of([10.0] * 600 + [10.0, 5.0])
    assert [len(batch) for batch in batches(recordings, 60.0)] == [6] * 100 + [2]


def test_recordings_of_unknown_length_are_taken_for_long():
    recordings = [recording._replace(seconds=None) for recording in recordings_of([1.0] * 7)]
    assert [len(batch) for batch in batches(recordings, 60.0)] == [3, 3, 1]
