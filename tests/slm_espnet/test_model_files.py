"""Of each kind of repository the files are used that transformers reads; the listings are like those on the Hub."""

from __future__ import annotations

import json

import pytest

from slm_espnet.errors import UserError
from slm_espnet.model_files import Wanted, choose_files

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
COMMON = (".gitattributes", "config.json", "generation_config.json", *TOKENIZER)
SPEECH = (".gitattributes", "config.json", "preprocessor_config.json", "special_tokens_map.json",
          "tokenizer_config.json", "vocab.json")  # fmt: skip


def shards(count: int, stem: str = "model", suffix: str = "safetensors") -> tuple[str, ...]:
    return tuple(f"{stem}-{i:05}-of-{count:05}.{suffix}" for i in range(1, count + 1))


INDEX = "model.safetensors.index.json"
PICKLE_INDEX = "pytorch_model.bin.index.json"
LLAMA = (*COMMON, "LICENSE", "README.md", "USE_POLICY.md", INDEX, *shards(4), "original/consolidated.00.pth",
         "original/params.json", "original/tokenizer.model")  # fmt: skip
MISTRAL = (*COMMON, "README.md", "SYSTEM_PROMPT.txt", "tekken.json", "tokenizer.model", "tokenizer.model.v3",
           "params.json", "consolidated.safetensors", "consolidated.safetensors.index.json", INDEX,
           *shards(3))  # fmt: skip
WHISPER = (*COMMON, "README.md", "added_tokens.json", "merges.txt", "normalizer.json", "preprocessor_config.json",
           "vocab.json", "model.safetensors", "model.safetensors.index.fp32.json", *shards(2, "model.fp32"),
           "flax_model.msgpack", "pytorch_model.bin", "pytorch_model.bin.index.fp32.json",
           *shards(2, "pytorch_model.fp32", "bin"))  # fmt: skip
FLAN_T5 = (*COMMON, "README.md", "spiece.model", INDEX, *shards(2), PICKLE_INDEX,
           *shards(2, "pytorch_model", "bin"), "flax_model-00001-of-00002.msgpack", "flax_model.msgpack.index.json",
           "tf_model-00001-of-00002.h5", "tf_model.h5.index.json")  # fmt: skip
MT0 = (*COMMON, "README.md", "spiece.model", PICKLE_INDEX, *shards(6, "pytorch_model", "bin"))
MMS = (*SPEECH, "README.md", "model.safetensors", "pytorch_model.bin",
       *(f"adapter.{lang}.{kind}" for lang in ("deu", "eng", "azj-script_latin", "tha")
         for kind in ("bin", "safetensors")))  # fmt: skip
WAVLM = (*SPEECH, "README.md", "pytorch_model.bin")
PARAKEET = (*SPEECH, "README.md", "processor_config.json", "tokenizer.json", "parakeet-ctc-1.1b.nemo", INDEX,
            *shards(2))  # fmt: skip
QUANTIZED = (*COMMON, "README.md", "model-q4_k_m.gguf", "model-q8_0.gguf")
VARIANTS = (*COMMON, "additional_chat_templates/tool_use.jinja", "chat_template.jinja", "model.safetensors",
            "fp16/model.safetensors", "fp16/config.json", "model.fp16.safetensors", "onnx/model.onnx",
            "onnx/model_quantized.onnx_data", "openvino/openvino_model.xml", "model-Q4_0.gguf", "training_args.bin",
            "optimizer.pt", "adapter/adapter_config.json", "adapter/adapter_model.safetensors",
            "adapter_config.json", "adapter_model.safetensors", "tf_model.h5", "rust_model.ot",
            "coreml/model.mlpackage/Data/weights.bin", "language_model/5gram.bin")  # fmt: skip


def reader(listing, weights: tuple[str, ...] = (), config: dict | None = None):
    """What config.json and the indexes of a listing say: the index names `weights`, in its own precision."""
    table = {f"layer.{number}": name for number, name in enumerate(weights)}
    return {"config.json": json.dumps(config or {}), **{n: json.dumps({"weight_map": table}) for n in listing}}.get


@pytest.mark.parametrize(
    ("listing", "wanted", "weights", "others"),
    [
        pytest.param(LLAMA, Wanted(), shards(4), (INDEX, "LICENSE", "README.md", "USE_POLICY.md"), id="Llama 3.1"),
        pytest.param(MISTRAL, Wanted(), shards(3),
                     (INDEX, "README.md", "SYSTEM_PROMPT.txt", "tekken.json", "tokenizer.model", "params.json"),
                     id="Mistral"),
        pytest.param(WHISPER, Wanted(), ("model.safetensors",),
                     ("README.md", "added_tokens.json", "merges.txt", "normalizer.json", "preprocessor_config.json",
                      "vocab.json"), id="Whisper large-v3"),
        pytest.param(FLAN_T5, Wanted(trust_pickle=True), shards(2), (INDEX, "README.md", "spiece.model"), id="Flan-T5"),
        pytest.param(MT0, Wanted(trust_pickle=True), shards(6, "pytorch_model", "bin"),
                     (PICKLE_INDEX, "README.md", "spiece.model"), id="mT0, pickles trusted"),
        pytest.param(VARIANTS, Wanted(), ("model.safetensors",),
                     ("additional_chat_templates/tool_use.jinja", "chat_template.jinja"), id="many variants"),
        pytest.param(LLAMA, Wanted(weights=False), (), ("LICENSE", "README.md", "USE_POLICY.md"), id="tokenizer alone"),
        pytest.param(QUANTIZED, Wanted(weights=False), (), ("README.md",), id="tokenizer beside GGUF"),
    ],
)  # fmt: skip
def test_language_models_and_whisper(listing, wanted, weights, others):
    files = choose_files("me/model", listing, reader(listing, weights), wanted)
    assert files.weights == tuple(sorted(weights))
    assert files.every == tuple(sorted({*weights, *others, *COMMON} - {".gitattributes"}))


@pytest.mark.parametrize(
    ("listing", "wanted", "weights", "others"),
    [
        pytest.param(MMS, Wanted(target_lang="deu"), ("adapter.deu.safetensors", "model.safetensors"), (), id="MMS"),
        pytest.param(MMS, Wanted(target_lang="azj-script_latin", trust_pickle=True),
                     ("adapter.azj-script_latin.safetensors", "model.safetensors"), (), id="MMS, a script"),
        pytest.param(MMS, Wanted(), ("model.safetensors",), (), id="MMS without a language"),
        pytest.param(WAVLM, Wanted(trust_pickle=True), ("pytorch_model.bin",), (), id="WavLM, pickles trusted"),
        pytest.param(PARAKEET, Wanted(), shards(2), (INDEX, "processor_config.json", "tokenizer.json"), id="Parakeet"),
    ],
)  # fmt: skip
def test_speech_encoders(listing, wanted, weights, others):
    files = choose_files("me/model", listing, reader(listing, weights), wanted)
    assert files.weights == weights
    assert files.every == tuple(sorted({*weights, *others, *SPEECH, "README.md"} - {".gitattributes"}))


@pytest.mark.parametrize(
    ("listing", "wanted", "said"),
    [
        (MT0, Wanted(), r"pickled weights.*refs/pr/N.*save_pretrained.*trust_pickle: true"),
        (WAVLM, Wanted(), r"https://huggingface.co/me/model/discussions"),
        (QUANTIZED, Wanted(), r"only model-q4_k_m.gguf, model-q8_0.gguf;"),
        (COMMON, Wanted(trust_pickle=True), r"no weights.*none;"),
        (tuple(name for name in LLAMA if name != INDEX), Wanted(), r"model.safetensors.index.json and the shards"),
        (MMS, Wanted(target_lang="xyz"), r"no adapter.xyz.safetensors.*4 languages \(azj-script_latin, deu, eng"),
        (WHISPER, Wanted(target_lang="deu"), "no language adapters: leave target_lang out"),
        ((*SPEECH, "model.safetensors", "adapter.deu.bin"), Wanted(target_lang="deu"), "deu.bin only, a pickle"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_why_and_what_to_do(listing, wanted, said):
    with pytest.raises(UserError, match=said):
        choose_files("me/model", listing, reader(listing, shards(4)), wanted)


def test_an_index_that_is_damaged_or_names_what_is_not_there():
    for text, said in (("{", "not readable as JSON"), ("{}", "no weight_map"), ('{"weight_map": {}}', "no weight_map")):
        with pytest.raises(UserError, match=f"index.json.*{said}"):
            choose_files("me/model", LLAMA, lambda name, text=text: "{}" if name == "config.json" else text, Wanted())
    with pytest.raises(UserError, match=r"names 1 file\(s\) that are not there \(model-00005-of-00005.safetensors\)"):
        choose_files("me/model", LLAMA, reader(LLAMA, (*shards(4), "model-00005-of-00005.safetensors")), Wanted())
    outside = reader(LLAMA, ("../other/model.safetensors",))
    with pytest.raises(UserError, match="not there"):
        choose_files("me/model", LLAMA, outside, Wanted())


def test_a_configuration_that_names_its_weights():
    listing = (*COMMON, "model.safetensors", "other.safetensors")
    read = reader((), config={"transformers_weights": "other.safetensors"})
    assert choose_files("me/model", listing, read, Wanted()).weights == ("other.safetensors",)
    with pytest.raises(UserError, match="names gone.safetensors as its weights"):
        choose_files("me/model", listing, reader((), config={"transformers_weights": "gone.safetensors"}), Wanted())
