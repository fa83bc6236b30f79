"""What is stored of a frame's posteriors says what all of them said, up to what was left out on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from slm_espnet.encodings.layout import Encoding, Layout
from slm_espnet.encodings.posteriors import FLOOR, LEAST, TOP_K, FramePosteriors

BLANK = 2


def peaked(frames: int, size: int, sharpness: float, seed: int = 0) -> np.ndarray:
    """(frames, size) float32 log-probabilities; a large sharpness leaves few likely tokens."""
    logits = sharpness * np.random.default_rng(seed).standard_normal((frames, size))
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def silent(log_probs: np.ndarray, frames: list[int], blank: float) -> np.ndarray:
    """The same with frames in which the blank has that probability, the others an equal share of the rest."""
    log_probs = log_probs.copy()
    log_probs[frames] = np.log((1 - blank) / (log_probs.shape[1] - 1))
    log_probs[frames, BLANK] = np.log(blank)
    return log_probs


def test_likely_tokens_are_kept_and_unlikely_ones_are_at_the_floor():
    log_probs = peaked(50, 30, 6.0)
    found = FramePosteriors.from_dense(log_probs, BLANK)
    unlikely = log_probs < FLOOR
    assert 100 < unlikely.sum() < unlikely.size - 100
    np.testing.assert_allclose(found.dense()[~unlikely], log_probs[~unlikely], rtol=2**-11)
    assert (found.dense()[unlikely] == np.float32(FLOOR)).all()
    assert found.best().tolist() == log_probs.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.row_best(), log_probs.max(axis=1)[found.rows], rtol=2**-11)


def test_sure_blanks_are_positions_alone():
    log_probs = silent(silent(peaked(9, 30, 6.0), [0, 4, 5, 8], 0.9995), [2], 0.998)
    found = FramePosteriors.from_dense(log_probs, BLANK)
    assert found.rows.tolist() == [1, 2, 3, 6, 7]
    assert (found.best()[[0, 2, 4, 5, 8]] == BLANK).all()
    dense = found.dense()
    assert (dense[[0, 4, 5, 8], BLANK] == 0).all()
    assert (np.delete(dense[[0, 4, 5, 8]], BLANK, axis=1) == np.float32(FLOOR)).all()
    assert dense[2, BLANK] == pytest.approx(np.log(0.998), abs=1e-5)


def test_tokens_beyond_the_largest_number_share_what_is_left():
    """An odd frame in which very many tokens are possible rules none of them out."""
    found = FramePosteriors.from_dense(np.full((1, 1000), -np.log(1000.0), np.float32), BLANK)
    assert len(found.ids) == TOP_K
    np.testing.assert_allclose(found.dense(), -np.log(1000.0), atol=2e-2)
    two = np.full((1, 1000), 0.2 / 998)
    two[0, [7, 9]] = 0.4
    dense = FramePosteriors.from_dense(np.log(two), BLANK).dense()
    np.testing.assert_allclose(np.exp(dense.astype(np.float64)).sum(), 1.0, atol=5e-3)
    none_left = np.full((1, 1000), LEAST / 100)
    none_left[0, :TOP_K] = (1 - none_left[0, TOP_K:].sum()) / TOP_K
    assert FramePosteriors.from_dense(np.log(none_left), BLANK).row_floors == pytest.approx([FLOOR])
    few = np.full((1, 1000), LEAST / 10)
    few[0, 7] = 1 - 999 * LEAST / 10
    assert FramePosteriors.from_dense(np.log(few), BLANK).row_floors == pytest.approx([FLOOR])


def test_chosen_columns_and_groups_of_tokens_are_those_of_all():
    log_probs = silent(peaked(40, 60, 3.0, seed=1), [0, 1, 20, 39], 0.9999)
    found = FramePosteriors.from_dense(log_probs, BLANK)
    dense = found.dense()
    for chosen in ([5], [59, BLANK, 0], list(range(0, 60, 7))):
        np.testing.assert_array_equal(found.columns(chosen), dense[:, chosen])
        np.testing.assert_array_equal(found.row_columns(chosen), dense[found.rows][:, chosen])
    marked = np.arange(60) % 5 == 4
    np.testing.assert_array_equal(found.row_highest(marked), dense[found.rows][:, marked].max(axis=1))


def test_nothing_but_silence():
    found = FramePosteriors.from_dense(silent(peaked(6, 30, 1.0), list(range(6)), 0.9999), BLANK)
    assert len(found.rows) == 0 and found.best().tolist() == [BLANK] * 6
    assert found.dense().shape == (6, 30) and found.row_highest(np.ones(30, bool)).shape == (0,)


@pytest.mark.parametrize(("size", "id_bytes"), [(30, 1), (256, 1), (257, 2), (1024, 2), (70000, 4)])
def test_a_cache_gives_back_what_was_stored_and_stores_no_more_than_needed(size, id_bytes):
    """Per frame a bit, per row a byte, per token its id and two bytes."""
    log_probs = silent(peaked(23, size, 8.0, seed=2), [3, 4, 5, 6, 22], 0.9999)
    found = FramePosteriors.from_dense(log_probs, BLANK)
    layout = Layout({"dim": 4, "storage_dtype": "float16", "blank_id": BLANK, "vocabulary": [""] * size})
    places = np.array([1, 9], np.int32)
    packed = layout.pack(Encoding(np.ones((2, 4)), places, places + 2, 23, 0.7, "", found))
    needed = 16 + 2 * (4 * 2 + 2 * 4) + 3 + 18 + len(found.ids) * (id_bytes + 2)
    assert needed <= len(packed) < needed + 16
    stored = layout.unpack(np.frombuffer(packed, np.uint8))["posteriors"]
    assert (stored.frames, stored.vocabulary_size, stored.blank_id) == (23, size, BLANK)
    for name in ("rows", "counts", "ids", "log_probs"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(found, name))
    np.testing.assert_array_equal(stored.columns([0, 7, 29]), found.columns([0, 7, 29]))
