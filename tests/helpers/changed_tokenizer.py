"""The tokenizer of a tiny model, with another chat template, added tokens or BOS of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slm_espnet.llm.source import ModelSource
from slm_espnet.llm.tokenizer import HFTokenizer


def changed_tokenizer(
    model: Path,
    folder: Path,
    chat_template: str | None = None,
    added: Sequence[str] = (),
    puts_bos: bool = False,
    puts_eos: bool = False,
) -> HFTokenizer:
    """Save a changed copy into a folder and load it as that of a decoder-only model."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = chat_template
    tokenizer.add_tokens(list(added))
    if puts_bos or puts_eos:
        bos, eos = (tokenizer.bos_token, tokenizer.bos_token_id), (tokenizer.eos_token, tokenizer.eos_token_id)
        text = " ".join([*[bos[0]] * puts_bos, "$A", *[eos[0]] * puts_eos])
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=text, special_tokens=[bos, eos])
    tokenizer.save_pretrained(folder)
    return HFTokenizer(ModelSource("changed", "", folder), ends_texts=False)
