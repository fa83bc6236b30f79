"""Recipes run in tests: a warm Python and a tiny pair of models, made once for all corpora."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # corpus_harness and corpus_fixtures

from corpus_harness import Recipes  # noqa: E402

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"etaoinshrdlucmfwypvbgk'jqxz"]


@pytest.fixture(scope="session")
def warming_python(tmp_path_factory):
    """(folder with a `python3` that will have its imports done, the process that does them)."""
    folder = tmp_path_factory.mktemp("python")
    script = Path(__file__).with_name("warm_python.py")
    address = folder / "socket"
    command = [sys.executable, "-X", "utf8", script, "serve", address]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    shim = folder / "python3"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{script}" run "{address}" "$@"\n')
    shim.chmod(0o755)
    yield folder, server
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def warm_python(warming_python, tiny_foundation) -> Path:
    """The folder, when it is ready; the models are made meanwhile."""
    folder, server = warming_python
    said = iter(server.stdout.readline, "")
    assert "ready\n" in said, "the server died"
    return folder


@pytest.fixture(scope="session")
def tiny_ctc(tmp_path_factory) -> Path:
    """Directory of a random wav2vec2 CTC model of English letters; 40 frames a second at 16 kHz."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder = tmp_path_factory.mktemp("tiny_ctc")
    (folder / "letters.json").write_text(json.dumps({letter: i for i, letter in enumerate(LETTERS)}))
    config = Wav2Vec2Config(
        vocab_size=len(LETTERS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        conv_dim=(8, 8), conv_kernel=(20, 20), conv_stride=(20, 20), num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, pad_token_id=0, mask_time_length=2,
    )  # fmt: skip
    torch.manual_seed(3)
    Wav2Vec2ForCTC(config).eval().save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    Wav2Vec2CTCTokenizer(str(folder / "letters.json")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_foundation(tiny_ctc, tiny_t5, tmp_path_factory) -> Path:
    """YAML of a tiny speech encoder and a tiny T5; one frame of two is kept, whatever the speech."""
    path = tmp_path_factory.mktemp("foundation") / "tiny.yaml"
    values = {
        "speech_encoder": "hf_ctc",
        "speech_encoder_conf": {"model": str(tiny_ctc)},
        "length_reduction": "stack",
        "length_reduction_conf": {"factor": 2},
        "llm": "hf_seq2seq",
        "llm_conf": {"model": str(tiny_t5)},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="session")
def recipes(warm_python, tiny_foundation) -> Recipes:
    """Runs recipes of egs2 with tiny models."""
    return Recipes(warm_python, tiny_foundation)
