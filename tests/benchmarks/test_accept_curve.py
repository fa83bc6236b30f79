"""The curve of WER over speed: what is swept, how a setting is chosen, and that a figure comes out."""

from __future__ import annotations

import argparse
import runpy

import pytest

from slm_espnet.decoding.types import DecodingOptions, Hypothesis


@pytest.fixture(scope="module")
def curve(top):
    return runpy.run_path(str(top / "benchmarks/accept_curve.py"))


class TwoUtterances:
    """Answers that are worse and faster where CTC is believed."""

    texts = {"a": "one two three four", "b": "five six"}

    def decode(self, batch_size, **options):
        sure = DecodingOptions(**options).ctc_draft_entropy > 0.1
        for _ in range(1 if sure else 200_000):
            pass
        text = "one too three four" if sure else "one two three four"
        taken = Hypothesis(text, (1, 2), (), 0.0, passes=0 if sure else 1, from_ctc=sure)
        return {"a": taken, "b": Hypothesis("five six", (1, 2), (), 0.0, passes=1)}


def test_the_fastest_setting_within_the_rule_is_chosen_and_drawn(curve, tmp_path):
    args = argparse.Namespace(batch_size=2, repeats=3, device="cpu")
    exact = curve["Setting"]("adapter")
    points = curve["measure"]([TwoUtterances()], [exact, curve["Setting"]("encoder"), *curve["sweep"]()], args)
    assert points[0].wer == 0.0 and points[0].passes == pytest.approx(0.5) and points[0].taken == 0
    careful = curve["choose"](points[2:], points[0], 0.1)
    assert careful.wer == 0.0 and careful.setting.entropy <= 0.1
    bold = curve["choose"](points[2:], points[0], 20.0)
    assert bold.wer == pytest.approx(100 / 6) and bold.seconds < careful.seconds and bold.taken == 50
    best = curve["front"](points[2:])
    assert [point.wer for point in best] == sorted({0.0, bold.wer}) and best[-1] == bold
    worst = [point for point in points[2:] if point.wer > 0]
    assert curve["choose"](worst, points[0], 0.1).wer == bold.wer  # none is within: the least loss
    curve["draw"](points, bold, 0.1, tmp_path / "new" / "figure.png")
    assert (tmp_path / "new" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_sweep_accepts_something_and_a_point_is_read_as_it_is_shown(curve):
    settings = curve["sweep"]()
    assert len(set(settings)) == len(settings) > 15
    for setting in settings:
        options = DecodingOptions(**setting.options())
        assert options.ctc_draft == "accept" and (options.ctc_draft_entropy > 0 or options.ctc_draft_ratio < 1)
    assert curve["read_point"]("encoder,0.2,0.1,2") == curve["Setting"]("encoder", "accept", 0.2, 0.1, 2)
