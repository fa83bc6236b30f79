"""What all tests share: no network, one thread, and tiny language models with tokenizers of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
THREADS = os.environ.get("TEST_THREADS", "1")  # no result may depend on it: TEST_THREADS=4 make test tries another
os.environ["OMP_NUM_THREADS"] = THREADS
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# commands that tests start find the toolkit as the tests do
TOP = Path(__file__).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(TOP), os.environ.get("PYTHONPATH", ""))))

import pytest  # noqa: E402

from slm_espnet.compat import stand_in_for_torchaudio  # noqa: E402

stand_in_for_torchaudio()  # tests import ESPnet and transformers without a command around them

SENTENCES = (
    "call james on monday at nine o'clock",
    "book a table for two people and tell mary",
    "what will the weather be like in london",
    "recognize this speech in english",
    "translate this speech from english to spanish",
    "llama a james el lunes a las nueve",
    "possible names james mary robert",
    "the quick brown fox jumps over the lazy dog",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """In several processes (pytest -n) a file's tests stay together, and those on Slurm come one by one."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("slurm" if "cluster" in item.fixturenames else str(item.path)))


@pytest.fixture(autouse=True)
def few_threads():
    """Two cores and small tensors: more threads than one only wait for each other."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(THREADS))


@pytest.fixture(autouse=True)
def files_are_not_late(monkeypatch):
    """What a command waits for in vain comes at once here, or never."""
    monkeypatch.setattr("slm_espnet.files.LATE_SECONDS", 0.0)


@pytest.fixture(scope="session")
def top() -> Path:
    """The repository."""
    return TOP


@pytest.fixture(scope="session")
def sentencepiece_model(tmp_path_factory) -> Path:
    """A unigram sentencepiece model of 64 pieces with pad 0, eos 1, unk 2 and the symbol <sp>."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("sentencepiece")
    (folder / "text").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "spiece"),
        vocab_size=64,
        model_type="unigram",
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        user_defined_symbols=["<sp>"],
        minloglevel=2,
    )
    return folder / "spiece.model"


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory, sentencepiece_model) -> Path:
    """Directory of a random T5 (two layers, width 32) with its tokenizer, as Hugging Face saves one."""
    import sentencepiece
    import torch
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    folder = tmp_path_factory.mktemp("tiny_t5")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(sentencepiece_model))
    vocabulary = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(len(pieces))]
    T5Tokenizer(vocab=vocabulary, extra_ids=0, additional_special_tokens=["<sp>"]).save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_decoder_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory) -> Path:
    """Directory of a random Llama (two layers, width 32) with a byte-level tokenizer and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_llama")
    special = ["<pad>", "<s>", "</s>"]
    vocabulary = {token: i for i, token in enumerate([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    return folder
