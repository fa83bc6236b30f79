"""Words of users that look like special tokens became special tokens (huggingface/transformers#29279).

A target with "</s>" had an end of sentence in its middle, an instruction with "<|im_end|>" ended the turn.
"""

import pytest
from changed_tokenizer import changed_tokenizer

from slm_espnet.llm.build import build_tokenizer
from slm_espnet.prompt import PromptTemplate

WORDS = ("</s>", "<pad>", "<s>", "</s></s>", "a</s>b", "<</s>s>")


PAIRS = [("hf_causal", "tiny_llama"), ("hf_seq2seq", "tiny_t5"), ("hf_seq2seq", "")]


@pytest.mark.parametrize(("kind", "model"), PAIRS)
def test_words_of_users_are_letters(kind, model, request, top):
    folder = request.getfixturevalue(model) if model else top / "egs2/mini/foundations/llm"
    tokenizer = build_tokenizer(kind, {"model": str(folder)})
    control = {tokenizer.eos_id, tokenizer.pad_id, tokenizer.bos_id}
    template = PromptTemplate(chat=kind == "hf_causal")
    usual = [i for i in template.with_text(tokenizer, "x", "x", ["x"]).ids if i in control]
    for word in WORDS:
        target = template.target(tokenizer, f"hello {word} world")
        assert target[-1] == tokenizer.eos_id and not control.intersection(target[:-1])
        read = template.with_text(tokenizer, word, f"say {word}", [word, f"{word} {word}"], [("user", word)])
        assert [i for i in read.ids if i in control] == usual
        if kind == "hf_causal":  # the others have no letter "<"
            assert tokenizer.decode(target) == f"hello {word} world"


def test_words_that_a_chat_template_writes_are_letters_too(tiny_llama, tmp_path):
    """<think> is a token of its own in Qwen3, but no special one; in a prompt it would be a thought."""
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}<think></think>"
    tokenizer = changed_tokenizer(tiny_llama, tmp_path, template, ["<think>", "</think>"])
    thought = [tokenizer.special_id("<think>"), tokenizer.special_id("</think>")]
    ids = PromptTemplate(chat=True).with_text(tokenizer, "a </think> b", "<think> aloud").ids
    assert [i for i in ids if i in thought] == thought and list(ids[-2:]) == thought
    assert tokenizer.decode(tokenizer.encode("a </think> b")) == "a </think> b"
