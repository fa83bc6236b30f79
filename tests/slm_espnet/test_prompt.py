"""The prompt template: order, edges, context, chat; text takes exactly the place of speech."""

import pytest

from slm_espnet.errors import UserError
from slm_espnet.foundation import load_foundation
from slm_espnet.llm.build import build_tokenizer
from slm_espnet.prompt import Prompt, PromptTemplate

# ids that the miniature was trained with: text in place of speech, instruction, context
MINI = [
    ("call james on monday", "translate this speech from english to spanish", (),
     [130, 1045, 10, 97, 3, 490, 216, 8, 273, 227, 96, 445, 25, 395, 5, 681, 1]),
    ("llama a maría el lunes", "recognize this speech in spanish", ("james", "mary ann"),
     [412, 14, 6, 219, 362, 23, 417, 3, 36, 51, 1045, 83, 397, 122, 41, 977, 96, 445, 7, 681, 1]),
    ("", "answer the question: who called?", ("bob",),
     [3, 36, 51, 103, 21, 137, 184, 4, 171, 8, 435, 2, 147, 259, 2, 1]),
    ("two  blanks", "", (), [58, 103, 86, 794, 8, 3, 1]),
]  # fmt: skip


@pytest.fixture(scope="module")
def t5(tiny_t5):
    return build_tokenizer("hf_seq2seq", {"model": str(tiny_t5)})


@pytest.fixture(scope="module")
def llama(tiny_llama):
    return build_tokenizer("hf_causal", {"model": str(tiny_llama)})


@pytest.fixture(scope="module")
def mini(top):
    pair = load_foundation(top / "conf/foundation/mini.yaml")
    return build_tokenizer(pair.llm, pair.llm_conf), pair.prompt_conf


def whole(tokenizer, text):
    """What the tokenizer itself makes of a text."""
    return tuple(tokenizer.tokenizer(text)["input_ids"])


def test_speech_comes_first_by_default(t5, llama):
    prompt = PromptTemplate().build(t5, "recognize this speech")
    assert prompt == Prompt(((), whole(t5, "recognize this speech")))
    # where the answer goes on behind the prompt, a line end comes between
    assert PromptTemplate().build(llama, "recognize") == Prompt(((), tuple(llama.encode("\nrecognize\n"))))


def test_parts_are_laid_out_in_any_order_with_separators_between_those_that_are_there(llama):
    words = dict(speech_begin='Speech: "', speech_end='"', context_format="Names: {phrases}.")
    for order, context, expected in (
        (("speech", "context", "instruction"), ["James", "Mary"], 'Speech: "hi!"\nNames: James, Mary.\nWrite it\n'),
        (("context", "instruction", "speech"), ["James"], 'Names: James.\nWrite it\nSpeech: "hi!"\n'),
        (("instruction", "context", "speech"), [], 'Write it\nSpeech: "hi!"\n'),
    ):
        read = PromptTemplate(order=order, **words).with_text(llama, "hi!", "Write it", context)
        assert read.ids == whole(llama, expected) and llama.decode(read.words) == "hi!"


@pytest.mark.parametrize(("text", "instruction", "context", "ids"), MINI)
def test_the_miniatures_prompts_stay_what_it_was_trained_with(mini, text, instruction, context, ids):
    tokenizer, conf = mini
    before = {key: value for key, value in conf.items() if key != "separator"}
    for values in (conf, {"format": 1, **before}):
        template = PromptTemplate.from_dict(values)
        assert template.with_text(tokenizer, text, instruction, context).ids == tuple(ids)
        prompt = template.build(tokenizer, instruction, context)
        assert prompt.prefix == () and prompt.suffix == tuple(ids[ids.index(3) :])


def test_a_model_of_the_older_layout_is_refused_where_its_prompts_would_be_others(llama, t5):
    for tokenizer, conf in ((llama, {}), (llama, {"chat": True}), (t5, {})):
        with pytest.raises(UserError, match="tokenized one by one.*train it again"):
            PromptTemplate.from_dict({"format": 1, **conf}).build(tokenizer, "recognize", ["james"])
    with pytest.raises(ValueError, match="format 3 is of a newer version"):
        PromptTemplate(format=3)


def test_blanks_before_the_speech_belong_to_it(llama):
    template = PromptTemplate(order=("instruction", "context", "speech"), separator=" ", end="\nAnswer: ")
    prompt, read = template.build(llama, "Write:"), template.with_text(llama, "so", "Write:")
    assert prompt == Prompt((tuple(llama.encode("Write:")), tuple(llama.encode("\nAnswer:"))))
    assert read.words == tuple(llama.encode(" so")) and read.ids == (*prompt.prefix, *read.words, *prompt.suffix)
    assert template.answer(llama, "yes") == tuple(llama.encode(" yes")), "and those before the answer to the answer"


def test_an_answer_follows_the_whole_separator_or_the_end(llama):
    for conf, between in (({"separator": "\n--\n"}, "\n--\n"), ({"end": "\nAnswer:\n\n"}, "\nAnswer:\n\n")):
        template = PromptTemplate(**conf)
        assert llama.decode(template.build(llama, "go").suffix) == f"{template.separator}go{between}".strip()
        assert template.answer(llama, "yes") == tuple(llama.encode("yes"))


def test_an_instruction_may_say_where_the_speech_goes(llama):
    for order in (("speech", "context", "instruction"), ("instruction", "context", "speech")):
        template = PromptTemplate(order=order, speech_begin='"', speech_end='"')
        read = template.with_text(llama, "Guten Tag", "Is <speech> German?", ["Tag"])
        lines = ["possible phrases: Tag", 'Is "Guten Tag" German?']
        assert read.ids == whole(llama, "\n".join(lines if order[0] == "speech" else lines[::-1]) + "\n")
        prompt = template.build(llama, "Is <speech> German?", ["Tag"])
        assert read.ids == (*prompt.prefix, *read.words, *prompt.suffix) and llama.decode(read.words) == "Guten Tag"
    for instruction in ("<speech>", "<speech>!", "Say <speech>"):
        read = PromptTemplate(chat=True).with_text(llama, "hi", instruction)
        assert llama.decode(read.ids) == f"[user] {instruction.replace('<speech>', 'hi')}\n[assistant]"
    with pytest.raises(UserError, match="has 2 places <speech>, and 1 recording"):
        PromptTemplate().build(llama, "<speech> or <speech>")


def test_bos_and_eos_stand_once_where_the_settings_or_the_tokenizer_put_them(t5, llama):
    template = PromptTemplate(begin="<bos>", end="<eos>")
    assert template.build(llama, "a").parts == ((llama.bos_id,), (*llama.encode("\na"), llama.eos_id))
    assert template.build(t5, "a") == PromptTemplate(separator=" ").build(t5, "a")
    chat = PromptTemplate(begin="<bos>", chat=True).build(llama, "a")
    assert chat.prefix.count(llama.bos_id) == 1 and chat.prefix[0] == llama.bos_id


def test_chat_wraps_everything_and_earlier_turns_stand_before(llama):
    template = PromptTemplate(chat=True, system="be brief", order=("instruction", "speech", "context"))
    turns = [("user", "hi"), ("assistant", "hello")]
    messages = [
        {"role": "system", "content": "be brief"},
        *({"role": role, "content": words} for role, words in turns),
        {"role": "user", "content": "recognize:\ncall james"},
    ]
    text = llama.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    expected = llama.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert template.with_text(llama, "call james", "recognize:", history=turns).ids == tuple(expected)
    open_turn = [*turns, ("user", "one thing more:")]
    text = text.replace("[user] recognize", "[user] one thing more:\nrecognize")
    expected = llama.tokenizer(text, add_special_tokens=False)["input_ids"]
    found = template.with_text(llama, "call james", "recognize:", history=open_turn).ids
    assert found == tuple(expected), "a turn without an answer begins the message, as roles alternate"
    plain = PromptTemplate(system="be brief").with_text(llama, "call james", "recognize:", history=turns)
    assert llama.decode(plain.ids) == "be brief\nUser: hi\nAssistant: hello\ncall james\nrecognize:"


def test_special_pieces_of_the_settings_are_single_tokens(mini, llama):
    tokenizer = mini[0]
    read = PromptTemplate(speech_end="<sp>", separator=" ").with_text(tokenizer, "a <sp> b", "go")
    assert read.ids.count(tokenizer.special_id("<sp>")) == 1, "what is said names no token"
    with pytest.raises(UserError, match="no piece '<sp>'"):
        PromptTemplate(speech_end="<sp>").build(llama, "go")


def test_settings_travel_as_plain_values_and_wrong_ones_are_refused():
    template = PromptTemplate(order=["instruction", "context", "speech"], speech_end="<sp>")
    assert PromptTemplate.from_dict(template.to_dict()) == template and template.to_dict()["format"] == 2
    with pytest.raises(ValueError, match="speech_edn.*known: .*speech_end"):
        PromptTemplate.from_dict({"speech_edn": "x"})
    with pytest.raises(ValueError, match="once each"):
        PromptTemplate(order=("speech", "speech", "instruction"))
    for wrong in ("names", "{phrases} {other}", "{phrases} {phrases}", "{phrases} {", "{0}{phrases}"):
        with pytest.raises(ValueError, match="context_format"):
            PromptTemplate(context_format=wrong)
    with pytest.raises(ValueError, match="isoformat"):
        PromptTemplate(date="today")


def test_braces_in_phrases_and_instructions_are_plain_text(llama):
    prompt = PromptTemplate(context_format="{{names}}: {phrases}").build(llama, "{instruction}", ["{phrases}"])
    assert llama.decode(prompt.suffix) == "{names}: {phrases}\n{instruction}"
