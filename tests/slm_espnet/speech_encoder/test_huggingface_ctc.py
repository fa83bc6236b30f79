"""CTC models of every family: the batch does not matter, text and times are right, misuse is refused."""

from __future__ import annotations

import json

import pytest
import torch
import transformers as hf

from slm_espnet.errors import UserError
from slm_espnet.speech_encoder.base import ctc_greedy
from slm_espnet.speech_encoder.build import build_speech_encoder

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture(scope="session")
def wav2vec2(waveform_model):
    return waveform_model(hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC, True)


@pytest.mark.parametrize(
    ("family", "layer_norm", "takes_padding"),
    [("Wav2Vec2", True, True), ("Wav2Vec2", False, False), ("Hubert", True, True), ("WavLM", True, True),
     ("WavLM", False, False)],
)  # fmt: skip
def test_models_of_waveforms(family, layer_norm, takes_padding, waveform_model, assert_batch_is_single):
    folder = waveform_model(getattr(hf, f"{family}Config"), getattr(hf, f"{family}ForCTC"), layer_norm)
    encoder = build_speech_encoder("hf_ctc", {"model": str(folder)})
    assert encoder.takes_padding is takes_padding  # a group norm sees the padding of its row
    assert_batch_is_single(encoder)
    assert encoder.frame_shift == 0.02 and encoder.dim == 16 and encoder.sampling_rate == 16000


def test_filter_bank_models(save_model, assert_batch_is_single):
    bert = hf.Wav2Vec2BertConfig(
        **SMALL, vocab_size=8, feature_projection_input_dim=160, conv_depthwise_kernel_size=3, pad_token_id=0
    )
    folder = save_model(hf.Wav2Vec2BertForCTC, bert, hf.SeamlessM4TFeatureExtractor(feature_size=80))
    encoder = build_speech_encoder("hf_ctc", {"model": str(folder)})
    assert encoder.frame_shift == 0.02 and encoder.takes_padding
    assert_batch_is_single(encoder)
    parts = hf.ParakeetEncoderConfig(**SMALL, num_mel_bins=40, subsampling_conv_channels=8, conv_kernel_size=3)
    parakeet = hf.ParakeetCTCConfig(vocab_size=8, pad_token_id=0, encoder_config=parts.to_dict())
    folder = save_model(hf.ParakeetForCTC, parakeet, hf.ParakeetFeatureExtractor(feature_size=40))
    encoder = build_speech_encoder("hf_ctc", {"model": str(folder)})
    assert encoder.frame_shift == 0.08 and encoder.takes_padding
    assert_batch_is_single(encoder)


def test_frames_are_what_the_ctc_layer_reads(wav2vec2, speech):
    encoder = build_speech_encoder("hf_ctc", {"model": str(wav2vec2)})
    output = encoder(*speech)
    assert not output.frames.requires_grad
    again = encoder.head(output.frames).log_softmax(-1)
    torch.testing.assert_close(again, output.ctc_log_probs)
    # and the whole is what transformers computes
    model = hf.Wav2Vec2ForCTC.from_pretrained(wav2vec2).eval()
    values = hf.Wav2Vec2FeatureExtractor.from_pretrained(wav2vec2)(speech[0][1].numpy(), sampling_rate=16000)
    expected = model(torch.tensor(values["input_values"][0])[None]).logits[0].log_softmax(-1)
    torch.testing.assert_close(output.ctc_log_probs[1], expected, atol=1e-4, rtol=0)


def test_text_keeps_genuine_repetitions_and_leaves_special_tokens_out(wav2vec2):
    encoder = build_speech_encoder("hf_ctc", {"model": str(wav2vec2)})
    path = torch.tensor([5, 5, 0, 7, 0, 7, 7, 4, 4, 6, 3, 0])  # a a _ l _ l l | | b <unk> _
    log_probs = torch.nn.functional.one_hot(path, 8).float().log_softmax(-1)
    tokens, starts = ctc_greedy(log_probs, encoder.blank_id)
    assert starts == [0, 3, 5, 7, 9, 10]
    assert encoder.ctc_text(tokens) == "all b"
    assert encoder.vocabulary[4] == "|" and len(encoder.vocabulary) == 8


def test_too_short_audio_is_known_beforehand(wav2vec2):
    encoder = build_speech_encoder("hf_ctc", {"model": str(wav2vec2)})
    shortest = encoder.min_samples
    assert int(encoder(torch.randn(1, shortest), torch.tensor([shortest])).lengths[0]) == 1
    with pytest.raises(ValueError, match="too few"):
        encoder(torch.randn(1, shortest - 1), torch.tensor([shortest - 1]))


def test_language_adapters(waveform_model, speech):
    folder = waveform_model(hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC, True, adapter_attn_dim=4)
    model = hf.Wav2Vec2ForCTC.from_pretrained(folder)
    from safetensors.torch import save_file

    weights = {name: torch.ones_like(value) for name, value in model._get_adapters().items()}
    save_file(weights, folder / "adapter.deu.safetensors")
    plain = build_speech_encoder("hf_ctc", {"model": str(folder)})
    letters = json.loads((folder / "letters.json").read_text(encoding="utf-8"))
    (folder / "vocab.json").write_text(json.dumps({"deu": letters}), encoding="utf-8")
    german = build_speech_encoder("hf_ctc", {"model": str(folder), "target_lang": "deu"})
    assert german.identity()["target_lang"] == "deu"
    assert german.identity()["weights_sha256"] != plain.identity()["weights_sha256"]
    assert not torch.allclose(german(*speech).frames, plain(*speech).frames)


def test_misuse_is_refused_with_a_cure(wav2vec2, waveform_model, tmp_path):
    for conf, said in (
        ({"model": str(tmp_path / "nothing")}, "does not exist"),
        ({"model": str(tmp_path)}, "no config.json"),
        ({"model": str(wav2vec2), "dtype": "float16"}, "bfloat16"),
        ({"model": str(wav2vec2), "target_lang": "deu"}, "no language adapters"),
        ({"model": str(wav2vec2), "lang": "deu"}, "unknown key.*lang.*target_lang"),
        ({}, "needs model"),
    ):
        with pytest.raises(UserError, match=said):
            build_speech_encoder("hf_ctc", conf)
    without_ctc = waveform_model(hf.Wav2Vec2Config, hf.Wav2Vec2Model, True)
    with pytest.raises(UserError, match="hf_encoder"):
        build_speech_encoder("hf_ctc", {"model": str(without_ctc)})
