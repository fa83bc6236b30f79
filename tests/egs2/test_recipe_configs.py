"""Configurations that recipes ship: each option exists, in the task and in what it configures."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
import yaml

from slm_espnet.adapter.build import build_adapter
from slm_espnet.espnet_model import ESPnetSLMModel
from slm_espnet.task import SLMTask

TOP = Path(__file__).resolve().parents[2]
TRAINING = sorted(TOP.glob("egs2/*/slm1/conf/train*.yaml"))


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: f"{path.parts[-4]}-{path.stem}")
def test_training_configuration_is_understood(path):
    options = SLMTask.get_parser().parse_args(["--config", str(path)])
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert all(getattr(options, key) == value for key, value in given.items())
    assert set(options.model_conf) <= set(inspect.signature(ESPnetSLMModel).parameters)
    adapter = build_adapter({**vars(options), "input_size": 24}, torch.randn(50, 16))
    out = adapter(torch.randn(2, 9, 24), torch.tensor([9, 4]), torch.randn(50, 16))
    assert out.embeddings.shape[0] == 2 and out.embeddings.shape[2] == 16


def test_the_paper_s_configuration_has_no_ctc():
    """train_linear.yaml stands for the paper: linear output, cross-entropy alone; else as train_asr.yaml."""
    folder = TOP / "egs2/mini/slm1/conf"
    ours, paper = (yaml.safe_load((folder / name).read_text()) for name in ("train_asr.yaml", "train_linear.yaml"))
    assert paper["adapter_output"] == "linear" and paper["model_conf"]["ctc_weight"] == 0
    differing = {key for key in {*ours, *paper} if ours.get(key) != paper.get(key)}
    assert differing == {"adapter_output", "adapter_output_conf", "model_conf"}
