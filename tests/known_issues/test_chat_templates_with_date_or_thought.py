"""Chat templates that write today's date (sgl-project/sglang#3296) or open a thought (sigoden/aichat#1528)."""

import pytest
from changed_tokenizer import changed_tokenizer

from slm_espnet.prompt import PromptTemplate

DATED = (
    "{% if strftime_now is defined %}{% set today = strftime_now('%d %b %Y') %}{% endif %}Today: {{ today }}, "
    "{{ strftime_now('%Y-%m-%d') }}\n{% for m in messages %}{{ m.content }}\n{% endfor %}"
)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\nTHOUGHT{% endif %}"
)


def test_the_date_is_one_day_kept_with_the_model(tiny_llama, tmp_path):
    tokenizer = changed_tokenizer(tiny_llama, tmp_path, DATED)
    template = PromptTemplate(chat=True)
    assert tokenizer.decode(template.build(tokenizer, "a").prefix) == "Today: 26 Jul 2024, 2024-07-26"
    assert template.to_dict()["date"] == "2024-07-26"
    other = PromptTemplate.from_dict({**template.to_dict(), "date": "2026-12-01"})
    assert tokenizer.decode(other.build(tokenizer, "a").prefix) == "Today: 01 Dec 2026, 2026-12-01"


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        ("<think>\n", "<think>\n\n</think>\n\n"),
        ("<think>", "<think>\n\n</think>\n\n"),
        ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),  # as Qwen3's own
        ("", ""),
    ],
)
def test_a_thought_that_the_template_opens_is_closed(tiny_llama, tmp_path, opened, closed):
    tokenizer = changed_tokenizer(tiny_llama, tmp_path, THINKING.replace("THOUGHT", opened))
    suffix = tokenizer.tokenizer.decode(PromptTemplate(chat=True).build(tokenizer, "a").suffix)
    assert suffix == f"\na<|im_end|>\n<|im_start|>assistant\n{closed}"
