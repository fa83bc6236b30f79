"""The prompt template: the one place that knows how speech, context and instruction are put in order.

Training, decoding, packing and the demo all build their prompts here, so that they cannot differ. A prompt is one text,
laid out as a person would write it and tokenized as a whole, as the texts were that the LLM was trained on. Speech
stands where words would: the whole text is tokenized with a word in its place and cut there, and a token that has a
character of the word in it (such as " the" with the blank before it) belongs to the speech. So with text in place of
speech the LLM reads what it would read without this toolkit (the dual-modal property of the paper, arXiv 2310.00230).

A prompt may hold several recordings: `<speech>` in the instruction is the place of each, and an earlier turn of the
dialog that is `<speech>` alone was spoken. Recordings are in the order of their places in the text.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date

from slm_espnet.errors import UserError
from slm_espnet.foundation import PROMPT_FORMAT
from slm_espnet.llm.base import AbsTokenizer, Piece, Tokens

PARTS = ("speech", "context", "instruction")
SPEECH = "<speech>"  # in an instruction: speech goes there, and not where `order` puts it; as a turn: it was spoken
WORD = "the"  # stands where the speech goes: letters, as most speech begins and ends with


@dataclass(frozen=True)
class Prompt:
    """Token ids around the places where speech embeddings go."""

    parts: tuple[tuple[int, ...], ...]  # before, between and behind recordings: one more than there are recordings

    @property
    def prefix(self) -> tuple[int, ...]:
        """Before the first recording."""
        return self.parts[0]

    @property
    def suffix(self) -> tuple[int, ...]:
        """Behind the last recording."""
        return self.parts[-1]

    def __len__(self) -> int:
        """Tokens, speech not counted."""
        return sum(map(len, self.parts))


@dataclass(frozen=True)
class TextPrompt:
    """A prompt with text in place of speech."""

    ids: tuple[int, ...]  # all that the LLM reads
    said: tuple[tuple[int, ...], ...]  # those of them that stand where the embeddings of each recording would

    @property
    def words(self) -> tuple[int, ...]:
        """Those of all recordings."""
        return tuple(i for ids in self.said for i in ids)


@dataclass(frozen=True)
class PromptTemplate:
    """How a prompt is laid out. What stands in these settings may name control tokens; what users write never does."""

    order: tuple[str, ...] = PARTS  # a permutation of speech, context, instruction
    separator: str = "\n"  # between the parts that are there, and before the answer where `end` is empty
    speech_begin: str = ""  # text or one special piece right before the speech
    speech_end: str = ""  # text or one special piece right after the speech
    context_format: str = "possible phrases: {phrases}"  # how the context phrases are put; left out when there are none
    phrase_separator: str = ", "  # between context phrases
    system: str = ""  # system message of the chat template; without chat it comes first
    chat: bool = False  # wrap everything into the LLM's own chat template
    end: str = ""  # text at the very end, up to the answer ("<eos>" means the tokenizer's EOS, never doubled)
    begin: str = ""  # text at the very beginning ("<bos>" means the tokenizer's BOS, never doubled)
    date: str = "2024-07-26"  # what chat templates that write today's date are told; one day, so that prompts stay
    format: int = PROMPT_FORMAT  # of the layout that a model was trained with

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", tuple(self.order))
        object.__setattr__(self, "date", str(self.date))  # YAML makes a date of it
        if sorted(self.order) != sorted(PARTS):
            raise ValueError(f"prompt order must name {', '.join(PARTS)} once each, not {self.order}")
        _split_format(self.context_format)
        date.fromisoformat(self.date)
        if self.format not in (1, PROMPT_FORMAT):
            raise ValueError(f"format {self.format} is of a newer version; this one knows 1 and {PROMPT_FORMAT}")

    @classmethod
    def from_dict(cls, values: dict) -> PromptTemplate:
        """Build from YAML values; an unknown key is an error that lists the known ones."""
        known = {f.name for f in fields(cls)}
        unknown = set(values) - known
        if unknown:
            raise ValueError(f"unknown prompt key(s) {sorted(unknown)}; known: {sorted(known)}")
        return cls(**({"separator": " ", **values} if values.get("format") == 1 else values))

    def to_dict(self) -> dict:
        """Plain values for YAML and JSON."""
        return {**asdict(self), "order": list(self.order)}

    # Prompts

    def build(
        self,
        tokenizer: AbsTokenizer,
        instruction: str,
        context: Sequence[str] = (),
        history: Sequence[tuple[str, str]] = (),
        recordings: int = 1,
    ) -> Prompt:
        """Ids around the speech, for one utterance.

        Args:
            tokenizer: of the LLM.
            instruction: what is asked; `<speech>` in it is where speech goes.
            context: phrases that may occur.
            history: earlier turns of the dialog, each (`user` or `assistant`, words); `<speech>` is a spoken turn.
            recordings: how many there are, spoken turns among them.

        Raises:
            UserError: the tokenizer lacks a special piece or a chat template, its template refuses a message, or the
                instruction has another number of places for speech than there are recordings.
        """
        tokens, said = self._tokenize(tokenizer, [WORD] * recordings, instruction, context, history)
        edges = [0, *(edge for place in said for edge in (place.start, place.stop)), len(tokens.ids)]
        return Prompt(tuple(tokens.ids[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)))

    def with_text(
        self,
        tokenizer: AbsTokenizer,
        text: str | Sequence[str],
        instruction: str,
        context: Sequence[str] = (),
        history: Sequence[tuple[str, str]] = (),
    ) -> TextPrompt:
        """The same prompt with text in place of speech; a list of texts where there are several recordings."""
        texts = [text] if isinstance(text, str) else text
        tokens, said = self._tokenize(tokenizer, texts, instruction, context, history)
        return TextPrompt(tokens.ids, tuple(tokens.ids[place] for place in said))

    def answer(self, tokenizer: AbsTokenizer, text: str) -> tuple[int, ...]:
        """Ids of an answer as it follows a prompt, without the token that ends it."""
        if not text:
            return ()
        before, lead = self._before_answer(tokenizer), tokenizer.answer_lead
        if not self.chat:  # blanks that end the layout
            before, lead = before.rstrip(" "), before[len(before.rstrip(" ")) :]
        tokens = tokenizer.tokenize([_own(before), Piece(lead + text)], add_special_tokens=False)
        return tokens.ids[tokens.inside(len(before), len(before) + len(lead) + len(text))]

    def target(self, tokenizer: AbsTokenizer, text: str) -> tuple[int, ...]:
        """The answer, and the token that ends it: of a turn in a chat, else EOS."""
        end = tokenizer.end_of_turn if self.chat else None
        return (*self.answer(tokenizer, text), tokenizer.eos_id if end is None else end)

    # The layout

    def _tokenize(
        self, tokenizer: AbsTokenizer, said: Sequence[str], instruction: str, context: Sequence[str], history: Sequence
    ) -> tuple[Tokens, list[slice]]:
        """The whole text, and those of its tokens that stand for what is said in each recording."""
        speech = [Piece(text) for text in said]
        pieces = self._layout(tokenizer, speech, instruction, context, history)
        tokens = tokenizer.tokenize(pieces, add_special_tokens=not self.chat)
        places, before = [], ""
        for piece in pieces:
            if any(piece is one for one in speech):
                start = len(before.rstrip(" "))
                inside = tokens.inside(start, len(before) + len(piece.text)) if piece.text else slice(0, 0)
                done = places[-1].stop if places else 0  # of one token that two recordings share, the first has it
                places.append(slice(max(inside.start, done), max(inside.stop, done)))
            before += piece.text
        tokens, places = self._with_edges(tokenizer, tokens, places)
        if self.format == 1 and (self.chat or self._glued(tokenizer, said, instruction, context) != tokens.ids):
            raise UserError(
                "this model was trained with prompts whose parts were tokenized one by one, which are no longer made: "
                "train it again, or decode it with the version of slm_espnet that trained it"
            )
        return tokens, places

    def _glued(
        self, tokenizer: AbsTokenizer, said: Sequence[str], instruction: str, context: Sequence[str]
    ) -> tuple[int, ...]:
        """Ids as format 1 put them together; the mini pair's tokenizer makes the same ones of the whole."""

        def edge(name: str) -> list[int]:
            text = getattr(self, name)
            if text in ("<bos>", "<eos>"):
                return [i for i in [{"<bos>": tokenizer.bos_id, "<eos>": tokenizer.eos_id}[text]] if i is not None]
            return [tokenizer.special_id(text)] if text[:1] + text[-1:] == "<>" else tokenizer.encode(text)

        phrases = self.context_format.format(phrases=self.phrase_separator.join(context))
        parts = {
            "speech": [*edge("speech_begin"), *tokenizer.encode(" ".join(said)), *edge("speech_end")],
            "context": tokenizer.encode(phrases) if context else [],
            "instruction": tokenizer.encode(instruction),
        }
        return (*edge("begin"), *(i for name in self.order for i in parts[name]), *edge("end"))

    def _with_edges(
        self, tokenizer: AbsTokenizer, tokens: Tokens, places: list[slice]
    ) -> tuple[Tokens, list[slice]]:
        """BOS and EOS where the settings ask for them and the tokenizer has not put them itself."""
        if self.begin == "<bos>" and tokenizer.bos_id is not None and tokens.ids[:1] != (tokenizer.bos_id,):
            tokens = Tokens((tokenizer.bos_id, *tokens.ids), ((0, 0), *tokens.spans))
            places = [slice(place.start + 1, place.stop + 1) for place in places]
        if self.end == "<eos>" and tokens.ids[-1:] != (tokenizer.eos_id,):
            tokens = Tokens((*tokens.ids, tokenizer.eos_id), (*tokens.spans, (0, 0)))
        return tokens, places

    def _layout(
        self, tokenizer: AbsTokenizer, speech: list[Piece], instruction: str, context: Sequence[str], history: Sequence
    ) -> list[Piece]:
        """The whole text in pieces; blanks at its very end belong to the answer and are left out."""
        begin, end = (_own(self._edge(tokenizer, name)) for name in ("speech_begin", "speech_end"))
        said = [[begin, piece, end] for piece in speech]
        spoken = sum(words == SPEECH for _, words in history)
        places = iter(said[:spoken])
        turns = [(role, next(places) if words == SPEECH else [Piece(words.strip())]) for role, words in history]
        parts = self._parts(said[spoken:], instruction, context)
        chosen = [parts[name] for name in self.order if parts[name]]
        if not self.chat:
            earlier = [[_own(f"{role.capitalize()}: "), *message] for role, message in turns]
            chosen = [*([[_own(self.system)]] if self.system else []), *earlier, *chosen]
        content = [_own(self._edge(tokenizer, "begin")), *_joined(chosen, self.separator)]
        content.append(_own(self._edge(tokenizer, "end")))
        if self.chat:
            return self._chat(tokenizer, content, turns)
        return [*content[:-1], _own(self._ending(tokenizer).rstrip(" "))]

    def _parts(self, said: list[list[Piece]], instruction: str, context: Sequence[str]) -> dict[str, list[Piece]]:
        """What is in a message: speech, where the instruction has no place for it; context; instruction."""
        parts = {
            "speech": _joined(said, self.separator),
            "context": self._phrases(context),
            "instruction": [Piece(instruction)] if instruction else [],
        }
        first, *others = instruction.split(SPEECH)
        if others or not said:
            if len(others) != len(said):
                raise UserError(
                    f"the instruction {instruction!r} has {len(others)} places {SPEECH}, and {len(said)} recording(s) "
                    f"are given for it; write {SPEECH} once for each, or leave it out"
                )
            between = [part for pieces, text in zip(said, others, strict=True) for part in (*pieces, Piece(text))]
            parts |= {"speech": [], "instruction": [Piece(first), *between]}
        return parts

    def _chat(self, tokenizer: AbsTokenizer, content: list[Piece], turns: list[tuple[str, list[Piece]]]) -> list[Piece]:
        """The chat template's text around the messages."""
        system = [("system", [_own(self.system.strip())])] if self.system else []
        if turns and turns[-1][0] == "user":  # not answered: the beginning of the message that is, as roles alternate
            *turns, (_, unanswered) = turns
            content = [*unanswered, _own(self.separator), *content]
        messages = [*system, *turns]
        frame = tokenizer.chat_frame((*(role for role, _ in messages), "user"), self.date)
        pieces = []
        for text, (_, message) in zip(frame, messages, strict=False):
            pieces += [_own(text), *message]
        return [*pieces, _own(frame[-2]), *_stripped(content), _own(frame[-1])]

    def _phrases(self, context: Sequence[str]) -> list[Piece]:
        if not context:
            return []
        before, after = _split_format(self.context_format)
        between = [piece for phrase in context for piece in (_own(self.phrase_separator), Piece(phrase))]
        return [_own(before), *between[1:], _own(after)]

    def _ending(self, tokenizer: AbsTokenizer) -> str:
        """Text between the last part and the answer; without chat."""
        end = self._edge(tokenizer, "end")
        closed = self.end == "<eos>" or tokenizer.closes_text
        return end or ("" if closed else self.separator)

    def _before_answer(self, tokenizer: AbsTokenizer) -> str:
        """Text right before the answer, on which its first token may depend; nothing where EOS stands between."""
        if self.chat:
            text = tokenizer.chat_frame(("user",), self.date)[-1]
        elif self.end == "<eos>" or tokenizer.closes_text:
            return ""
        else:
            text = self._ending(tokenizer)
        return text[text.rstrip("\n").rfind("\n") + 1 :]  # the last line will do

    def _edge(self, tokenizer: AbsTokenizer, name: str) -> str:
        """A setting as text; one that is written as a single <piece> must be one."""
        text = getattr(self, name)
        if text in ("<bos>", "<eos>") and name in ("begin", "end"):
            return ""
        if text.startswith("<") and text.endswith(">"):
            tokenizer.special_id(text)
        return text


def _own(text: str) -> Piece:
    """Text of the template."""
    return Piece(text, is_free=False)


def _stripped(content: Sequence[Piece]) -> list[Piece]:
    """A message without blanks around it, which chat templates remove, too; speech is no blank."""
    kept = [piece for piece in content if piece.text or piece.is_free]
    first, last = kept[0], kept[-1]
    if not first.is_free:
        kept[0] = replace(first, text=first.text.lstrip())
    if not last.is_free:
        kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip())
    return kept


def _joined(parts: Sequence[Sequence[Piece]], separator: str) -> list[Piece]:
    """Parts with the separator between them."""
    between = [piece for part in parts for piece in (_own(separator), *part)]
    return between[1:]


def _split_format(context_format: str) -> tuple[str, str]:
    """Text before and after the phrases; ValueError where {phrases} is missing, or is not all that is asked for."""
    try:
        parts = list(string.Formatter().parse(context_format))
    except ValueError as error:
        raise ValueError(f"context_format {context_format!r}: {error}; write {{{{ and }}}} for braces") from error
    names = [name for _, name, _, _ in parts if name is not None]
    if names != ["phrases"]:
        raise ValueError(f"context_format must contain {{phrases}} once and no other field: {context_format!r}")
    at = next(number for number, (_, name, _, _) in enumerate(parts) if name is not None)
    return "".join(text for text, *_ in parts[: at + 1]), "".join(text for text, *_ in parts[at + 1 :])
