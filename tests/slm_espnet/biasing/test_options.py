"""The YAML file of tuned biasing options."""

from __future__ import annotations

import pytest

from slm_espnet.biasing.options import BiasingOptions, load_options, save_options
from slm_espnet.errors import UserError


def test_options_survive_a_round_trip_and_bad_ones_are_refused(tmp_path):
    path = tmp_path / "conf" / "biasing.yaml"
    for options in (BiasingOptions(-4.25, 2), BiasingOptions({10: -4.0, 1000: 3.5}, 3, 0.25, "biasing.background.npz")):
        save_options(path, options, "tuned on dev")
        assert load_options(path) == options
        assert path.read_text().startswith("# tuned on dev\n")
    bad = ["treshold: -3", "threshold: low", "threshold: {}", "threshold: {0: 1.0}", "threshold: {10: x}"]
    for text in [*bad, "max_phrases: 0", "null_weight: true", "background: 3", "- 1", "a: ["]:
        path.write_text(text)
        with pytest.raises(UserError, match="biasing.yaml"):
            load_options(path)


def test_thresholds_between_list_sizes():
    assert BiasingOptions(-4.0).threshold_for(7) == -4.0
    options = BiasingOptions({100: 2.0, 10: -2.0, 1000: 3.0})
    assert [options.threshold_for(size) for size in (1, 10, 100, 1000, 10000)] == [-2.0, -2.0, 2.0, 3.0, 3.0]
    assert options.threshold_for(32) == pytest.approx(0.0, abs=0.03)  # about halfway in the logarithm
    with pytest.raises(ValueError, match="list sizes"):
        BiasingOptions({})
