"""A small encoder of its own, waveforms on disk, and a foundation that names neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from slm_espnet.bin import encode
from slm_espnet.encodings.pipeline import EncodingPipeline
from slm_espnet.length_reduction.build import build_static_reduction
from slm_espnet.speech_encoder.base import EncoderOutput
from slm_espnet.speech_encoder.batching import AbsBatchedEncoder

RATE = 1000


class TinyEncoder(AbsBatchedEncoder):
    """Windows of 50 samples through a random layer; four CTC tokens."""

    sampling_rate, dim, frame_shift, blank_id, vocabulary = RATE, 6, 0.05, 0, ("<blank>", "a", "b", "<space>")

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer, self.head = torch.nn.Linear(50, 6), torch.nn.Linear(6, 4)
        torch.nn.init.normal_(self.head.weight, 0, 2)  # sure enough of itself for blanks to be dropped
        self.seed = seed

    def encode(self, speech, speech_lengths):
        frames = self.layer(8 * speech[:, : speech.size(1) // 50 * 50].unflatten(1, (-1, 50)))
        return EncoderOutput(frames, speech_lengths // 50, self.head(frames).log_softmax(-1))

    def ctc_text(self, token_ids):
        return " ".join("".join(" " if t == 3 else self.vocabulary[t] for t in token_ids).split())

    def identity(self):
        return {"kind": "tiny", "model": "here", "revision": "", "weights_sha256": f"{self.seed:064d}"}


def make_pipeline(seed: int = 0, storage_dtype: str = "float16", threshold: float = 0.3) -> EncodingPipeline:
    reduction = build_static_reduction("ctc_blank", {"threshold": threshold})
    return EncodingPipeline(TinyEncoder(seed).eval(), reduction, storage_dtype)


@pytest.fixture
def pipeline_of():
    """Function (seed, storage_dtype, threshold) → pipeline."""
    return make_pipeline


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """25 rows of 24 recordings of 0.1 to 1.4 s."""
    folder = tmp_path / "data"
    folder.mkdir()
    generator = np.random.default_rng(0)
    rows = []
    for number in range(24):
        path = folder / f"{number:02d}.wav"
        soundfile.write(path, 0.1 * generator.standard_normal(100 + 57 * number), RATE)
        rows.append((f"utt{number:02d}", path))
    rows.append(("utt24", rows[3][1]))  # another question about the same recording
    (folder / "wav.scp").write_text("".join(f"{name} {path}\n" for name, path in rows), encoding="utf-8")
    (folder / "text").write_text("".join(f"{name} a b\n" for name, _ in rows), encoding="utf-8")
    return folder


@pytest.fixture
def command(tmp_path, data_dir, monkeypatch):
    """Function (*options, seed, output) → exit status of bin.encode with the tiny encoder; counts the models built."""
    model = tmp_path / "model"
    model.mkdir()
    values = {"speech_encoder": "espnet_ctc", "speech_encoder_conf": {"model": str(model)}, "llm": "hf_seq2seq"}
    foundation = tmp_path / "foundation.yaml"
    foundation.write_text(yaml.safe_dump(values), encoding="utf-8")

    def call(*options: str, seed: int = 0, output: str = "encodings") -> int:
        (model / "model.safetensors").write_text(str(seed), encoding="utf-8")

        def build(args, request):
            call.built += 1
            return make_pipeline(seed, request.storage_dtype)

        monkeypatch.setattr(encode, "build_pipeline", build)
        paths = ["--foundation", str(foundation), "--data_dir", str(data_dir), "--output_dir", str(tmp_path / output)]
        return encode.main([*paths, "--batch_seconds", "3", *options])

    call.built = 0
    return call
