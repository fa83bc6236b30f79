"""Static reductions keep what they say they keep, where it was, and never nothing."""

from __future__ import annotations

import pytest
import torch

from slm_espnet.errors import UserError
from slm_espnet.length_reduction.base import CTCPath
from slm_espnet.length_reduction.build import build_static_reduction

FRAMES = torch.arange(12.0).view(6, 2)


def log_probs_of(path: list[int], peak: float = 0.96) -> torch.Tensor:
    """(T, 3) with probability `peak` for each token of a path, the rest shared."""
    probabilities = torch.full((len(path), 3), (1 - peak) / 2)
    probabilities[torch.arange(len(path)), torch.tensor(path)] = peak
    return probabilities.log()


def test_blank_filter_drops_sure_blanks_only():
    log_probs = log_probs_of([0, 1, 0, 0, 2, 0])
    log_probs[3] = torch.tensor([0.94, 0.03, 0.03]).log()  # blank, but not sure
    reduced = build_static_reduction("ctc_blank", {"threshold": 0.95})(FRAMES, CTCPath.of(log_probs, 0))
    assert reduced.positions.tolist() == [1, 3, 4] and reduced.positions.dtype == torch.int32
    assert torch.equal(reduced.frames, FRAMES[[1, 3, 4]])
    assert reduced.stops.tolist() == [2, 4, 5] and reduced.stops.dtype == torch.int32
    assert len(build_static_reduction("ctc_blank", {"threshold": 1.0})(FRAMES, CTCPath.of(log_probs, 0)).positions) == 6


def test_blank_filter_keeps_the_least_blank_frame_of_silence():
    log_probs = log_probs_of([2] * 6, 0.99)
    log_probs[4] = log_probs_of([2], 0.97)[0]
    for threshold in (0.95, 0.0):
        reduced = build_static_reduction("ctc_blank", {"threshold": threshold})(FRAMES, CTCPath.of(log_probs, 2))
        assert reduced.positions.tolist() == [4]


def test_merge_averages_each_run_of_a_token():
    log_probs = log_probs_of([1, 1, 0, 1, 2, 2])
    reduced = build_static_reduction("ctc_merge")(FRAMES, CTCPath.of(log_probs, 0))
    assert reduced.positions.tolist() == [0, 3, 4] and reduced.stops.tolist() == [2, 4, 6]
    assert torch.equal(reduced.frames, torch.stack([FRAMES[:2].mean(0), FRAMES[3], FRAMES[4:].mean(0)]))
    assert reduced.stops.dtype == torch.int32
    silence = build_static_reduction("ctc_merge")(FRAMES, CTCPath.of(log_probs_of([0] * 6), 0))
    assert silence.positions.tolist() == [0] and torch.equal(silence.frames[0], FRAMES.mean(0))
    assert silence.stops.tolist() == [6]


def test_stacking_and_none():
    reduced = build_static_reduction("stack", {"factor": 4})(FRAMES, None)
    assert reduced.positions.tolist() == [0, 4] and reduced.stops.tolist() == [4, 6]
    assert reduced.frames.tolist() == [list(range(8)), [8, 9, 10, 11, 0, 0, 0, 0]]
    assert build_static_reduction("stack", {"factor": 4}).output_dim(2) == 8
    untouched = build_static_reduction("none")(FRAMES, None)
    assert torch.equal(untouched.frames, FRAMES) and untouched.positions.tolist() == list(range(6))
    assert untouched.stops.tolist() == list(range(1, 7))


def test_a_path_of_a_batch_is_cut_to_each_utterance():
    log_probs = torch.stack([log_probs_of([1, 1, 0, 1]), log_probs_of([0, 2, 2, 2])])
    row = CTCPath.of(log_probs, 0).row(1, 3)
    assert row.best.tolist() == [0, 2, 2] and torch.equal(row.blank, log_probs[1, :3, 0])


@pytest.mark.parametrize("kind", ["ctc_blank", "ctc_merge"])
def test_without_ctc_there_is_nothing_to_reduce_by(kind):
    with pytest.raises(ValueError, match="needs an encoder with CTC"):
        build_static_reduction(kind)(FRAMES, None)


def test_settings_are_part_of_the_identity():
    one, other = (build_static_reduction("ctc_blank", {"threshold": value}).identity() for value in (0.9, 0.95))
    assert one != other and one["kind"] == "ctc_blank"


@pytest.mark.parametrize(
    ("kind", "conf", "said"),
    [
        ("conv", {}, "trained with the adapter"),
        ("ctc", {}, "ctc_blank, ctc_merge, stack, none"),
        ("ctc_blank", {"treshold": 0.9}, "treshold; known: threshold"),
        ("ctc_blank", {"threshold": 95}, "between 0 and 1"),
        ("stack", {"factor": 0}, "from 1"),
        ("none", {"factor": 2}, "known: none"),
    ],
)
def test_wrong_settings_are_named(kind, conf, said):
    with pytest.raises(UserError, match=said):
        build_static_reduction(kind, conf)
