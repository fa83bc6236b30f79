"""The prompt template: order, edges, context, chat; text takes exactly the place of speech."""

import pytest

from slm_espnet.llm.build import build_tokenizer
from slm_espnet.prompt import Prompt, PromptTemplate


@pytest.fixture(scope="module")
def t5(tiny_t5):
    return build_tokenizer("hf_seq2seq", {"model": str(tiny_t5)})


@pytest.fixture(scope="module")
def llama(tiny_llama):
    return build_tokenizer("hf_causal", {"model": str(tiny_llama)})


def test_speech_comes_first_by_default(t5):
    prompt = PromptTemplate().build(t5, "recognize this speech")
    assert prompt == Prompt((), tuple(t5.encode("recognize this speech")))


def test_marks_context_and_end_in_any_order(t5):
    context_format = "possible names {phrases}"
    words = dict(speech_end="<sp>", end="<eos>", context_format=context_format, phrase_separator=" ")
    names, task = t5.encode("possible names james mary"), t5.encode("recognize")
    separator, end = t5.special_id("<sp>"), t5.eos_id
    built = PromptTemplate(**words).build(t5, "recognize", ["james", "mary"])
    assert built == Prompt((), (separator, *names, *task, end))
    order = ("context", "speech", "instruction")
    built = PromptTemplate(order=order, **words).build(t5, "recognize", ["james", "mary"])
    assert built == Prompt(tuple(names), (separator, *task, end))
    built = PromptTemplate(order=("instruction", "context", "speech"), **words).build(t5, "recognize")
    assert built == Prompt(tuple(task), (separator, end))


def test_text_stands_where_speech_would(t5):
    prompt = PromptTemplate(speech_begin="say", speech_end="<sp>", end="<eos>").build(t5, "recognize")
    text = t5.encode("call james")
    assert prompt.with_text(t5, "call james") == [*prompt.prefix, *text, *prompt.suffix]
    assert prompt.with_text(t5, "") == [*prompt.prefix, *prompt.suffix]


def test_chat_wraps_everything(llama):
    template = PromptTemplate(chat=True, system="be brief", order=("instruction", "speech", "context"))
    prompt = template.build(llama, "recognize: ")
    conversation = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "recognize: call james"}]
    text = llama.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    assert prompt.with_text(llama, "call james") == llama.encode(text)


def test_bos_is_left_out_where_the_tokenizer_has_none(t5, llama):
    template = PromptTemplate(begin="<bos>", end="<eos>")
    assert template.build(llama, "a").prefix == (llama.bos_id,)
    assert template.build(t5, "a").prefix == () and template.build(t5, "a").suffix[-1] == t5.eos_id


def test_settings_travel_as_plain_values_and_wrong_ones_are_refused():
    template = PromptTemplate(order=["instruction", "context", "speech"], speech_end="<sp>")
    assert PromptTemplate.from_dict(template.to_dict()) == template
    with pytest.raises(ValueError, match="speech_edn.*known: .*speech_end"):
        PromptTemplate.from_dict({"speech_edn": "x"})
    with pytest.raises(ValueError, match="once each"):
        PromptTemplate(order=("speech", "speech", "instruction"))
    with pytest.raises(ValueError, match="phrases"):
        PromptTemplate(context_format="names")


def test_braces_in_phrases_and_instructions_are_plain_text(llama):
    prompt = PromptTemplate(context_format="names: {phrases}").build(llama, "{instruction}", ["{phrases}"])
    assert llama.decode(prompt.suffix) == "names: {phrases}{instruction}"
