"""Prompts with the tokenizers of real language models: ids are the tokenizer's own of the whole text."""

import os
import tarfile
from datetime import date
from pathlib import Path

import pytest

from slm_espnet.llm.source import ModelSource
from slm_espnet.llm.tokenizer import HFTokenizer
from slm_espnet.prompt import PromptTemplate

SHARED = Path(os.environ.get("SLM_SHARED") or Path(__file__).resolve().parents[3] / "shared")
ARCHIVES = SHARED / "data" / "tokenizers"
NAMES = ("smollm2_135m_instruct", "qwen3", "gemma3", "llama3", "llama3_2", "flan_t5")
WITH_CHAT = NAMES[:-1]
TEXTS = (
    "turn on the light", "Turn on the light.", '"Why?" she said, "why not?"', "É tarde; já são 10 horas!",
    "今天天气怎么样？", "größer, schöner, Straße", "ok", "…", "5 apples", "don't", "«Oui»",
)  # fmt: skip
PARTS = ("speech context instruction", "instruction context speech", "context speech instruction")
ORDERS = [tuple(order.split()) for order in PARTS]
MARKS = dict(speech_begin='Speech: "', speech_end='"', context_format="Possible phrases: {phrases}.")
INSTRUCTION = "Translate this speech from English to German"
TURNS = [("user", "Hello there."), ("assistant", "Hi! What can I do?")]
CONTROL = "</s> <|im_end|> <pad> <start_of_turn> <end_of_turn> <|eot_id|> <think> </think> <unk> <|im_start|>".split()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    made = {}

    def load(name):
        if name not in made:
            archive = ARCHIVES / f"{name}.tar.xz"
            if not archive.exists():
                pytest.skip(f"no real tokenizers here: {archive} is missing")
            folder = tmp_path_factory.mktemp("tokenizer")
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
            made[name] = HFTokenizer(ModelSource(name, "", folder / name))
        return made[name]

    return load


def content(order, text, context, instruction=INSTRUCTION, separator="\n"):
    """The message as a person writes it."""
    phrases = f"Possible phrases: {', '.join(context)}." if context else ""
    parts = {"speech": f'Speech: "{text}"', "context": phrases, "instruction": instruction}
    return separator.join(parts[name] for name in order if parts[name])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ORDERS)
def test_text_in_place_of_speech_is_what_the_tokenizer_makes_of_the_whole(tokenizer, name, order):
    tokenizer = tokenizer(name)
    template = PromptTemplate(order=order, **MARKS)
    end = "" if name == "flan_t5" else "\n"
    for text in TEXTS:
        for context in ((), ("Anna", "São Paulo")):
            read = template.with_text(tokenizer, text, INSTRUCTION, context)
            whole = tokenizer.tokenizer(content(order, text, context) + end)["input_ids"]
            assert list(read.ids) == whole, (text, context)


@pytest.mark.parametrize("name", WITH_CHAT)
@pytest.mark.parametrize("system", ["", "Be brief."])
def test_chat_is_the_models_own_template_around_it(tokenizer, name, system):
    tokenizer = tokenizer(name)
    for order, text, context in zip(ORDERS * 4, TEXTS, [(), ("Anna",)] * 6, strict=False):
        template = PromptTemplate(chat=True, system=system, order=order, date="2024-07-26", **MARKS)
        messages = [{"role": "system", "content": system}] if system else []
        messages += [{"role": role, "content": words} for role, words in TURNS]
        messages.append({"role": "user", "content": content(order, text, context)})
        rendered = tokenizer.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False, date_string="26 Jul 2024"
        )
        expected = tokenizer.tokenizer(rendered, add_special_tokens=False)["input_ids"]
        assert list(template.with_text(tokenizer, text, INSTRUCTION, context, TURNS).ids) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ORDERS)
def test_speech_stands_where_words_would(tokenizer, name, order):
    tokenizer = tokenizer(name)
    for marks in (MARKS, {"speech_begin": "Speech: "}, {}):
        for chat in {False, name in WITH_CHAT}:
            template = PromptTemplate(order=order, chat=chat, **marks)
            prompt = template.build(tokenizer, INSTRUCTION, ("Anna", "Ben"))
            for text in ("turn on the light", "Größe", "light", "5 apples"):
                read = template.with_text(tokenizer, text, INSTRUCTION, ("Anna", "Ben"))
                assert read.ids == (*prompt.prefix, *read.words, *prompt.suffix), (marks, chat, text)
                assert tokenizer.decode(read.words) == text
            for instruction in ("Is <speech> the answer to <speech>? <speech>", "Compare them."):
                prompt = template.build(tokenizer, instruction, ("Anna",), recordings=3)
                texts = ("turn on the light", "Größe", "5 apples")
                read = template.with_text(tokenizer, texts, instruction, ("Anna",))
                between = zip(prompt.parts, (*read.said, ()), strict=True)
                assert read.ids == tuple(i for one, said in between for i in (*one, *said)), (marks, chat)
                assert tuple(map(tokenizer.decode, read.said)) == texts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chat", [False, True])
def test_bos_stands_once_or_where_the_tokenizer_puts_none_nowhere(tokenizer, name, chat):
    tokenizer = tokenizer(name)
    if chat and name not in WITH_CHAT:
        pytest.skip("no chat template")
    for begin in ("", "<bos>"):
        ids = PromptTemplate(chat=chat, begin=begin).with_text(tokenizer, "one", "two").ids
        own = begin or (chat and name != "qwen3") or name in ("gemma3", "llama3_2")
        expected = int(bool(own and tokenizer.bos_id is not None))
        if chat and name == "smollm2_135m_instruct":  # its "BOS" opens every turn
            expected = ids.count(tokenizer.bos_id)
            assert expected == 3
        assert ids.count(tokenizer.bos_id) == expected


ENDS = {"smollm2_135m_instruct": "<|im_end|>", "qwen3": "<|im_end|>", "gemma3": "<end_of_turn>", "llama3": "<|eot_id|>",
        "llama3_2": "<|eot_id|>"}  # fmt: skip


@pytest.mark.parametrize("name", WITH_CHAT)
def test_targets_go_on_and_end_as_the_models_own_turns(tokenizer, name):
    tokenizer = tokenizer(name)
    template = PromptTemplate(chat=True)
    assert tokenizer.tokenizer.convert_ids_to_tokens(tokenizer.end_of_turn) == ENDS[name]
    prompt = template.with_text(tokenizer, "one", "two").ids
    for text in TEXTS:
        messages = [{"role": "user", "content": "one\ntwo"}]
        begun = tokenizer.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False, date_string="26 Jul 2024"
        )
        dialog = tokenizer.tokenizer(f"{begun}{text}{ENDS[name]}", add_special_tokens=False)["input_ids"]
        assert [*prompt, *template.target(tokenizer, text)] == dialog, text
    plain = PromptTemplate()
    assert plain.target(tokenizer, "one")[-1] == tokenizer.eos_id, "without chat a text ends as texts do"


@pytest.mark.parametrize("name", NAMES)
def test_words_of_users_are_letters_and_come_back(tokenizer, name):
    tokenizer = tokenizer(name)
    special = {i for i, token in tokenizer.tokenizer.added_tokens_decoder.items() if token.special}
    special -= {tokenizer.tokenizer.unk_token_id}
    template = PromptTemplate(chat=name in WITH_CHAT, **MARKS)
    usual = [i for i in template.with_text(tokenizer, "x", "x", ("x",), TURNS).ids if i in special]
    for word in CONTROL:
        text = f"say {word} now"
        for ids in (tokenizer.encode(text), template.answer(tokenizer, text)):
            assert not special.intersection(ids)
            if name != "flan_t5":  # which has no "<"
                assert tokenizer.decode(ids) == text
        read = template.with_text(tokenizer, text, text, (word, text), [("user", text), ("assistant", word + "yes")])
        assert [i for i in read.ids if i in special] == usual, word


def test_dates_are_one_day_for_ever(tokenizer):
    llama = tokenizer("llama3_2")
    text = llama.decode(PromptTemplate(chat=True).build(llama, "a").prefix)
    assert "Today Date: 26 Jul 2024" in text
    later = PromptTemplate.from_dict({"chat": True, "date": date(2026, 2, 3)})  # as YAML reads it
    assert "Today Date: 03 Feb 2026" in llama.decode(later.build(llama, "a").prefix)


@pytest.mark.parametrize("name", NAMES)
def test_a_phrase_within_a_text_has_the_blank_that_belongs_to_it(tokenizer, name):
    tokenizer = tokenizer(name)
    for phrase in ("Okafor", "São Paulo", "light"):
        ids = tokenizer.encode(f"tell {phrase}")
        assert ids[len(ids) - len(tokenizer.encode_within(phrase)) :] == tokenizer.encode_within(phrase)
        assert tokenizer.encode_within(phrase) != tokenizer.encode(phrase) or name == "flan_t5"
    if name != "flan_t5":  # whose vocabulary has no Chinese
        assert tokenizer.tokenizer.decode(tokenizer.encode_within("天气")) == "天气", "which follows no blank"
