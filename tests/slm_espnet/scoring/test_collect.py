"""Several experiments in one table."""

from __future__ import annotations

import json

import pytest

from slm_espnet.bin import compare
from slm_espnet.errors import UserError


def write(root, name, seed, value, inference="greedy", seen=False, **more):
    row = {"set": "test", "task": "qa", "language": "en", "metric": "accuracy", "value": value, "count": 10}
    row |= {"seen": seen, "cascade": 0.5, "bound": None, "seed": seed, "inference": inference, **more}
    (root / name).mkdir(exist_ok=True)
    (root / name / "results.json").write_text(json.dumps([row]))
    return str(root / name)


def test_mean_and_deviation_over_seeds(tmp_path):
    experiments = [write(tmp_path, f"mixture_seed{seed}", seed, 0.7 + seed / 10) for seed in (1, 2, 3)]
    experiments.append("paper's=" + write(tmp_path, "linear", 1, 0.25, seen=True))
    assert compare.main([*experiments, "--output", str(tmp_path / "out" / "all.md")]) == 0
    lines = (tmp_path / "out" / "all.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "|set|task|language|metric|mixture (3 seeds)|paper's (1 seed)|cascade|bound|"
    assert lines[2] == "|test|qa|en|accuracy|0.900 ± 0.100 u|0.250|0.500|-|"


def test_what_was_trained_without_labels_is_marked(tmp_path):
    own = write(tmp_path, "own", 1, 0.5, seen=True, self=True)
    assert compare.main([own, "--output", str(tmp_path / "all.md")]) == 0
    page = (tmp_path / "all.md").read_text(encoding="utf-8")
    assert "|0.500 s|" in page and "s: trained on the LLM's own answers" in page


def test_metrics_can_be_chosen(tmp_path, capsys):
    compare.main([write(tmp_path, "a", 1, 0.5), "--metrics", "wer,bleu"])
    assert "accuracy" not in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(tmp_path):
    one, again = write(tmp_path, "x_seed1", 1, 0.5), write(tmp_path, "x_seed2", 1, 0.6)
    with pytest.raises(UserError, match="are both 'x' with seed 1"):
        compare.main([one, again])
    with pytest.raises(UserError, match="stage 6"):
        compare.main([str(tmp_path / "nothing")])
    with pytest.raises(UserError, match="no results of inference tag 'beam'; it has greedy"):
        compare.main([one, "--inference_tag", "beam"])
    (tmp_path / "x_seed1" / "results.json").write_text("[{")
    with pytest.raises(UserError, match="results.json: not a valid list"):
        compare.main([one])
