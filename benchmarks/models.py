"""Frozen models of a pair with random weights: what the toolkit runs, at the size that a foundation file states.

`speech_encoder_config` and `llm_config` of the file decide the size (benchmarks/pairs/*.yaml, conf/foundation/*.yaml);
nothing is downloaded and nothing is written but small files in a temporary folder. Weights are made on the device.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
import transformers

from slm_espnet.errors import UserError
from slm_espnet.foundation import Foundation, load_foundation
from slm_espnet.llm import hf_causal, hf_seq2seq
from slm_espnet.llm.base import AbsLLM
from slm_espnet.model_source import ModelSource
from slm_espnet.speech_encoder import huggingface_ctc, huggingface_encoder
from slm_espnet.speech_encoder.base import AbsSpeechEncoder

TOP = Path(__file__).resolve().parents[1]
PAIRS = TOP / "benchmarks/pairs"
RANDOM = "random weights"  # in place of a hash
LLM_KINDS = {
    "hf_causal": (hf_causal, hf_causal.HFCausal, transformers.AutoModelForCausalLM),
    "hf_seq2seq": (hf_seq2seq, hf_seq2seq.HFSeq2Seq, transformers.AutoModelForSeq2SeqLM),
}
LETTERS = 32  # tokens of a CTC vocabulary that the configuration does not name


@dataclass(frozen=True)
class RandomSource(ModelSource):
    """Files of a language model whose weights are made up."""

    def weights_sha256(self) -> str:
        """What stands in place of a hash."""
        return RANDOM


def read_pair(name: str) -> Foundation:
    """A foundation by the path of its file, or by the name of one of benchmarks/pairs.

    Raises:
        UserError: there is no such file, or it does not state the sizes of both models.
    """
    path = Path(name) if name.endswith(".yaml") else PAIRS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in PAIRS.glob("*.yaml")))
        raise UserError(f"{name} is neither a foundation file nor one of benchmarks/pairs ({known})")
    pair = load_foundation(path)
    if not pair.speech_encoder_config or not pair.llm_config:
        raise UserError(f"{path}: speech_encoder_config and llm_config must state the sizes of both models")
    return pair


def random_llm(pair: Foundation, device: str = "cpu", dtype: str | None = None, spread: float | None = None) -> AbsLLM:
    """The language model of a pair, as the toolkit runs it, with the tokenizer of the mini pair.

    Args:
        pair: its `llm_config` decides the size.
        device: where the weights are made.
        dtype: of the weights; None: the foundation's.
        spread: weights are drawn anew with this deviation times 1/sqrt(width), so that answers depend on what is read;
            None: as transformers draws them.
    """
    if pair.llm not in LLM_KINDS:
        raise UserError(f"llm {pair.llm}: random weights are made for {' and '.join(LLM_KINDS)}")
    room, kind, auto = LLM_KINDS[pair.llm]
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 0}
    stated = dict(pair.llm_config)
    config = transformers.AutoConfig.for_model(stated.pop("model_type"), **{**ends, **stated})
    name = dtype or str(pair.llm_conf.get("dtype", "float32"))
    torch.manual_seed(0)
    with torch.device(device):
        model = auto.from_config(config, dtype=getattr(torch, name)).eval()
    if spread is not None:
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, 0.0, spread * parameter.shape[-1] ** -0.5)
    with _folder() as folder, _no_loading(room, "load_weights", model):
        for file in (TOP / "egs2/mini/foundations/llm").glob("*iece*"):
            shutil.copy(file, folder)
        for file in (TOP / "egs2/mini/foundations/llm").glob("token*"):
            shutil.copy(file, folder)
        config.save_pretrained(folder)
        return kind(RandomSource("random", "", folder), name).to(device)


def random_encoder(pair: Foundation, device: str = "cpu", dtype: str | None = None) -> AbsSpeechEncoder:
    """The speech encoder of a pair, as the toolkit runs it; dtype: of its matrix products, None: the foundation's."""
    if pair.speech_encoder not in ("hf_ctc", "hf_encoder"):
        raise UserError(f"speech_encoder {pair.speech_encoder}: random weights are made for hf_ctc and hf_encoder")
    with_ctc = pair.speech_encoder == "hf_ctc"
    stated = dict(pair.speech_encoder_config)
    kind = stated.pop("model_type")
    config = transformers.AutoConfig.for_model(kind, **({"vocab_size": LETTERS} | stated if with_ctc else stated))
    torch.manual_seed(0)
    auto = transformers.AutoModelForCTC if with_ctc else transformers.AutoModel
    with torch.device(device):
        model = auto.from_config(config).eval()
    name = dtype or str(pair.speech_encoder_conf.get("dtype", "float32"))
    room: ModuleType = huggingface_ctc if with_ctc else huggingface_encoder
    with _folder() as folder, _no_loading(room, "load_model", model), _no_loading(room, "weights_sha256", RANDOM):
        (folder / "model.safetensors").touch()
        config.save_pretrained(folder)
        _extractor(config).save_pretrained(folder)
        if not with_ctc:
            return huggingface_encoder.build_huggingface_encoder(str(folder), dtype=name).to(device)
        _save_letters(folder, config)
        encoder = huggingface_ctc.HuggingFaceCTCEncoder(str(folder), dtype=name).to(device)
    return encoder.requires_grad_(False).eval()


def _extractor(config: Any) -> Any:
    """What turns waveforms into the encoder's input."""
    if config.model_type == "whisper":
        return transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    if config.model_type == "parakeet_ctc":
        return transformers.ParakeetFeatureExtractor(feature_size=config.encoder_config.num_mel_bins)
    if config.model_type == "wav2vec2-bert":
        return transformers.SeamlessM4TFeatureExtractor(feature_size=config.feature_projection_input_dim // 2)
    return transformers.Wav2Vec2FeatureExtractor(return_attention_mask=config.feat_extract_norm == "layer")


def _save_letters(folder: Path, config: Any) -> None:
    """A CTC tokenizer of as many made-up tokens as the model has."""
    letters = {f"t{number} ": number for number in range(config.vocab_size)}
    for token, number in (("<pad>", config.pad_token_id), ("<unk>", (config.pad_token_id + 1) % config.vocab_size)):
        del letters[f"t{number} "]
        letters[token] = number
    (folder / "letters.json").write_text(json.dumps(letters), encoding="utf-8")
    transformers.Wav2Vec2CTCTokenizer(str(folder / "letters.json"), bos_token=None, eos_token=None).save_pretrained(
        folder
    )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _no_loading(room: ModuleType, name: str, result: Any) -> Any:
    """Within it a room's function gives what is there already."""
    return mock.patch.object(room, name, lambda *_, **__: result)


def count(model: torch.nn.Module) -> int:
    """Parameters of a model, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())
