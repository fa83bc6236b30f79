"""A decoder-only model whose tokenizer puts EOS behind every text (add_eos_token) read a prompt that had ended."""

from changed_tokenizer import changed_tokenizer

from slm_espnet.prompt import PromptTemplate


def test_a_prompt_does_not_end_before_its_answer(tiny_llama, tmp_path):
    usual = changed_tokenizer(tiny_llama, tmp_path / "usual", puts_bos=True)
    ending = changed_tokenizer(tiny_llama, tmp_path / "ending", puts_bos=True, puts_eos=True)
    assert ending.tokenizer("a")["input_ids"][-1] == ending.eos_id and not ending.closes_text
    for template in (PromptTemplate(), PromptTemplate(order=("instruction", "speech", "context"), end=" Answer:")):
        assert template.build(ending, "say it", ["Ann"]) == template.build(usual, "say it", ["Ann"])
        assert template.with_text(ending, "so", "say it") == template.with_text(usual, "so", "say it")
        assert template.target(ending, "so") == template.target(usual, "so")
    closed = PromptTemplate(end="<eos>")
    assert closed.build(ending, "say").suffix[-1] == ending.eos_id, "where the settings ask for it"
