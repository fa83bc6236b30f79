"""Pauses in noise, in silence, and by a real VAD model where it is at hand."""

from __future__ import annotations

import numpy as np
import pytest

from slm_espnet.errors import UserError
from slm_espnet.long_audio.pauses import SileroPauses, energy_pauses
from slm_espnet.long_audio.recording import Waveform

from .conftest import RATE, make_talk


def test_energy_finds_the_pauses_of_speech_in_moderate_noise():
    quiet, noisy = (energy_pauses(Waveform(make_talk(40, 1, noise=noise).samples, RATE)) for noise in (1e-4, 0.02))
    assert len(quiet) >= 5
    assert len(noisy) == len(quiet) and np.allclose(noisy, quiet, atol=0.05)


def test_recordings_without_contrast_have_no_pauses_and_silence_is_all_pause():
    random = np.random.default_rng(0)
    assert energy_pauses(Waveform(0.1 * random.standard_normal(20 * RATE).astype(np.float32), RATE)) == []
    assert energy_pauses(Waveform(np.zeros(20 * RATE, np.float32), RATE)) == [(0.0, 20.0)]


def test_a_short_click_does_not_end_a_pause():
    samples = np.concatenate([make_talk(5, 1, 0).samples, np.zeros(2 * RATE), make_talk(5, 2, 0).samples])
    middle = len(make_talk(5, 1, 0).samples) + RATE
    samples[middle : middle + 100] = 0.5
    pauses = energy_pauses(Waveform(samples.astype(np.float32), RATE))
    assert len([pause for pause in pauses if pause[1] - pause[0] > 1.9]) == 1


def test_a_missing_silero_model_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.onnx: no such file"):
        SileroPauses(tmp_path / "nowhere.onnx")


def test_silero_hears_pauses_between_recordings(top):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = top.parent / "shared" / "data" / "weights" / "silero_vad" / "silero_vad.onnx"
    if not model.is_file():
        pytest.skip("silero_vad.onnx is not in ../shared")
    find = SileroPauses(model)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(16000 * 4).astype(np.float32)
    assert find(Waveform(noise, 16000)) == [(0.0, 4.0)]
    with pytest.raises(UserError, match="16000 Hz"):
        find(Waveform(noise, 8000))
