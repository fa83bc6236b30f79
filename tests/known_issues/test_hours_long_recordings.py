"""Recordings were read whole, at their own rate and with all channels: 2.1 GB for an hour (openai/whisper#2256)."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr

from slm_espnet.data.audio import BLOCK, read_audio
from slm_espnet.data.datadir import AudioSource

RATE, TARGET = 44100, 16000


def noise(seconds, channels):
    return (0.1 * np.random.default_rng(0).standard_normal((round(seconds * RATE), channels))).astype(np.float32)


@pytest.mark.parametrize("start", [None, 0.25])
def test_read_in_blocks_it_is_what_it_is_as_a_whole(tmp_path, start):
    samples = noise(3.3 * BLOCK / RATE, 2)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    found = read_audio(AudioSource(str(tmp_path / "a.wav"), start, None if start is None else 4.5), TARGET)
    span = slice(round((start or 0) * RATE), None if start is None else round(4.5 * RATE))
    np.testing.assert_allclose(found, soxr.resample(samples[span].mean(axis=1), RATE, TARGET), atol=1e-6)
    np.testing.assert_allclose(read_audio(AudioSource(str(tmp_path / "a.wav")), RATE, 1), samples[:, 1])


def test_memory_is_about_that_of_the_result(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros((60 * RATE, 2), np.float32), RATE)
    tracemalloc.start()
    try:
        result = read_audio(AudioSource(str(tmp_path / "a.flac")), TARGET)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(result) == 60 * TARGET and result.nbytes < peak < 1.6 * result.nbytes


def test_channels_that_cancel_late_in_a_recording_are_found(tmp_path):
    samples = noise(2.5 * BLOCK / RATE, 1)
    soundfile.write(tmp_path / "a.wav", np.hstack([samples, -0.9 * samples]), RATE, subtype="FLOAT")
    assert np.abs(read_audio(AudioSource(str(tmp_path / "a.wav")), RATE) - samples[:, 0]).max() < 1e-6


@pytest.mark.slow
def test_three_hours_are_read_in_two_gigabytes(tmp_path):
    """In a process that may have no more than 2 GB of addresses: 0.7 GB is the result."""
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 2) as file:
        for _ in range(180):
            file.write(np.zeros((60 * RATE, 2), np.float32))
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000));"
        "from slm_espnet.data.audio import read_audio; from slm_espnet.data.datadir import AudioSource;"
        "print(len(read_audio(AudioSource(sys.argv[1]), 16000)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.flac"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 3 * 3600 * TARGET
