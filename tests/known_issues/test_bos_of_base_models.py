"""A base model without a chat template got no BOS, though its tokenizer puts one (lm-evaluation-harness#1465)."""

import pytest
from changed_tokenizer import changed_tokenizer

from slm_espnet.prompt import PromptTemplate


@pytest.mark.parametrize("begin", ["", "<bos>"])
def test_bos_is_where_the_tokenizer_puts_it_and_stands_once(tiny_llama, tmp_path, begin):
    tokenizer = changed_tokenizer(tiny_llama, tmp_path, puts_bos=True)
    template = PromptTemplate(begin=begin, order=("instruction", "context", "speech"))
    for ids in (template.build(tokenizer, "say").prefix, template.with_text(tokenizer, "so", "say").ids):
        assert ids[0] == tokenizer.bos_id and ids.count(tokenizer.bos_id) == 1
    assert tokenizer.bos_id not in template.target(tokenizer, "so")
