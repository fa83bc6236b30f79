"""Tiny random models of every family, saved as transformers and ESPnet save them."""

from __future__ import annotations

import json
import shutil
import subprocess
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


# Language models

LLM_SMALL = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
GEMMA3N_SMALL = {
    **LLM_SMALL, "vocab_size_per_layer_input": 200, "hidden_size_per_layer_input": 16, "num_kv_shared_layers": 0,
    "laurel_rank": 8, "sliding_window": 64, "activation_sparsity_pattern": [0.0, 0.0],
}  # fmt: skip
FALCON_SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, bos_token_id=1, eos_token_id=2)
T5_LLM_SMALL = dict(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=0, eos_token_id=1)
BART_SMALL = dict(
    d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
    encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64, pad_token_id=0, bos_token_id=2, eos_token_id=1,
    decoder_start_token_id=1, forced_eos_token_id=None,
)  # fmt: skip


def configs():
    """Family → its configuration class, and how it differs from the small one."""
    import transformers as t

    return {
        "llama": (t.LlamaConfig, LLM_SMALL),
        "qwen2": (t.Qwen2Config, LLM_SMALL),
        "qwen3": (t.Qwen3Config, LLM_SMALL),
        "gemma": (t.GemmaConfig, LLM_SMALL),
        "gemma2": (t.Gemma2Config, {**LLM_SMALL, "sliding_window": 6, "final_logit_softcapping": 3.0}),
        "gemma3": (t.Gemma3TextConfig, {**LLM_SMALL, "sliding_window": 6}),
        "gemma3_images": (gemma3_with_images, {**LLM_SMALL, "sliding_window": 64}),
        "gemma3n": (t.Gemma3nTextConfig, GEMMA3N_SMALL),
        "mistral": (t.MistralConfig, {**LLM_SMALL, "sliding_window": 6}),
        "gpt2": (t.GPT2Config, dict(n_embd=32, n_layer=2, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=2)),
        "phi": (t.PhiConfig, LLM_SMALL),
        "bloom": (t.BloomConfig, dict(hidden_size=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)),
        "falcon": (t.FalconConfig, {**FALCON_SMALL, "alibi": False}),
        "falcon_alibi": (t.FalconConfig, {**FALCON_SMALL, "alibi": True}),
        "opt": (t.OPTConfig, {**LLM_SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32}),
        "gpt_neox": (t.GPTNeoXConfig, LLM_SMALL),
        "smollm3": (t.SmolLM3Config, LLM_SMALL),
        "granite": (t.GraniteConfig, LLM_SMALL),
        "t5": (t.T5Config, {**T5_LLM_SMALL, "tie_word_embeddings": True, "decoder_start_token_id": 0}),
        "t5_gated": (
            t.T5Config,
            {
                **T5_LLM_SMALL,
                "tie_word_embeddings": False,
                "feed_forward_proj": "gated-gelu",
                "decoder_start_token_id": 0,
            },
        ),
        "mt5": (t.MT5Config, {**T5_LLM_SMALL, "decoder_start_token_id": 0}),
        "umt5": (t.UMT5Config, {**T5_LLM_SMALL, "decoder_start_token_id": 0}),
        "bart": (t.BartConfig, {**BART_SMALL, "scale_embedding": False}),
        "mbart": (t.MBartConfig, {**BART_SMALL, "scale_embedding": True, "forced_bos_token_id": 7}),
    }


def gemma3_with_images(**values):
    """Gemma 3 from 4 B parameters on: a text model with an image encoder beside it."""
    from transformers import Gemma3Config

    images = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28)
    tokens = dict(image_token_index=9000, boi_token_index=9001, eoi_token_index=9002, mm_tokens_per_image=4)
    return Gemma3Config(text_config=values, vision_config={**images, "patch_size": 14}, **tokens)


CAUSAL = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_images", "mistral", "gpt2")
SEQ2SEQ = ("t5", "t5_gated", "mt5", "umt5", "bart", "mbart")


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory, tiny_t5, tiny_llama):
    """Function: family → directory of a tiny random model."""
    made = {}

    def make(family):
        import transformers

        if family not in made:
            config_class, values = configs()[family]
            encoder_decoder = family in SEQ2SEQ
            tokenizer = tiny_t5 if encoder_decoder else tiny_llama
            folder = tmp_path_factory.mktemp(family)
            for file in tokenizer.iterdir():
                if file.name not in ("config.json", "generation_config.json", "model.safetensors"):
                    shutil.copy(file, folder)
            size = len(transformers.AutoTokenizer.from_pretrained(folder))
            torch.manual_seed(len(family))
            auto = transformers.AutoModelForSeq2SeqLM if encoder_decoder else transformers.AutoModelForCausalLM
            model = auto.from_config(config_class(vocab_size=size + 4, **values), dtype=torch.float32).eval()
            for parameter in model.parameters():
                if parameter.dim() > 1:  # far from uniform, so that what a model says depends on what it reads
                    parameter.data.normal_(0.0, 0.3)
            model.save_pretrained(folder)
            made[family] = folder
        return made[family]

    return make


@pytest.fixture(scope="session")
def language_model(model_directory, tmp_path_factory):
    """Function (family, special tokens to leave out, chat template) → directory of a decoder-only model."""

    def make(family: str, without: tuple[str, ...] = (), chat_template: str | None = None) -> Path:
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        folder = shutil.copytree(model_directory(family), tmp_path_factory.mktemp("llm") / family)
        core = AutoTokenizer.from_pretrained(folder).backend_tokenizer
        for name in ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
            (folder / name).unlink(missing_ok=True)
        special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
        given = {name: token for name, token in special.items() if name not in without}
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **given)
        tokenizer.chat_template = chat_template
        tokenizer.save_pretrained(folder)
        return folder

    return make


# Speech encoders by the name of the published model that they are small ones of


@pytest.fixture(scope="session")
def speech_model(save_model, waveform_model, tmp_path_factory):
    """Function: name → (kind, configuration) of a tiny speech encoder."""

    def make(name: str) -> tuple[str, dict]:
        import transformers as t

        if name == "mms":
            from safetensors.torch import save_file

            folder = waveform_model(t.Wav2Vec2Config, t.Wav2Vec2ForCTC, True, adapter_attn_dim=4)
            weights = t.Wav2Vec2ForCTC.from_pretrained(folder)._get_adapters()
            save_file({key: torch.ones_like(value) for key, value in weights.items()},
                      folder / "adapter.deu.safetensors")  # fmt: skip
            letters = json.loads((folder / "letters.json").read_text(encoding="utf-8"))
            (folder / "vocab.json").write_text(json.dumps({"deu": letters}), encoding="utf-8")
            return "hf_ctc", {"model": str(folder), "target_lang": "deu"}
        if name == "hubert":
            return "hf_ctc", {"model": str(waveform_model(t.HubertConfig, t.HubertForCTC, True))}
        if name == "wavlm":
            return "hf_encoder", {"model": str(waveform_model(t.WavLMConfig, t.WavLMModel, True))}
        if name == "owsm_ctc":
            return "espnet_ctc", {"model": str(save_owsm_ctc(tmp_path_factory.mktemp("owsm")))}
        if name == "parakeet":
            parts = t.ParakeetEncoderConfig(**SMALL, num_mel_bins=40, subsampling_conv_channels=8, conv_kernel_size=3)
            config = t.ParakeetCTCConfig(vocab_size=len(LETTERS), pad_token_id=0, encoder_config=parts.to_dict())
            return "hf_ctc", {"model": str(save_model(t.ParakeetForCTC, config, t.ParakeetFeatureExtractor(40)))}
        if name == "w2v_bert":
            config = t.Wav2Vec2BertConfig(**SMALL, feature_projection_input_dim=160, conv_depthwise_kernel_size=3)
            extractor = t.SeamlessM4TFeatureExtractor(feature_size=80)
            return "hf_encoder", {"model": str(save_model(t.Wav2Vec2BertModel, config, extractor))}
        assert name == "whisper"
        config = t.WhisperConfig(
            d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=24, decoder_ffn_dim=24, max_source_positions=100, num_mel_bins=20, vocab_size=60,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, begin_suppress_tokens=None,
            max_target_positions=20,
        )  # fmt: skip
        extractor = t.WhisperFeatureExtractor(feature_size=20, chunk_length=2)
        return "hf_encoder", {"model": str(save_model(t.WhisperForConditionalGeneration, config, extractor))}

    return make


OWSM_TOKENS = ["<blank>", "<unk>", "<nolang>", "<eng>", "<asr>", "<na>", "<sop>", "\u2581a", "b", "<sos>", "<eos>"]


def save_owsm_ctc(folder: Path) -> Path:
    """A random OWSM-CTC as a training leaves it."""
    import argparse

    import yaml
    from espnet2.tasks.s2t_ctc import S2TTask

    config = {
        "token_list": OWSM_TOKENS, "token_type": "bpe", "input_size": None, "frontend": "default", "specaug": None,
        "normalize": "utterance_mvn", "normalize_conf": {}, "ctc_conf": {}, "init": None,
        "frontend_conf": {"fs": 8000, "n_fft": 128, "win_length": 128, "hop_length": 80, "n_mels": 20,
                          "frontend_conf": None},
        "encoder": "e_branchformer_ctc",
        "encoder_conf": {"output_size": 12, "attention_heads": 2, "linear_units": 16, "num_blocks": 2,
                         "cgmlp_linear_units": 16, "interctc_layer_idx": [1], "interctc_use_conditioning": True,
                         "input_layer": "conv2d8"},
        "promptencoder": "transformer",
        "promptencoder_conf": {"output_size": 12, "attention_heads": 2, "linear_units": 16, "num_blocks": 1},
        "model": "espnet_ctc", "model_conf": {},
    }  # fmt: skip
    torch.manual_seed(0)
    model = S2TTask.build_model(argparse.Namespace(**config))
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    torch.save(model.state_dict(), folder / "valid.loss.ave.pth")
    return folder


class SmallDisk:
    """File systems of a few KiB in memory; needs the right to mount one."""

    def __init__(self, top):
        self.top, self.mounted = top, []

    def __call__(self, kibibytes):
        """A new one: its folder."""
        folder = self.top / str(len(self.mounted))
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no right to mount a file system here; test_writer.py and test_results.py inject the error")
        self.mounted.append(folder)
        return folder

    def grow(self, folder, kibibytes):
        """More room."""
        subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", str(folder)], check=True)

    def protect(self, folder):
        """Read-only from now on."""
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """See SmallDisk."""
    (tmp_path / "disks").mkdir()
    disks = SmallDisk(tmp_path / "disks")
    yield disks
    for folder in disks.mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
