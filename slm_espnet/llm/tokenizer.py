"""A Hugging Face tokenizer behind the toolkit's interface."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache

from jinja2 import TemplateError
from transformers import AutoTokenizer

from slm_espnet.errors import UserError
from slm_espnet.llm.base import AbsTokenizer, Piece, Tokens
from slm_espnet.model_source import ModelSource

BREAK = "\ue000"  # put into what looks like a control token, so that it is none; its own tokens are dropped
ROUNDS = 8  # in which control tokens are broken up; one is enough for all that is not made to resist
MESSAGE = "\ue000{}\ue001"  # stands for a message in a chat template
DATE_DIRECTIVES = "aAbBdeFHIjmMpSyY"  # of strftime
ANY_DAY = "2000-01-01"
OPEN_THOUGHT = re.compile(r"<(\w*think\w*|thought|reasoning)>\s*$")


class HFTokenizer(AbsTokenizer):
    """AutoTokenizer of a model's directory."""

    def __init__(self, source: ModelSource, ends_texts: bool = True):
        """Load it.

        Args:
            source: the model's files.
            ends_texts: False for a decoder-only model: the EOS that some of their tokenizers put behind a text
                (add_eos_token) is left out, as the answer is to go on there.

        Raises:
            UserError: there is none, it does not tell where its tokens stand, or it has no EOS.
        """
        self._ends_texts = ends_texts
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source.directory, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{source.name} has no tokenizer that can be loaded: {reason}") from error
        self._name = source.name
        if not self.tokenizer.is_fast:
            raise UserError(f"the tokenizer of {self._name} has no fast form; add its tokenizer.json to the directory")
        if self.tokenizer.eos_token_id is None:
            raise UserError(f"the tokenizer of {self._name} has no end-of-sentence token; set eos_token in its files")
        self._core = self.tokenizer.backend_tokenizer
        self._core.no_truncation()  # some tokenizer.json bring a longest length of their own
        self._core.no_padding()
        self.eos_id = self.tokenizer.eos_token_id
        self.pad_id = self.eos_id if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        self.bos_id = self.tokenizer.bos_token_id
        self._size = len(self.tokenizer)
        self._control = self._control_ids()
        self.closes_text = self.tokenize([Piece("a")], add_special_tokens=True).ids[-1] == self.eos_id
        self._frame = lru_cache(maxsize=64)(self._chat_frame)  # rendering takes longer than tokenizing

    def _control_ids(self) -> frozenset[int]:
        """Special tokens, and added ones that the chat template writes, such as <think>."""
        template = self.tokenizer.chat_template
        written = "".join(template.values()) if isinstance(template, dict) else template or ""
        added = self.tokenizer.added_tokens_decoder.items()
        found = {i for i, token in added if token.special or (token.content.strip() and token.content in written)}
        return frozenset(found)

    def tokenize(self, pieces: Sequence[Piece], add_special_tokens: bool) -> Tokens:
        """Ids of the pieces as one text, and the characters of it that each token stands for.

        A control token that comes of a free piece is broken up: the text is tokenized once more with a character in it
        that no vocabulary joins with others, whose own tokens are left out.
        """
        text = "".join(piece.text for piece in pieces)
        breaks: list[int] = []  # places of the text
        for _ in range(ROUNDS):
            tokens = self._tokenize(text, breaks, add_special_tokens)
            wrong = self._control_in_free(tokens, pieces, text)
            if not wrong:
                return tokens
            breaks = sorted({*breaks, *(start + 1 + _blanks(text[start:]) for start in wrong)})
        raise UserError(f"the tokenizer of {self._name} makes control tokens of {text[wrong[0] :][:40]!r}; reword it")

    def _tokenize(self, text: str, breaks: Sequence[int], add_special_tokens: bool) -> Tokens:
        """Tokens of the text with breaks before some of its characters; spans are those of the text."""
        edges = [0, *breaks, len(text)]
        broken = BREAK.join(text[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True))
        found = self._core.encode(broken, add_special_tokens=add_special_tokens)
        if not breaks:
            return self._open(tuple(found.ids), tuple(found.offsets))
        places = [place + number for number, place in enumerate(breaks)]  # in the broken text
        ids, spans = [], []
        for token, (start, stop) in zip(found.ids, found.offsets, strict=True):
            first, last = start - bisect_left(places, start), stop - bisect_left(places, stop)
            if first < last or start == stop:
                ids.append(token)
                spans.append((first, last))
        return self._open(tuple(ids), tuple(spans))

    def _open(self, ids: tuple[int, ...], spans: tuple[tuple[int, int], ...]) -> Tokens:
        """Tokens of a text without the EOS that the tokenizer has put behind it, where texts are not to end."""
        if not self._ends_texts and ids and ids[-1] == self.eos_id and spans[-1][0] == spans[-1][1]:
            ids, spans = ids[:-1], spans[:-1]
        return Tokens(ids, spans)

    def _control_in_free(self, tokens: Tokens, pieces: Sequence[Piece], text: str) -> list[int]:
        """First characters of control tokens that have one of a free piece in them."""
        control = [(i, span) for i, span in zip(tokens.ids, tokens.spans, strict=True) if i in self._control]
        unknown, word = self.tokenizer.unk_token_id, self.tokenizer.unk_token
        # letters that the vocabulary lacks are unknown, which is no fault; the word <unk> itself is one
        control = [span for i, span in control if i != unknown or text[slice(*span)].strip() == word]
        found, begin = set(), 0
        for piece in pieces if control else ():
            end = begin + len(piece.text)
            if piece.is_free:
                found |= {start for start, stop in control if start < end and stop > begin}
            begin = end
        return sorted(found)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens skipped, surrounding space stripped; rows beyond the vocabulary are skipped."""
        known = [i for i in ids if i < self._size]
        text = self.tokenizer.decode(known, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.strip()

    def special_id(self, piece: str) -> int:
        """Id of one whole piece such as `<sp>`; UserError if the vocabulary lacks it."""
        found = self._core.token_to_id(piece)
        if found is None:
            raise UserError(f"prompt_conf: the tokenizer of {self._name} has no piece {piece!r}; write plain text")
        return found

    # Chat

    @cached_property
    def _answered(self) -> tuple[str, str]:
        """What the chat template writes right before and right after an assistant's message."""
        if self.tokenizer.chat_template is None:
            return "", ""
        try:
            asked = self._render(("user",), ANY_DAY, add_generation_prompt=True)
            text = self._render(("user", "assistant"), ANY_DAY, add_generation_prompt=False)
        except UserError:
            return "", ""  # it is refused when a prompt is made with it; the model can be used without
        before, _, after = text.partition(MESSAGE.format(1))
        lead = before.removeprefix(asked) if before.startswith(asked) else ""
        return (lead if lead.isspace() else ""), after

    @property
    def answer_lead(self) -> str:
        """Blanks that the chat template writes between its generation prompt and an answer."""
        return self._answered[0]

    def chat_frame(self, roles: Sequence[str], date: str) -> tuple[str, ...]:
        """What the chat template writes around messages, see AbsTokenizer."""
        return self._frame(tuple(roles), date)

    def _chat_frame(self, roles: tuple[str, ...], date: str) -> tuple[str, ...]:
        if self.tokenizer.chat_template is None:
            raise UserError(f"prompt_conf: the tokenizer of {self._name} has no chat template; set chat: false")
        text = self._render(roles, date, add_generation_prompt=True)
        parts = []
        for number in range(len(roles)):
            place = MESSAGE.format(number)
            if text.count(place) != 1:
                raise UserError(
                    f"prompt_conf: the chat template of {self._name} shows the {roles[number]}'s message "
                    f"{text.count(place)} times"
                )
            before, text = text.split(place)
            parts.append(before)
        return (*parts, _with_closed_thought(text))

    def _render(self, roles: Sequence[str], date: str, add_generation_prompt: bool) -> str:
        messages = [{"role": role, "content": MESSAGE.format(number)} for number, role in enumerate(roles)]
        try:
            # templates of models that think aloud (Qwen3) then begin the answer itself; others ignore the argument
            return self.tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                enable_thinking=False,
                chat_template=_calendar(date) + self.tokenizer.get_chat_template(),
            )
        except (TemplateError, TypeError, ValueError) as error:  # it is a program, and may expect other messages
            cure = "; leave prompt_conf's system empty" if "system" in roles else ""
            raise UserError(f"prompt_conf: the chat template of {self._name} refuses: {error}{cure}") from error

    @cached_property
    def end_of_turn(self) -> int | None:
        """The control token that the chat template writes after an assistant's message; None where it writes none."""
        after = self._answered[1].lstrip()
        ids = self.tokenize([Piece(after, is_free=False)], add_special_tokens=False).ids
        return ids[0] if ids and ids[0] in self._control else None


def _calendar(date: str) -> str:
    """Jinja source: `strftime_now` on a day that does not pass; transformers hands no functions to templates."""
    day = datetime.fromisoformat(date)
    filled = "".join(f"|replace('%{d}', '{day.strftime('%' + d)}')" for d in DATE_DIRECTIVES)
    return "{%- macro strftime_now(layout) -%}{{ layout" + filled + " }}{%- endmacro -%}"


def _with_closed_thought(text: str) -> str:
    """The beginning of an answer, with a thought that the template opens closed as Qwen3's template closes it."""
    found = OPEN_THOUGHT.search(text)
    return text if found is None else f"{text[: found.start()]}<{found[1]}>\n\n</{found[1]}>\n\n"


def _blanks(text: str) -> int:
    return len(text) - len(text.lstrip())
