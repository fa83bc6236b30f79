"""Encoders from ESPnet checkpoints: directories, packed models, ASR and OWSM-CTC."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from slm_espnet.errors import UserError
from slm_espnet.speech_encoder.build import build_speech_encoder
from slm_espnet.speech_encoder.espnet_parts import SHARED_ENCODERS, has_usual_parts

TOKENS = ["<blank>", "<unk>", "<space>", "a", "b", "l", "<sos/eos>"]
FRONTEND = {"fs": 8000, "n_fft": 128, "win_length": 128, "hop_length": 80, "n_mels": 10, "frontend_conf": None}
BASE = {
    "token_list": TOKENS, "token_type": "char", "input_size": None, "frontend": "default", "specaug": None,
    "normalize": "utterance_mvn", "normalize_conf": {}, "preencoder": None, "preencoder_conf": {}, "postencoder": None,
    "postencoder_conf": {}, "decoder": "transformer", "decoder_conf": {}, "ctc_conf": {}, "model": "espnet",
    "model_conf": {"ctc_weight": 1.0}, "joint_net_conf": None, "init": None,
}  # fmt: skip
CONV = BASE | {
    "frontend_conf": FRONTEND | {"center": False}, "encoder": "conv",
    "encoder_conf": {"output_size": 12, "hidden_size": 12, "stride": 3, "dilations": [1, 2], "context_blocks": [1],
                     "interctc_layer_idx": [1], "compute_dtype": "float32"},
}  # fmt: skip
CONFORMER = BASE | {
    "frontend_conf": FRONTEND, "encoder": "conformer", "model_conf": {"ctc_weight": 0.3},
    "decoder_conf": {"num_blocks": 1, "linear_units": 8},
    "encoder_conf": {"output_size": 12, "attention_heads": 2, "linear_units": 16, "num_blocks": 1,
                     "macaron_style": True, "use_cnn_module": True, "cnn_module_kernel": 5},
}  # fmt: skip


def save_espnet(folder: Path, config: dict) -> Path:
    """A random model as a training leaves it."""
    import argparse

    from slm_espnet.asr.task import ASRTask as task

    torch.manual_seed(0)
    model = task.build_model(argparse.Namespace(**config))
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    torch.save(model.state_dict(), folder / "valid.loss.ave.pth")
    return folder


@pytest.fixture(scope="session")
def conv(tmp_path_factory):
    return save_espnet(tmp_path_factory.mktemp("conv"), CONV)


@pytest.fixture(scope="session")
def conformer(tmp_path_factory):
    return save_espnet(tmp_path_factory.mktemp("conformer"), CONFORMER)


@pytest.mark.parametrize("name", ["conv", *sorted(SHARED_ENCODERS), "owsm_ctc"])
def test_without_espnets_task_it_is_the_same_model(name, request, speech, monkeypatch, tmp_path, speech_model):
    if name == "owsm_ctc":
        folder = speech_model(name)[1]["model"]
    elif name in ("conv", "conformer"):
        folder = request.getfixturevalue(name)
    else:
        conf = {"output_size": 12, "attention_heads": 2, "num_blocks": 1}
        conf |= {} if name == "branchformer" else {"linear_units": 16}
        conf |= {"cgmlp_linear_units": 16} if "branchformer" in name else {}
        folder = save_espnet(tmp_path / name, CONFORMER | {"encoder": name, "encoder_conf": conf})
    room = "slm_espnet.speech_encoder.espnet_ctc"
    with monkeypatch.context() as patch:
        patch.setattr(f"{room}._task", lambda _s2t_ctc: pytest.fail("it went the long way"))
        short = build_speech_encoder("espnet_ctc", {"model": str(folder)})
    monkeypatch.setattr(f"{room}.has_usual_parts", lambda _config: False)
    long = build_speech_encoder("espnet_ctc", {"model": str(folder)})
    assert short.identity() == long.identity()
    state, other_state = short.state_dict(), long.state_dict()
    assert state.keys() == other_state.keys()
    assert all(torch.equal(value, other_state[key]) for key, value in state.items())
    assert state["model.frontend.logmel.melmat"].any()
    one, other = short(*speech), long(*speech)
    torch.testing.assert_close(one.ctc_log_probs, other.ctc_log_probs, rtol=0, atol=0)
    torch.testing.assert_close(one.frames, other.frames, rtol=0, atol=0)


def test_what_is_not_usual_goes_through_espnets_task():
    assert has_usual_parts(CONV) and has_usual_parts(CONFORMER)
    unusual = ({"encoder": "rnn"}, {"frontend": "s3prl"}, {"decoder": "transducer"}, {"preencoder": "linear"},
               {"model": "maskctc"}, {"promptencoder": "rnn"}, {"token_list": "tokens.txt"})  # fmt: skip
    assert not any(has_usual_parts(CONFORMER | part) for part in unusual)


def test_an_encoder_of_a_rare_kind_goes_through_espnets_task(tmp_path, assert_batch_is_single):
    conf = {"output_size": 12, "attention_heads": 2, "linear_units": 16, "num_blocks": 1}
    rare = {"encoder": "contextual_block_transformer", "encoder_conf": conf}
    folder = save_espnet(tmp_path / "rare", CONFORMER | rare)
    encoder = build_speech_encoder("espnet_ctc", {"model": str(folder)})
    assert "ContextualBlock" in type(encoder.model.encoder).__name__
    assert_batch_is_single(encoder)


def test_weights_without_the_mel_matrix_are_refused(conv, tmp_path):
    folder = shutil.copytree(conv, tmp_path / "without")
    state = torch.load(folder / "valid.loss.ave.pth", weights_only=True)
    del state["frontend.logmel.melmat"]
    torch.save(state, folder / "valid.loss.ave.pth")
    with pytest.raises(UserError, match="melmat"):
        build_speech_encoder("espnet_ctc", {"model": str(folder)})


def test_the_toolkits_own_encoder(conv, assert_batch_is_single, speech):
    encoder = build_speech_encoder("espnet_ctc", {"model": str(conv)})
    assert (encoder.dim, encoder.blank_id, encoder.sampling_rate) == (12, 0, 8000)
    assert encoder.frame_shift == pytest.approx(0.03) and encoder.takes_padding
    assert encoder.vocabulary == tuple(TOKENS)
    assert_batch_is_single(encoder)
    output = encoder(*speech)
    assert output.ctc_log_probs.shape[-1] == 7
    torch.testing.assert_close(output.ctc_log_probs.exp().sum(-1), torch.ones(output.frames.shape[:2]))


def test_a_conformer_that_sees_padding_is_not_given_any(conformer, assert_batch_is_single):
    encoder = build_speech_encoder("espnet_ctc", {"model": str(conformer)})
    assert not encoder.takes_padding and encoder.frame_shift == pytest.approx(0.04)
    assert encoder.min_samples > 400  # the subsampling wants seven frames
    assert_batch_is_single(encoder)


def test_text_of_characters_and_of_pieces(conv, tmp_path):
    encoder = build_speech_encoder("espnet_ctc", {"model": str(conv)})
    assert encoder.ctc_text([3, 5, 5, 2, 2, 4, 1, 6]) == "all b"
    pieces = ["<blank>", "<unk>", "\u2581al", "l", "\u2581b", "<sos/eos>"]
    folder = save_espnet(tmp_path / "bpe", CONV | {"token_list": pieces, "token_type": "bpe"})
    assert build_speech_encoder("espnet_ctc", {"model": str(folder)}).ctc_text([2, 3, 4]) == "all b"


def test_weights_as_safetensors_in_half_precision(conv, tmp_path):
    from safetensors.torch import save_file

    plain = build_speech_encoder("espnet_ctc", {"model": str(conv)})
    half = shutil.copytree(conv, tmp_path / "half")
    state = torch.load(half / "valid.loss.ave.pth", weights_only=True)
    save_file({name: value.half().contiguous() for name, value in state.items()}, half / "model.safetensors")
    rounded = build_speech_encoder("espnet_ctc", {"model": str(half)})
    noise, length = torch.randn(1, 8000), torch.tensor([8000])
    torch.testing.assert_close(rounded(noise, length).frames, plain(noise, length).frames, atol=2e-2, rtol=0)
    assert next(rounded.parameters()).dtype == torch.float32
    assert rounded.identity()["weights_sha256"] != plain.identity()["weights_sha256"]


def test_packed_models(conv, tmp_path, monkeypatch):
    from espnet2.main_funcs.pack_funcs import pack

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = {"asr_model_file": str(conv / "valid.loss.ave.pth")}
    pack(files=files, yaml_files={"asr_train_config": str(conv / "config.yaml")}, outpath=tmp_path / "model.zip")
    shutil.unpack_archive(tmp_path / "model.zip", tmp_path / "unpacked")
    plain = build_speech_encoder("espnet_ctc", {"model": str(conv)})
    noise, length = torch.randn(1, 8000), torch.tensor([8000])
    for model in ("model.zip", "unpacked"):
        packed = build_speech_encoder("espnet_ctc", {"model": str(tmp_path / model)})
        assert torch.equal(packed(noise, length).frames, plain(noise, length).frames)
        assert packed.identity()["weights_sha256"] == plain.identity()["weights_sha256"]


def test_owsm_ctc(speech_model, assert_batch_is_single):
    folder = speech_model("owsm_ctc")[1]["model"]
    encoder = build_speech_encoder("espnet_ctc", {"model": str(folder)})
    assert_batch_is_single(encoder)
    noise, length = torch.randn(1, 8000), torch.tensor([8000])
    output = encoder(noise, length)
    assert int(output.lengths[0]) == output.frames.size(1) == 11  # the two frames of language and task are cut off
    english = build_speech_encoder("espnet_ctc", {"model": str(folder), "language_symbol": "<eng>"})
    assert not torch.allclose(english(noise, length).frames, output.frames)
    assert english.identity()["language"] == "<eng>" != encoder.identity()["language"]
    assert encoder.ctc_text([3, 4, 7, 8]) == "ab"
    with pytest.raises(UserError, match="<deu>.*<eng>"):
        build_speech_encoder("espnet_ctc", {"model": str(folder), "language_symbol": "<deu>"})


def test_misuse_is_refused_with_a_cure(conv, tmp_path):
    several = shutil.copytree(conv, tmp_path / "several")
    shutil.copy(several / "valid.loss.ave.pth", several / "1epoch.pth")
    with pytest.raises(UserError, match="1epoch.pth, valid.loss.ave.pth; name one: speech_encoder_conf: weights"):
        build_speech_encoder("espnet_ctc", {"model": str(several)})
    assert build_speech_encoder("espnet_ctc", {"model": str(several), "weights": "1epoch.pth"}).dim == 12
    torch.save({"encoder.embed.weight": torch.zeros(1)}, several / "1epoch.pth")
    with pytest.raises(UserError, match="Missing key"):
        build_speech_encoder("espnet_ctc", {"model": str(several), "weights": "1epoch.pth"})
    torch.save({"weights": Path("pickled object")}, several / "1epoch.pth")
    with pytest.raises(UserError, match="cannot be read as weights"):
        build_speech_encoder("espnet_ctc", {"model": str(several), "weights": "1epoch.pth"})
    with pytest.raises(UserError, match="does not exist"):
        build_speech_encoder("espnet_ctc", {"model": str(tmp_path / "nothing")})
    with pytest.raises(UserError, match="language_symbol"):
        build_speech_encoder("espnet_ctc", {"model": str(conv), "language_symbol": "<eng>"})
    (several / "config.yaml").write_text(yaml.safe_dump(CONFORMER | {"model_conf": {"ctc_weight": 0.0}}))
    (several / "valid.loss.ave.pth").unlink()
    with pytest.raises(UserError):
        build_speech_encoder("espnet_ctc", {"model": str(several)})
