"""Where the Python API and `transcribe` put a model."""

import pytest

from slm_espnet.api.foundations import place_on
from slm_espnet.errors import UserError

ALONE = {"device_map": None, "max_memory": None}


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        (None, False, ("cpu", ALONE)),
        ("cpu", True, ("cpu", ALONE)),  # the LLM would be on GPUs, the adapter on the CPU
        ("cuda:1", True, ("cuda:1", ALONE)),  # or its first layers on GPU 0
        (None, True, ("cuda", {})),
        ("cuda", True, ("cuda", {})),
        ("auto", True, ("cuda", {"device_map": "auto", "max_memory": None})),
    ],
)
def test_adapter_and_language_model_go_to_the_same_place(device, gpus, expected, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus)
    assert place_on(device) == expected


def test_auto_needs_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="device auto .* torch finds none; use device cpu"):
        place_on("auto")
