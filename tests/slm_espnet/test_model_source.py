"""Models in folders with other files beside them, and models whose weights are pickled."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from slm_espnet.errors import UserError
from slm_espnet.llm.build import build_llm
from slm_espnet.model_files import PEFT
from slm_espnet.model_source import ModelSource
from slm_espnet.speech_encoder.build import build_speech_encoder

STRANGERS = ("consolidated.safetensors", "model.fp16.safetensors", "model-00001-of-00002.safetensors", "tf_model.h5",
             "fp16/model.safetensors", "pytorch_model.bin", "adapter.deu.safetensors")  # fmt: skip


@pytest.fixture
def wav2vec2(waveform_model):
    return waveform_model(hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC, True)


def both(model_directory, wav2vec2):
    return ("hf_seq2seq", model_directory("t5"), build_llm), ("hf_ctc", wav2vec2, build_speech_encoder)


def test_strangers_beside_a_model_change_neither_its_hash_nor_what_is_loaded(model_directory, wav2vec2, tmp_path):
    for kind, folder, build in both(model_directory, wav2vec2):
        beside = Path(shutil.copytree(folder, tmp_path / kind))
        for name in STRANGERS:
            (beside / name).parent.mkdir(exist_ok=True)
            (beside / name).write_bytes(b"of another")
        plain, same = (build(kind, {"model": str(place)}) for place in (folder, beside))
        assert same.identity() == {**plain.identity(), "model": str(beside)}
        weights = (Path(folder) / "model.safetensors").read_bytes()
        assert same.identity()["weights_sha256"] == hashlib.sha256(weights).hexdigest()


def test_pickled_weights_are_a_decision(model_directory, wav2vec2, tmp_path):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    for kind, folder, build in both(model_directory, wav2vec2):
        pickled = Path(shutil.copytree(folder, tmp_path / kind))
        state = load_file(pickled / "model.safetensors")
        (pickled / "model.safetensors").unlink()
        torch.save(state, pickled / "pytorch_model.bin")
        with pytest.raises(UserError, match=r"refs/pr/N.*trust_pickle: true"):
            build(kind, {"model": str(pickled)})
        trusted = build(kind, {"model": str(pickled), "trust_pickle": True})
        plain = build(kind, {"model": str(folder)})
        assert all(torch.equal(a, b) for a, b in zip(trusted.parameters(), plain.parameters(), strict=True))
        torch.save({**state, "code": Runs()}, pickled / "pytorch_model.bin")
        with pytest.raises(UserError, match="cannot be loaded.*more than tensors"):
            build(kind, {"model": str(pickled), "trust_pickle": True})
        assert not (tmp_path / "ran").exists()


def test_an_adapter_beside_the_model_is_not_loaded_in_silence(model_directory, tmp_path):
    folder = Path(shutil.copytree(model_directory("t5"), tmp_path / "model"))
    (folder / PEFT).write_text("{}")
    with pytest.raises(UserError, match="adapter on top of the model"):
        ModelSource("model", "", folder).files()
    with pytest.raises(UserError, match="adapter on top of the model"):
        build_llm("hf_seq2seq", {"model": str(folder)})
