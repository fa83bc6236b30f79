"""Directories of tiny random speech models, one for each family, as transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

LETTERS = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6, "l": 7}
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
CONVOLUTIONS = {
    "conv_dim": (8, 8, 8), "conv_kernel": (10, 8, 4), "conv_stride": (10, 8, 4), "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2, "vocab_size": len(LETTERS), "pad_token_id": 0, "mask_time_length": 2,
}  # fmt: skip


@pytest.fixture(scope="session")
def save_model(tmp_path_factory):
    """Function (model class, configuration, feature extractor) → directory, with a CTC tokenizer of LETTERS."""
    from transformers import Wav2Vec2CTCTokenizer

    def save(model_class, config, extractor) -> Path:
        folder = tmp_path_factory.mktemp(config.model_type)
        (folder / "letters.json").write_text(json.dumps(LETTERS), encoding="utf-8")
        torch.manual_seed(1)
        model_class(config).eval().save_pretrained(folder)
        extractor.save_pretrained(folder)
        Wav2Vec2CTCTokenizer(str(folder / "letters.json")).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def waveform_model(save_model):
    """Function (config class, model class, options) → directory of a model that reads waveforms."""
    from transformers import Wav2Vec2FeatureExtractor

    def save(config_class, model_class, layer_norm: bool, **options) -> Path:
        norm = {"feat_extract_norm": "layer" if layer_norm else "group", "do_stable_layer_norm": layer_norm}
        config = config_class(**SMALL, **CONVOLUTIONS, **norm, **options)
        extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=layer_norm)
        return save_model(model_class, config, extractor)

    return save


@pytest.fixture
def speech() -> tuple[torch.Tensor, torch.Tensor]:
    """Four padded utterances of noise (4, N) and their lengths; two are equally long."""
    lengths = torch.tensor([9000, 16000, 12345, 9000])
    waves = 0.1 * torch.randn(4, 16000, generator=torch.Generator().manual_seed(5))
    return waves * (torch.arange(16000) < lengths[:, None]), lengths


@pytest.fixture
def assert_batch_is_single(speech):
    """Function (encoder, tolerance): every utterance comes out of a batch, in any order, as it does alone."""

    def check(encoder, tolerance: float = 2e-5) -> None:
        waves, lengths = speech
        order = torch.tensor([2, 0, 3, 1])
        together = encoder(waves[order], lengths[order])
        for row, source in enumerate(order.tolist()):
            alone = encoder(waves[source : source + 1, : lengths[source]], lengths[source : source + 1])
            count = int(alone.lengths[0])
            assert int(together.lengths[row]) == count
            scale = alone.frames.abs().max()
            assert (together.frames[row, :count] - alone.frames[0, :count]).abs().max() <= tolerance * scale
            if alone.ctc_log_probs is not None:
                torch.testing.assert_close(
                    together.ctc_log_probs[row, :count], alone.ctc_log_probs[0, :count], atol=10 * tolerance, rtol=0
                )

    return check
