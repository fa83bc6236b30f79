"""Fixtures: a recipe's folder with the shipped mini pair and a random adapter, as an experiment leaves it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml

from slm_espnet.api.model import SLMInference
from slm_espnet.checkpoint import save_adapter
from slm_espnet.encodings.pipeline import EncodingPipeline
from slm_espnet.foundation import load_foundation
from slm_espnet.training.build import apply_foundation, build_model


def make_experiment(top, recipe):
    """recipe/exp/slm_x with config.yaml, adapter.safetensors and what was seen; conf/ beside exp/."""
    exp = recipe / "exp" / "slm_x"
    (recipe / "conf").mkdir(parents=True)
    exp.mkdir(parents=True)
    for name in ("tasks.yaml", "decode.yaml"):
        (recipe / "conf" / name).write_bytes((top / "egs2/mini/slm1/conf" / name).read_bytes())
    foundation = top / "conf/foundation/mini.yaml"
    pipeline = EncodingPipeline.from_foundation(load_foundation(foundation))
    config = {
        "foundation": str(foundation), "input_size": pipeline.fingerprint["dim"], "seed": 3, "trained_tasks": ["asr"],
        "encoding_fingerprint": pipeline.fingerprint, "adapter": "mlp", "adapter_conf": {"size": 16},
        "adapter_output": "embedding_mixture", "output_dir": str(exp),
        "train_data_path_and_name_and_type": [["/elsewhere/data::dump,speech", "speech", "slm_rows"]],
    }  # fmt: skip
    apply_foundation(config)
    torch.manual_seed(5)
    model = build_model(config)
    config["llm_identity"] = dict(model.llm.identity())
    (exp / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    save_adapter(model.state_dict(), config, exp / "adapter.safetensors")
    seen = "1\ttrain\tasr\ten\t40\t0.8000\n1\ttrain\tasr\tes\t10\t0.2000\n"
    (exp / "examples_seen.tsv").write_text("epoch\tset\ttask\tlanguage\texamples\tshare\n" + seen, encoding="utf-8")
    return exp


@pytest.fixture(scope="session")
def experiment(top, tmp_path_factory):
    """Directory of the experiment."""
    return make_experiment(top, tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="session")
def slm(experiment):
    """The model, loaded as a user would."""
    return SLMInference.from_pretrained(experiment, device="cpu", max_length=12)


@pytest.fixture(scope="session")
def noise():
    """Function (seconds, rate) → samples that are not silent, and go up and down as speech does."""

    def make(seconds, rate=16000, seed=0):
        samples = np.random.default_rng(seed).normal(size=round(seconds * rate))
        swing = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * np.arange(len(samples)) / rate)
        return (0.2 * swing * samples).astype(np.float32)

    return make
