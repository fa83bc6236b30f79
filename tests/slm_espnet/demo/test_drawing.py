"""The picture: nothing of a recording is lost in it, however long."""

from xml.etree import ElementTree

import numpy as np
import pytest

from slm_espnet.api.results import Hearing
from slm_espnet.demo.drawing import COLUMNS, columns, draw, label_of

RATE = 1000


def hearing(samples, kept, blank=None, shift=0.04):
    times = np.arange(len(kept), dtype=np.float32) * np.float32(shift)
    kept = np.asarray(kept, dtype=bool)
    return Hearing(np.asarray(samples, np.float32), RATE, times, shift, kept, blank, int(kept.sum()), "")


def test_short_recordings_show_every_frame_where_it_is():
    kept = np.array([True, False, False, True, True] * 5)
    found = columns(hearing(np.ones(1000), kept, ~kept))
    middles = (found.edges[:-1] + found.edges[1:]) / 2
    of_column = (middles / 0.04).astype(int)
    np.testing.assert_array_equal(found.kept, kept[of_column])
    np.testing.assert_array_equal(found.blank, 1 - found.kept)


def test_long_recordings_keep_their_loudest_samples_and_the_share_of_frames():
    samples = np.zeros(3600 * RATE)
    samples[1234567], samples[2345678] = 0.5, -0.25
    kept = np.arange(90000) % 4 == 0
    found = columns(hearing(samples, kept))
    assert len(found.low) == COLUMNS and found.blank is None
    assert found.high[np.searchsorted(found.edges, 1234.567) - 1] == 1.0  # of the loudest
    assert found.low[np.searchsorted(found.edges, 2345.678) - 1] == -0.5
    np.testing.assert_allclose(found.kept, 0.25, atol=0.01)
    assert len(draw(hearing(samples, kept))) < 200_000, "the page of an hour is no larger than that of a minute"


@pytest.mark.parametrize("length", [1, 30, 5000])
def test_pictures_are_whole_elements_with_a_label_and_rows_for_what_is_known(length):
    kept = np.arange(max(1, length // 40)) % 2 == 0
    for blank in (None, ~kept):
        one = hearing(np.zeros(length), kept, blank)
        text = draw(one)
        root = ElementTree.fromstring(text)
        assert root.tag == "svg" and root.get("aria-label") == label_of(one)
        words = [element.text for element in root.iter("text")]
        assert ("CTC blank" in words) == (blank is not None) and "kept" in words
        assert "http" not in text, "nothing to fetch"


def test_the_axis_of_long_recordings_is_in_minutes():
    text = draw(hearing(np.ones(600 * RATE), np.ones(15000)))
    assert ">2:00<" in text and " s<" not in text
    assert ">0.2 s<" in draw(hearing(np.ones(RATE), np.ones(25)))
