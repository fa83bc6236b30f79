"""Tiny random language models of several families, each with the tokenizer of a shared fixture."""

import shutil

import pytest
import torch
import transformers

SMALL = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
T5_SMALL = dict(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=0, eos_token_id=1)


def configs():
    """Family → its configuration class, and how it differs from the small one."""
    t = transformers
    return {
        "llama": (t.LlamaConfig, SMALL),
        "qwen2": (t.Qwen2Config, SMALL),
        "qwen3": (t.Qwen3Config, SMALL),
        "gemma": (t.GemmaConfig, SMALL),
        "gemma2": (t.Gemma2Config, {**SMALL, "sliding_window": 6, "final_logit_softcapping": 3.0}),
        "gemma3": (t.Gemma3TextConfig, {**SMALL, "sliding_window": 6}),
        "mistral": (t.MistralConfig, {**SMALL, "sliding_window": 6}),
        "gpt2": (t.GPT2Config, dict(n_embd=32, n_layer=2, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=2)),
        "t5": (t.T5Config, {**T5_SMALL, "tie_word_embeddings": True, "decoder_start_token_id": 0}),
        "t5_gated": (
            t.T5Config,
            {**T5_SMALL, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0},
        ),
        "mt5": (t.MT5Config, {**T5_SMALL, "decoder_start_token_id": 0}),
        "umt5": (t.UMT5Config, {**T5_SMALL, "decoder_start_token_id": 0}),
    }


CAUSAL = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "mistral", "gpt2")
SEQ2SEQ = ("t5", "t5_gated", "mt5", "umt5")


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory, tiny_t5, tiny_llama):
    """Function: family → directory of a tiny random model."""
    made = {}

    def make(family):
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
