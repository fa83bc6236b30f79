"""A Hugging Face tokenizer behind the toolkit's interface."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import AutoTokenizer

from slm_espnet.errors import UserError
from slm_espnet.llm.base import AbsTokenizer
from slm_espnet.model_source import ModelSource


class HFTokenizer(AbsTokenizer):
    """AutoTokenizer of a model's directory."""

    def __init__(self, source: ModelSource):
        """Load it; UserError when the directory has no tokenizer, or one without an end of sentence."""
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source.directory, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{source.name} has no tokenizer that can be loaded: {reason}") from error
        if self.tokenizer.eos_token_id is None:
            raise UserError(f"the tokenizer of {source.name} has no end-of-sentence token; set eos_token in its files")
        self.eos_id = self.tokenizer.eos_token_id
        self.pad_id = self.eos_id if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        self.bos_id = self.tokenizer.bos_token_id
        self._size = len(self.tokenizer)
        self._name = source.name

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; no BOS, no EOS."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens skipped, surrounding space stripped; rows beyond the vocabulary are skipped."""
        known = [i for i in ids if i < self._size]
        text = self.tokenizer.decode(known, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()

    def special_id(self, piece: str) -> int:
        """Id of one whole piece such as `<sp>`; UserError if the vocabulary lacks it."""
        vocabulary = self.tokenizer.get_vocab()
        if piece not in vocabulary:
            raise UserError(f"prompt_conf: the tokenizer of {self._name} has no piece {piece!r}; write plain text")
        return vocabulary[piece]

    def chat_parts(self, user_placeholder: str, system: str | None = None) -> tuple[list[int], list[int]]:
        """Ids before and after `user_placeholder` in the model's chat template.

        Raises:
            UserError: there is no template, it refuses a system message, or it does not keep the message whole.
        """
        if self.tokenizer.chat_template is None:
            raise UserError(f"prompt_conf: the tokenizer of {self._name} has no chat template; set chat: false")
        messages = [{"role": "user", "content": user_placeholder}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        try:
            # templates of models that think aloud (Qwen3) then begin the answer itself; others ignore the argument
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except TemplateError as error:
            raise UserError(f"prompt_conf: the chat template of {self._name} refuses: {error}") from error
        parts = text.split(user_placeholder)
        if len(parts) != 2:
            count = len(parts) - 1
            raise UserError(f"prompt_conf: the chat template of {self._name} shows the user's message {count} times")
        return self.encode(parts[0]), self.encode(parts[1])
