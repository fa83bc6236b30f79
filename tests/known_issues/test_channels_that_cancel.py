"""A balanced line recorded as stereo has channels of opposite phase: their mean was silence, which nothing said.

Likewise float samples at the scale of int16 passed without a word.
"""

import logging

import numpy as np
import soundfile

from slm_espnet.api.audio import read_speech
from slm_espnet.data import audio
from slm_espnet.data.audio import read_audio
from slm_espnet.data.datadir import AudioSource

RATE = 16000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE).clip(-1, 1).astype(np.float32)


def said(caplog):
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    audio._warn_once.cache_clear()
    return messages


def test_one_channel_is_taken_and_it_is_said_once(tmp_path, caplog):
    audio._warn_once.cache_clear()
    path = str(tmp_path / "phase.wav")
    soundfile.write(path, np.stack([NOISE * 0.5, -NOISE], axis=1), RATE)
    with caplog.at_level(logging.WARNING):  # a half: not cancelled
        np.testing.assert_allclose(read_audio(AudioSource(path), RATE), NOISE * -0.25, atol=1e-4)
        assert not said(caplog)
        soundfile.write(path, np.stack([NOISE * 0.99, -NOISE], axis=1), RATE)
        for _ in range(2):
            np.testing.assert_allclose(read_audio(AudioSource(path), RATE), -NOISE, atol=1e-4)
        (message,) = said(caplog)
        assert "phase.wav" in message and "channel 1 alone" in message
        np.testing.assert_allclose(read_speech(np.stack([NOISE, -NOISE]), RATE, RATE), NOISE, atol=1e-4)
        assert "opposite phase" in said(caplog)[0]
        soundfile.write(path, np.stack([NOISE, 0 * NOISE], axis=1), RATE)  # one microphone was off
        np.testing.assert_allclose(read_audio(AudioSource(path), RATE), NOISE / 2, atol=1e-4)
        np.testing.assert_allclose(read_audio(AudioSource(path, 0, 0.5), RATE, channel=1), 0, atol=1e-4)
        assert not said(caplog)


def test_floats_far_above_full_scale_are_said(tmp_path, caplog):
    audio._warn_once.cache_clear()
    path = str(tmp_path / "loud.wav")
    with caplog.at_level(logging.WARNING):
        soundfile.write(path, NOISE * 32768, RATE, subtype="FLOAT")
        np.testing.assert_allclose(read_audio(AudioSource(path), RATE), NOISE * 32768)
        (message,) = said(caplog)
        assert "loud.wav" in message and "full scale is 1" in message
        read_speech(NOISE * 32768, RATE, RATE)
        assert len(said(caplog)) == 1
        read_speech((NOISE * 32767).astype(np.int16), RATE, RATE)
        soundfile.write(path, NOISE * 2, RATE, subtype="FLOAT")
        read_audio(AudioSource(path), RATE)
        assert not said(caplog)
