"""The tokenizer of a tiny model, with another chat template, added tokens or BOS of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slm_espnet.llm.source import ModelSource
from slm_espnet.llm.tokenizer import HFTokenizer


def changed_tokenizer(
    model: Path, folder: Path, chat_template: str | None = None, added: Sequence[str] = (), puts_bos: bool = False
) -> HFTokenizer:
    """Save a changed copy into a folder and load it as the toolkit does."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = chat_template
    tokenizer.add_tokens(list(added))
    if puts_bos:
        bos = tokenizer.bos_token, tokenizer.bos_token_id
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    tokenizer.save_pretrained(folder)
    return HFTokenizer(ModelSource("changed", "", folder))
