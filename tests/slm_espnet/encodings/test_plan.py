"""Batches are full, short of padding, and hold every recording."""

from __future__ import annotations

import numpy as np
import pytest

from slm_espnet.data.datadir import AudioSource
from slm_espnet.encodings.plan import MOST_IN_BATCH, Recording, batches


def recordings_of(seconds):
    return [Recording(f"{n:05d}", AudioSource("a.wav"), length) for n, length in enumerate(sorted(seconds)[::-1])]


@pytest.mark.parametrize("batch_seconds", [5.0, 60.0, 900.0])
def test_a_batch_has_little_padding_and_is_not_too_long(batch_seconds):
    recordings = recordings_of(np.random.default_rng(0).lognormal(1.7, 0.7, 1000).clip(0.3, 35).tolist())
    found = batches(recordings, batch_seconds)
    assert [recording for batch in found for recording in batch] == recordings
    for batch in found:
        padded = len(batch) * batch[0].seconds
        assert len(batch) == 1 or padded <= batch_seconds
        assert sum(recording.seconds for recording in batch) >= 0.95 * padded


def test_a_batch_is_as_large_as_it_may_be():
    recordings = recordings_of([2.0] * 70)
    assert [len(batch) for batch in batches(recordings, 60.0)] == [30, 30, 10]
    assert max(map(len, batches(recordings_of([0.1] * 600), 60.0))) == MOST_IN_BATCH
    # two and two: the third would make 6.3 % of the first batch padding
    assert [len(batch) for batch in batches(recordings_of([10.0, 9.6, 8.5, 8.5]), 60.0)] == [2, 2]


def test_recordings_of_unknown_length_are_taken_for_long():
    recordings = [recording._replace(seconds=None) for recording in recordings_of([1.0] * 7)]
    assert [len(batch) for batch in batches(recordings, 60.0)] == [3, 3, 1]
