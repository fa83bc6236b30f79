"""What is refused, and with which words; the tokenizer; LoRA."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from changed_tokenizer import changed_tokenizer

from slm_espnet.errors import UserError
from slm_espnet.llm import quantization
from slm_espnet.llm.build import build_llm, build_tokenizer
from slm_espnet.llm.lora import lora_state_dict
from slm_espnet.prompt import PromptTemplate


@pytest.fixture
def copy(tmp_path):
    """Function: a copy of a model's directory, to be spoilt."""
    return lambda directory: shutil.copytree(directory, tmp_path / "model")


def test_importing_the_builder_is_cheap():
    code = "import sys, slm_espnet.llm.build; print('torch' in sys.modules, 'transformers' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "False"]


@pytest.mark.parametrize(
    ("kind", "family", "conf", "words"),
    [
        ("hf_seq2seq", "llama", {}, "use llm: hf_causal"),
        ("hf_causal", "t5", {}, "use llm: hf_seq2seq"),
        ("hf_seq2seq", "t5", {"dtype": "float16"}, "use dtype bfloat16 or float32"),
        ("hf_seq2seq", "t5", {"dtype": "half"}, "float32, bfloat16, float16"),
        ("hf_seq2seq", "t5", {"quantization": "int4"}, "quantization must be 8bit or 4bit or left out, not 'int4'"),
        ("hf_seq2seq", "t5", {"modle": "x"}, "unknown key.* modle; known: model"),
        ("hf_t5", "t5", {}, "choose hf_seq2seq or hf_causal"),
        ("hf_causal", "llama", {"lora": {"rank": 4}}, "unknown key.* rank; known: r, alpha"),
        ("hf_causal", "llama", {"lora": {"target_modules": ["nowhere"]}}, "lora does not fit"),
    ],
)
def test_wrong_settings(model_directory, kind, family, conf, words):
    with pytest.raises(UserError, match=words):
        build_llm(kind, {"model": str(model_directory(family)), **conf})


def test_missing_and_foreign_directories(tmp_path):
    with pytest.raises(UserError, match="is not a directory"):
        build_llm("hf_causal", {"model": str(tmp_path / "nowhere")})
    with pytest.raises(UserError, match="no config.json"):
        build_llm("hf_causal", {"model": str(tmp_path)})
    with pytest.raises(UserError, match="model is missing"):
        build_llm("hf_causal", {})
    with pytest.raises(UserError, match="nobody/nothing.*network"):
        build_llm("hf_causal", {"model": "nobody/nothing"})
    (tmp_path / "config.json").write_text('{"model_type": "no such type"}')
    with pytest.raises(UserError, match="not a configuration that transformers knows"):
        build_llm("hf_causal", {"model": str(tmp_path)})


def test_weights_that_are_absent_cut_or_incomplete(model_directory, copy):
    directory = copy(model_directory("t5"))
    weights = directory / "model.safetensors"
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    save_file({k: v for k, v in tensors.items() if "decoder.block.1" not in k}, weights, {"format": "pt"})
    with pytest.raises(UserError, match="lack .* tensor.*decoder.block.1"):
        build_llm("hf_seq2seq", {"model": str(directory)})
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot be loaded"):
        build_llm("hf_seq2seq", {"model": str(directory)})
    weights.unlink()
    with pytest.raises(UserError, match="no .*safetensors.*save_pretrained"):
        build_llm("hf_seq2seq", {"model": str(directory)})


def test_identity_names_the_weights(model_directory, copy):
    directory = copy(model_directory("t5"))
    first = build_llm("hf_seq2seq", {"model": str(directory)}).identity()
    output = subprocess.check_output(["sha256sum", directory / "model.safetensors"], text=True)
    assert first["weights_sha256"] == output.split()[0] and first["kind"] == "hf_seq2seq"
    shutil.copy(model_directory("t5_gated") / "config.json", directory)
    shutil.copy(model_directory("t5_gated") / "model.safetensors", directory)
    assert build_llm("hf_seq2seq", {"model": str(directory)}).identity()["weights_sha256"] != first["weights_sha256"]


def test_sentencepiece_text_comes_back_exactly(tiny_t5):
    tokenizer = build_tokenizer("hf_seq2seq", {"model": str(tiny_t5)})
    for text in ("call james at nine o'clock", "translate this speech", "a"):
        ids = tokenizer.encode(text)
        assert tokenizer.eos_id not in ids and tokenizer.decode([*ids, tokenizer.eos_id, tokenizer.pad_id]) == text
    assert tokenizer.encode("") == tokenizer.encode_within("") == []
    assert tokenizer.encode_within("james") == tokenizer.encode("james")
    special = tokenizer.special_id("<sp>")
    assert tokenizer.decode([special, *tokenizer.encode("speech"), 10_000]) == "speech"
    with pytest.raises(UserError, match="<nope>"):
        tokenizer.special_id("<nope>")
    with pytest.raises(UserError, match="no chat template"):
        tokenizer.chat_frame(("user",), "2026-01-01")


def test_chat_frame_is_the_template_around_the_messages(tiny_llama):
    tokenizer = build_tokenizer("hf_causal", {"model": str(tiny_llama)})
    words = {"system": "be brief", "user": "hello"}
    before, between, after = tokenizer.chat_frame(tuple(words), "2026-01-01")
    messages = [{"role": role, "content": text} for role, text in words.items()]
    whole = tokenizer.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert f"{before}be brief{between}hello{after}" == whole


def test_chat_template_that_refuses_a_system_message(tiny_llama, copy):
    directory = copy(tiny_llama)
    template = "{{ raise_exception('no system role') if messages[0].role == 'system' }}{{ messages[0].content }}"
    for file in directory.glob("*.jinja"):
        file.write_text(template)
    settings = json.loads((directory / "tokenizer_config.json").read_text())
    if "chat_template" in settings:
        (directory / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    tokenizer = build_tokenizer("hf_causal", {"model": str(directory)})
    with pytest.raises(UserError, match="no system role.*leave prompt_conf's system empty"):
        tokenizer.chat_frame(("system", "user"), "2026-01-01")


@pytest.mark.parametrize(("kind", "family"), [("hf_causal", "llama"), ("hf_seq2seq", "t5")])
def test_lora_trains_its_own_parameters_only(model_directory, kind, family):
    plain = build_llm(kind, {"model": str(model_directory(family))})
    targets = ["q_proj", "v_proj"] if family == "llama" else ["q", "v"]
    conf = {"model": str(model_directory(family)), "dtype": "bfloat16"}
    llm = build_llm(kind, {**conf, "lora": {"r": 2, "dropout": 0.5, "target_modules": targets}})
    state = lora_state_dict(llm)
    assert state and all("lora_" in name and value.dtype == torch.float32 for name, value in state.items())
    assert not lora_state_dict(plain)

    ids, lengths = torch.tensor([[5, 6, 7, 8]]), torch.tensor([4])
    arguments = (llm.embed(ids), lengths, torch.tensor([[9, 2]]), torch.tensor([2]))
    before = llm.loss_logits(*arguments)
    reference = build_llm(kind, conf).loss_logits(*arguments)
    assert torch.equal(before, reference)  # the update begins at zero
    optimizer = torch.optim.SGD([p for p in llm.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        llm.train().loss_logits(*arguments).float().square().sum().backward()
        optimizer.step()
    assert any(module.training for module in llm.modules()) and not llm.model.training
    llm.eval()
    after = llm.loss_logits(*arguments)
    assert not torch.equal(after, before)
    assert torch.equal(after, llm.loss_logits(*arguments))  # no dropout outside of training


def test_quantization_without_a_gpu_or_its_packages_says_what_is_needed(model_directory, monkeypatch):
    conf = {"model": str(model_directory("t5")), "quantization": "4bit"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="quantization 4bit needs a CUDA GPU"):
        build_llm("hf_seq2seq", conf)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(quantization, "PACKAGES", ("no_such_package",))
    with pytest.raises(UserError, match="pip install no_such_package"):
        build_llm("hf_seq2seq", conf)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantized_weights_pass_gradients_and_say_so(top, monkeypatch, bits):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    monkeypatch.setattr(quantization, "check_quantization", lambda bits: None)  # it can compute without a GPU, slowly
    conf = {"model": str(top / "egs2" / "mini" / "foundations" / "llm"), "dtype": "bfloat16"}
    llm, plain = build_llm("hf_seq2seq", {**conf, "quantization": bits}), build_llm("hf_seq2seq", conf)
    assert llm.identity()["quantization"] == bits and "quantization" not in plain.identity()
    arguments = (torch.tensor([4]), torch.tensor([[9, 1]]), torch.tensor([2]))
    inputs = llm.embed(torch.tensor([[5, 6, 7, 8]])).detach().requires_grad_(True)
    logits = llm.loss_logits(inputs, *arguments)
    logits.float().square().sum().backward()
    assert inputs.grad.abs().sum() > 0 and not any(parameter.requires_grad for parameter in llm.parameters())
    both = torch.stack([logits.flatten().float(), plain.loss_logits(inputs, *arguments).flatten().float()])
    assert 0.8 < torch.corrcoef(both)[0, 1] < 1 - 1e-6


def test_answers_end_where_the_chat_template_ends_a_turn(language_model):
    """As in Llama 3 and Gemma 3, where a turn's end is not the end of a text."""
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<turn>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    folder = language_model("llama")
    changed_tokenizer(folder, folder, template, ["<turn>"])
    llm = build_llm("hf_causal", {"model": str(folder)})
    turn = llm.tokenizer.special_id("<turn>")
    assert llm.tokenizer.end_of_turn == turn != llm.tokenizer.eos_id
    assert llm.stop_ids == {turn, llm.tokenizer.eos_id}
    chat, plain = PromptTemplate(chat=True), PromptTemplate()
    assert [t.target(llm.tokenizer, "yes")[-1] for t in (chat, plain)] == [turn, llm.tokenizer.eos_id]


def test_blanks_that_a_chat_template_writes_before_an_answer_belong_to_it(tiny_llama, tmp_path):
    """As in Mistral's: `[/INST]` begins the answer, and the answers of its training began with a blank."""
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    tokenizer = changed_tokenizer(tiny_llama, tmp_path, template)
    assert PromptTemplate(chat=True).target(tokenizer, "yes") == (*tokenizer.encode(" yes"), tokenizer.eos_id)


UNUSABLE = ("{{ raise_exception('no') }}", "{{ messages[0].content + 1 }}", "{{ messages[9].x.y }}")


@pytest.mark.parametrize("template", UNUSABLE)
def test_a_chat_template_that_cannot_be_used_refuses_chat_alone(tiny_llama, tmp_path, template):
    tokenizer = changed_tokenizer(tiny_llama, tmp_path, template)
    assert tokenizer.end_of_turn is None and PromptTemplate().target(tokenizer, "a")[-1] == tokenizer.eos_id
    with pytest.raises(UserError, match="chat template of .* refuses"):
        PromptTemplate(chat=True).build(tokenizer, "a")


def test_of_several_chat_templates_the_default_is_used(tiny_llama, tmp_path):
    templates = {"default": "{{ messages[0].content }}!<eot>", "tool_use": "{{ 1 }}"}
    tokenizer = changed_tokenizer(tiny_llama, tmp_path, templates, ["<eot>"])
    assert tokenizer.chat_frame(("user",), "2026-01-01") == ("", "!<eot>")
    assert tokenizer.special_id("<eot>") not in tokenizer.encode("a <eot> b")
