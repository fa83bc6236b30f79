"""Phrases of a biasing list came back on silence and on noise."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from tiny_experiment import experiment, noise  # noqa: F401

from slm_espnet.biasing.context import PlacingBiaser, RetrievingBiaser
from slm_espnet.data.silence import may_hold_speech

RATE, NAMES = 16000, ("okafor", "mary", "ian")


def white(seconds, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).normal(size=round(RATE * seconds))).astype(np.float32)


def swinging(seconds, rate=RATE):
    """Noise with the ups and downs of syllables."""
    samples = np.random.default_rng(1).normal(size=round(rate * seconds))
    return 0.1 * samples * (1 + np.sin(2 * np.pi * 4 * np.arange(len(samples)) / rate))


@pytest.mark.parametrize("seconds", [0.5, 2.0, 10.0])
def test_silence_and_steady_noise_hold_no_speech(seconds):
    brown = np.cumsum(white(seconds, seed=2))
    for samples in (np.zeros(round(RATE * seconds)), white(seconds), white(seconds, 1e-5), white(seconds, 0.001),
                    0.3 * brown / np.abs(brown).max(), white(seconds) + 0.2):  # fmt: skip
        assert not may_hold_speech(samples, RATE)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_what_goes_up_and_down_passes_in_loud_noise_too(rate):
    speech = swinging(2.0, rate)
    loud = np.sqrt((speech**2).mean()) * np.random.default_rng(3).normal(size=len(speech))
    assert may_hold_speech(speech, rate) and may_hold_speech(speech + loud, rate)
    assert may_hold_speech(0.001 * speech, rate), "soft speech is speech"
    assert not may_hold_speech(loud, rate)


def test_short_sounds_are_judged_by_loudness_alone():
    assert may_hold_speech(white(0.2), RATE) and may_hold_speech(white(0.01), RATE)
    assert not may_hold_speech(np.zeros(100), RATE) and not may_hold_speech(np.zeros(0), RATE)


@pytest.mark.parametrize("biasing", ["prompt", "place", "retrieve"])
def test_recognition_of_silence_and_noise_is_empty_with_a_context(experiment, noise, biasing):  # noqa: F811
    """The mini encoder hears letters in both; without the gate a random adapter answers."""
    from slm_espnet.api.model import SLMInference

    slm = SLMInference.from_pretrained(experiment, device="cpu", max_length=6, biasing=biasing)
    answers = slm([np.zeros(2 * RATE, np.float32), white(2.0), noise(2.0)], rate=RATE, context=NAMES)
    assert [answer.text for answer in answers[:2]] == ["", ""] and not answers[1].truncated
    assert answers[2].tokens, "what is not steady is asked about"
    stream = slm.stream(white(2.0), rate=RATE, context=NAMES)
    assert list(stream) in ([], [""]) and stream.answer.text == ""
    assert slm(white(2.0), "what do you hear", rate=RATE).tokens, "other questions may be about the noise"


@dataclass
class Nothing:
    """An encoding of which no frame was kept."""

    posteriors: object = None
    frames: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))


def test_no_phrase_is_chosen_where_no_frame_is_kept():
    assert PlacingBiaser(None, None)(Nothing(), NAMES) == ([], ())
    assert RetrievingBiaser(None, 5)(Nothing(), NAMES) == ([], ())
