"""Plans: sizes of published models, memory that is counted right, and the command."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
import yaml

from slm_espnet.bin import plan as command
from slm_espnet.errors import UserError
from slm_espnet.foundation import load_foundation
from slm_espnet.llm.build import build_llm, read_conf
from slm_espnet.planning.measure import peak_bytes
from slm_espnet.planning.models import encoder_on_paper, llm_bytes, llm_on_paper, parameter_count
from slm_espnet.prompt import PromptTemplate
from slm_espnet.speech_encoder.build import build_speech_encoder

# Millions of parameters, as their publishers say
ENCODERS = {
    "espnet/owsm_ctc_v4_1B": 1010, "nvidia/parakeet-ctc-1.1b": 1100, "facebook/mms-1b-all": 965,
    "facebook/w2v-bert-2.0": 580, "facebook/hubert-xlarge-ls960-ft": 964, "microsoft/wavlm-large": 316,
    "openai/whisper-large-v3": 637,
}  # fmt: skip
LLMS = {
    "bigscience/mt0-xxl-mt": 12900, "google/flan-t5-xl": 2850, "lmsys/vicuna-7b-v1.5": 6740, "Qwen/Qwen3-8B": 8190,
    "meta-llama/Llama-3.1-8B-Instruct": 8030, "google/gemma-3-4b-it": 4300,
}  # fmt: skip
PRESETS = ("hubert_xl_vicuna_7b", "mms_mt0_xxl", "owsm_ctc_mt0_xxl", "parakeet_ctc_mt0_xxl", "w2v_bert_mt0_xxl",
           "wavlm_large_vicuna_7b", "whisper_flan_t5_xl", "whisper_gemma_3_4b", "whisper_llama_8b",
           "whisper_qwen3_8b")  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_the_published_models(top, name):
    foundation = load_foundation(top / "conf" / "foundation" / f"{name}.yaml")
    for conf in (foundation.speech_encoder_conf, foundation.llm_conf):
        assert conf["revision"] is None or re.fullmatch("[0-9a-f]{40}", conf["revision"])
    read_conf(foundation.llm, foundation.llm_conf)
    PromptTemplate.from_dict(foundation.prompt_conf)
    encoder = encoder_on_paper(foundation)
    assert parameter_count(encoder.model) / 1e6 == pytest.approx(ENCODERS[encoder.name], rel=0.04)
    assert encoder.frame_shift == (0.08 if encoder.kind in ("parakeet_ctc", "e_branchformer_ctc") else 0.02)
    assert (foundation.length_reduction == "ctc_blank") == (encoder.vocab_size > 0)
    llm = parameter_count(llm_on_paper(foundation)) / 1e6
    assert llm == pytest.approx(LLMS[foundation.llm_conf["model"]], rel=0.006)


def test_storages_are_counted_from_their_making_to_their_end():
    def compute():
        first = torch.empty(1000, 1000)
        second = first + 1
        view = second.t()[:5]
        del first
        return view.sum() + (second + 1).sum()

    assert peak_bytes(torch.nn.Identity(), compute) == pytest.approx(8e6, abs=100)


def test_what_backward_needs_is_counted_and_attention_is_not_multiplied_out():
    layer = torch.nn.Linear(1000, 1000, device="meta").requires_grad_(False)

    def forward(inputs):
        return layer(layer(layer(inputs).sigmoid()).sigmoid()).sum()

    def without():
        with torch.no_grad():
            forward(torch.empty(500, 1000))

    def with_gradients():
        forward(torch.empty(500, 1000, requires_grad=True)).backward()

    plain, trained = peak_bytes(layer, without), peak_bytes(layer, with_gradients)
    assert plain == pytest.approx(3 * 2e6, rel=0.01)  # what is read, and a layer's input and output
    assert 2e6 <= trained - plain <= 3 * 2e6  # the results of both sigmoids stay

    def attend():
        query = torch.empty(1, 8, 4000, 16)
        F.scaled_dot_product_attention(query, query[:, :2], query[:, :2], enable_gqa=True)

    assert peak_bytes(torch.nn.Identity(), attend) < 8 * 4000 * 16 * 4 * 5 < 8 * 4000 * 4000


@pytest.fixture(scope="module")
def pair(tmp_path_factory, speech_model, tiny_t5):
    """Foundation file of a tiny Whisper and a tiny T5."""
    kind, conf = speech_model("whisper")
    values = {"speech_encoder": kind, "speech_encoder_conf": conf, "length_reduction": "stack",
              "llm": "hf_seq2seq", "llm_conf": {"model": str(tiny_t5), "dtype": "bfloat16"}}  # fmt: skip
    path = tmp_path_factory.mktemp("pair") / "pair.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_models_that_are_here_are_as_large_as_on_paper(pair, speech_model, language_model, tmp_path):
    foundation = load_foundation(pair)
    real = build_llm(foundation.llm, foundation.llm_conf)
    paper = llm_on_paper(foundation)
    size = sum(parameter.numel() * parameter.element_size() for parameter in real.parameters())
    tied = real.model.lm_head.weight is real.model.shared.weight
    assert llm_bytes(paper, "bfloat16", None) - size in ((0,) if tied else (0, -2 * paper.shared.weight.numel()))
    for name in ("hubert", "whisper", "w2v_bert"):
        kind, conf = speech_model(name)
        values = {"speech_encoder": kind, "speech_encoder_conf": conf, "llm": "hf_seq2seq"}
        (tmp_path / "pair.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        found, encoder = encoder_on_paper(load_foundation(tmp_path / "pair.yaml")), build_speech_encoder(kind, conf)
        assert parameter_count(found.model) == parameter_count(encoder) and found.dim == encoder.dim
        assert found.frame_shift == encoder.frame_shift or name == "hubert"  # the tiny one has other strides


def run(*options):
    assert command.main([str(option) for option in options]) == 0


def test_the_command_says_what_is_needed(pair, capsys):
    run("--foundation", pair)
    text = capsys.readouterr().out
    assert "trained" in text and "GiB to encode" in text and "GiB to decode" in text
    run("--foundation", pair, pair, "--format", "table")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1


def plan_of(capsys, *options):
    run(*options, "--format", "json")
    return json.loads(capsys.readouterr().out)


def test_more_work_needs_more_memory_and_fewer_bits_less(pair, capsys, tmp_path):
    plain = plan_of(capsys, "--foundation", pair)
    small = plan_of(capsys, "--foundation", pair, "--adapter_conf", "size=64", "heads=2")
    assert small["adapter_parameters"] < 0.05 * plain["adapter_parameters"]
    more = plan_of(capsys, "--foundation", pair, "--adapter_conf", "size=64", "heads=2", "--batch_size", 80)
    activations = [one["training"] - 12 * one["adapter_parameters"] - 2**30 for one in (small, more)]
    assert 8 < activations[1] / activations[0] < 11
    longer = plan_of(capsys, "--foundation", pair, "--target_tokens", 40000)
    assert longer["decoding"] > plain["decoding"] and longer["encoding"] == plain["encoding"]
    four = plan_of(capsys, "--foundation", pair, "--llm_conf", "quantization=4bit")
    assert four["llm_weights"] < 0.6 * plain["llm_weights"] and four["llm_parameters"] == plain["llm_parameters"]
    (tmp_path / "train.yaml").write_text("adapter: mlp\nadapter_output: embedding_mixture\n", encoding="utf-8")
    mixture = plan_of(capsys, "--foundation", pair, "--config", tmp_path / "train.yaml")
    assert mixture["adapter_parameters"] < plain["adapter_parameters"] and mixture["positions"] <= 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch_size", "0"), "--batch_size must be above 0"),
        (("--adapter_conf", "sise=3"), "adapter_conf has unknown key.*sise"),
        (("--adapter_conf", "size"), "takes key=value, not 'size'"),
        (("--llm_conf", "quantization=3bit"), "quantization must be 8bit or 4bit"),
        (("--config", "nowhere.yaml"), "nowhere.yaml: cannot read the training.s configuration"),
    ],
)
def test_misuse_is_one_line(pair, options, message):
    with pytest.raises(UserError, match=message):
        run("--foundation", pair, *options)


def test_a_model_of_unknown_size_is_named(pair, tmp_path):
    values = yaml.safe_load(pair.read_text(encoding="utf-8"))
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump({**values, "llm_conf": {"model": "some/llm"}}))
    with pytest.raises(UserError, match="some/llm is not here and the foundation has no llm_config"):
        run("--foundation", tmp_path / "pair.yaml")
    values |= {"llm_conf": {"model": "some/llm"}, "llm_config": {"model_type": "t6"}}
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match="none that transformers knows.*t6"):
        run("--foundation", tmp_path / "pair.yaml")


def test_importing_the_commands_is_cheap():
    code = "import sys, slm_espnet.bin.plan, slm_espnet.bin.segment; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
