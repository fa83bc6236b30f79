"""Encoders without CTC: Whisper's windows, and self-supervised models."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from slm_espnet.errors import UserError
from slm_espnet.speech_encoder.build import build_speech_encoder


@pytest.fixture(scope="session")
def whisper(speech_model):
    """A tiny Whisper with windows of 2 s."""
    return build_speech_encoder(*speech_model("whisper"))


def test_whisper_is_cut_to_the_length_of_the_speech(whisper, assert_batch_is_single):
    assert whisper.frame_shift == 0.02 and whisper.blank_id is None and whisper.vocabulary is None
    output = whisper(torch.randn(1, 9000), torch.tensor([9000]))
    assert output.lengths.tolist() == [29] and output.frames.shape == (1, 29, 16)  # 9000 / 320, rounded up
    assert_batch_is_single(whisper)


def test_whisper_takes_audio_longer_than_its_window(whisper):
    speech = 0.1 * torch.randn(2, 75000, generator=torch.Generator().manual_seed(0))
    speech[0, 20000:] = 0
    output = whisper(speech, torch.tensor([20000, 75000]))
    assert output.lengths.tolist() == [63, 235]
    assert output.frames[0, 63:].abs().max() == 0
    window = whisper(speech[1:, 32000:64000], torch.tensor([32000]))
    torch.testing.assert_close(output.frames[1, 100:200], window.frames[0], atol=1e-5, rtol=0)
    last = whisper(speech[1:, 64000:], torch.tensor([11000]))
    torch.testing.assert_close(output.frames[1, 200:], last.frames[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("samples", [159, 160, 161, 15999, 16000, 16001, 31999, 32000, 32001])
def test_short_windows_of_whisper_have_every_frame_at_the_seams(whisper, speech_model, samples):
    """Windows of 0.5 s: one frame for each 320 samples begun, whatever the number of windows."""
    kind, conf = speech_model("whisper")
    short = build_speech_encoder(kind, {**conf, "window_seconds": 0.5})
    speech = 0.1 * torch.randn(1, max(samples, 160), generator=torch.Generator().manual_seed(0))[:, :samples]
    if samples < short.min_samples:
        with pytest.raises(ValueError, match="too few"):
            short(speech, torch.tensor([samples]))
        return
    output = short(speech, torch.tensor([samples]))
    assert output.lengths.tolist() == [-(-samples // 320)] == whisper(speech, torch.tensor([samples])).lengths.tolist()
    parts = [part for part in speech.split(8000, dim=1) if part.size(1) >= short.min_samples]
    alone = [short(part, torch.tensor([part.size(1)])).frames[0] for part in parts]
    together = output.frames[0, : sum(map(len, alone))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def test_windows_of_whisper_are_part_of_its_identity_and_must_fit(speech_model, waveform_model):
    kind, conf = speech_model("whisper")
    whole = build_speech_encoder(kind, conf).identity()
    assert build_speech_encoder(kind, {**conf, "window_seconds": 2}).identity() == whole
    short = build_speech_encoder(kind, {**conf, "window_seconds": 0.5}).identity()
    assert short == {**whole, "window_seconds": "0.5"}
    for seconds in (0, 0.51, 2.02, -1):
        with pytest.raises(UserError, match="multiple of 0.02 s, at most 2 s"):
            build_speech_encoder(kind, {**conf, "window_seconds": seconds})
    other = str(waveform_model(hf.HubertConfig, hf.HubertModel, True))
    with pytest.raises(UserError, match="window_seconds is for Whisper"):
        build_speech_encoder("hf_encoder", {"model": other, "window_seconds": 1})


@pytest.mark.parametrize("layer_norm", [True, False])
def test_self_supervised_models(layer_norm, waveform_model, assert_batch_is_single):
    folder = waveform_model(hf.HubertConfig, hf.HubertModel, layer_norm)
    encoder = build_speech_encoder("hf_encoder", {"model": str(folder)})
    assert encoder.takes_padding is layer_norm
    assert encoder(torch.randn(1, 8000), torch.tensor([8000])).ctc_log_probs is None
    assert_batch_is_single(encoder)


def test_other_models_are_refused(tiny_t5):
    with pytest.raises(UserError, match="type t5.*whisper"):
        build_speech_encoder("hf_encoder", {"model": str(tiny_t5)})
