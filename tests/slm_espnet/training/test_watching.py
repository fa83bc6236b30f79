"""Advice on a plateau, and checkpoints that were cut while they were written."""

from types import SimpleNamespace

import pytest
import torch

from slm_espnet.errors import UserError
from slm_espnet.training.diagnostics import ListeningMonitor, describe_loss
from slm_espnet.training.resume import CHECKPOINT, PREVIOUS, read_checkpoint
from slm_espnet.training.saving import save

DEAF = {"loss_ce": 2.0, "loss_ce_shuffled": 2.01, "loss_ce_empty": 2.1, "norm_ratio": 0.5}


def test_advice_comes_after_a_plateau_of_a_deaf_model_only():
    monitor = ListeningMonitor(patience=2)
    assert monitor.update({"loss": 2.0, **DEAF}) is None
    assert monitor.update({"loss": 2.0, **DEAF}) is None
    advice = monitor.update({"loss": 2.1, **DEAF})
    assert "not listening" in advice and "2.010" in advice and "ctc_weight" in advice
    assert monitor.update({"loss": 2.1, **DEAF}) is None, "said once for a plateau, not every epoch"
    listening = ListeningMonitor(patience=1)
    listening.update({"loss": 1.0})
    assert listening.update({"loss": 1.0, "loss_ce": 1.0, "loss_ce_shuffled": 5.0}) is None
    improving = ListeningMonitor(patience=1)
    assert not any(improving.update({"loss": 3.0 - n, **DEAF}) for n in range(3))


def test_a_cut_or_changed_checkpoint_is_named_and_gives_way_to_the_one_before(tmp_path, caplog):
    assert read_checkpoint(tmp_path) is None, "a fresh directory is nothing to complain about"
    save({"epoch": 1, "weights": torch.ones(3000)}, tmp_path / CHECKPOINT, tmp_path / PREVIOUS)
    save({"epoch": 2, "weights": torch.ones(3000)}, tmp_path / CHECKPOINT, tmp_path / PREVIOUS)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    assert read_checkpoint(tmp_path)[0]["epoch"] == 2
    middle = len(whole) // 2
    for broken in (whole[:middle], whole[:10], b"", whole[:middle] + b"\xff" * 8 + whole[middle + 8 :]):
        (tmp_path / CHECKPOINT).write_bytes(broken)
        caplog.clear()
        state, path = read_checkpoint(tmp_path)
        assert state["epoch"] == 1 and path.name == PREVIOUS
        assert f"{tmp_path / CHECKPOINT} is cut or damaged" in caplog.text
    (tmp_path / PREVIOUS).write_bytes(whole[:10])
    with pytest.raises(UserError, match=f"{CHECKPOINT} and .*{PREVIOUS}: cut or damaged.*remove them"):
        read_checkpoint(tmp_path)


def test_start_up_says_which_parts_the_loss_has():
    weights = {"ce_weight": 0.5, "kl_weight": 0.0, "kl_temperature": 2.0, "ctc_weight": 1.0, "ctc_only_steps": 0}

    def said(has_ctc=True, **changes):
        adapter = SimpleNamespace(output=SimpleNamespace(has_ctc=has_ctc))
        return describe_loss(SimpleNamespace(adapter=adapter, **{**weights, **changes}))

    assert said() == "0.5 cross-entropy + 1 CTC"
    assert said(has_ctc=False, ce_weight=0.0, kl_weight=1.5) == "1.5 KL to the LLM on the transcript (temperature 2)"
    assert said(ctc_only_steps=400) == "0.5 cross-entropy + 1 CTC; CTC alone in the first 400 steps"
