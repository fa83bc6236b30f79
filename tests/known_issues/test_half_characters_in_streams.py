"""Partial texts showed U+FFFD where a character needs several tokens, and took back what was shown."""

import os
import tarfile
from pathlib import Path

import pytest

from slm_espnet.decoding.partial import PartialText, token_texts
from slm_espnet.llm.source import ModelSource
from slm_espnet.llm.tokenizer import HFTokenizer

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SLM_SHARED", ROOT.parent / "shared")) / "data" / "tokenizers"
NAMES = ("flan_t5", "gemma3", "llama3", "llama3_2", "qwen3", "smollm2_135m_instruct")
TEXT = "naïve café 😀 good 👩‍👩‍👧 我们讨论 龘𠮷 नमस्ते हिन्दी ཀ end"


@pytest.fixture(scope="module", params=("mini", *NAMES))
def tokenizer(request, tmp_path_factory):
    if request.param == "mini":
        return HFTokenizer(ModelSource("mini", "", ROOT / "egs2" / "mini" / "foundations" / "llm"))
    archive = SHARED / f"{request.param}.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive.name} is not in ../shared/data/tokenizers (SLM_SHARED names another folder)")
    folder = tmp_path_factory.mktemp("tokenizer")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return HFTokenizer(ModelSource(request.param, "", folder / request.param))


def assert_grows(tokenizer, ids):
    final, partial, before = tokenizer.decode(ids), PartialText(tokenizer), ""
    for count in range(1, len(ids) + 1):
        text = partial.of(ids[:count])
        assert "\ufffd" not in text
        assert text.startswith(before) and final.startswith(text), (before, text)
        before = text
    assert before == final


def test_a_partial_text_grows_by_whole_characters_to_the_final_one(tokenizer):
    assert_grows(tokenizer, tokenizer.encode(TEXT))


def test_texts_of_tokens_hold_no_half_characters(tokenizer):
    ids = tokenizer.encode(TEXT)
    texts = token_texts(ids, tokenizer)
    assert len(texts) == len(ids) and not any("\ufffd" in text for text in texts)
    assert "".join("".join(texts).split()) == "".join(tokenizer.decode(ids).split())


def test_byte_fallback_does_not_take_back_what_was_shown(byte_fallback):
    ids = byte_fallback.encode("é😀日本")
    assert "\ufffd" in byte_fallback.decode(ids[:3]), "else nothing is tested"
    assert_grows(byte_fallback, ids)


@pytest.fixture
def byte_fallback(tmp_path):
    """Every byte is a token; a run of them that is no text as a whole is written as so many U+FFFD."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"</s>": 0, "<unk>": 1, **{f"<0x{byte:02X}>": byte + 2 for byte in range(256)}}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>").save_pretrained(tmp_path)
    return HFTokenizer(ModelSource("bytes", "", tmp_path))
