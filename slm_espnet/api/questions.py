"""From questions to decoding requests, and from hypotheses back to answers; recordings of any length in pieces."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from slm_espnet.api.results import Answer, Hearing, Segment, Timings, Token
from slm_espnet.data.silence import may_hold_speech
from slm_espnet.decoding.partial import token_texts
from slm_espnet.decoding.types import Hypothesis
from slm_espnet.encodings.layout import Encoding
from slm_espnet.errors import UserError
from slm_espnet.inference import Request
from slm_espnet.llm.base import AbsLLM, AbsTokenizer
from slm_espnet.long_audio.cutting import CuttingOptions, Piece
from slm_espnet.long_audio.live import cut_waveform
from slm_espnet.long_audio.merging import divide_texts, merge_texts
from slm_espnet.long_audio.pauses import CTCEncoder
from slm_espnet.speech_encoder.base import AbsSpeechEncoder


@dataclass(frozen=True, eq=False)
class Question:
    """One recording or text, or several in one prompt, and what is asked about it."""

    source: Any  # as `read_speech` takes it, or a text; the first of the instruction's
    instruction: str
    context: tuple[str, ...] = ()
    repeats: bool = False  # the CTC hypothesis is a draft of the answer
    recognizes: bool = False  # the answer should be what was said
    history: tuple[tuple[str, str], ...] = ()  # earlier turns that are not in the instruction
    before: tuple[Any, ...] = ()  # recordings of the history's spoken turns
    after: tuple[Any, ...] = ()  # further recordings (or texts) of the instruction

    @property
    def name(self) -> str:
        """For errors."""
        return name_of(self.source)


def name_of(source: Any) -> str:
    """A recording as errors name it."""
    return str(source) if isinstance(source, str | Path) else "the given speech"


def each(values: list[Any], count: int, name: str) -> list[Any]:
    """Raises: UserError: not one value for each recording."""
    if len(values) != count:
        raise UserError(f"{name}: {len(values)} given for {count}; give one for all, or one for each")
    return values


@dataclass
class Work:
    """The questions of a call on their way."""

    questions: list[Question]
    is_text: bool
    samples: list[np.ndarray] = field(default_factory=list)  # (N,) of each question
    sampling_rate: int = 1  # Hz
    pieces: list[list[Piece]] = field(default_factory=list)  # of each question
    beside: dict[str, np.ndarray] = field(default_factory=dict)  # samples of the questions' other recordings, by name
    silent: frozenset[str] = frozenset()  # names of pieces that cannot hold speech: recognition gives nothing there
    encodings: dict[str, Encoding] = field(default_factory=dict)  # of each piece, by name
    encoder: AbsSpeechEncoder | None = None
    reading: float = 0.0  # seconds
    encoding: float = 0.0  # seconds

    @classmethod
    def of_texts(cls, questions: list[Question]) -> Work:
        """Texts in place of speech."""
        for question in questions:
            if question.before:
                raise UserError("text= takes the place of all speech; give the earlier turns as words, too")
            for text in (question.source, *question.after):
                if not isinstance(text, str) or not text.strip():
                    raise UserError(f"text= takes strings that are not empty, not {text!r}")
        return cls(questions, is_text=True)

    @classmethod
    def of_speech(
        cls,
        questions: list[Question],
        samples: list[np.ndarray],
        encoder: AbsSpeechEncoder,
        cutting: CuttingOptions,
        beside: dict[str, np.ndarray],
    ) -> Work:
        """Recordings at the encoder's rate, cut where they are long; `beside` by the names of `names_beside`."""
        rate = encoder.sampling_rate
        pauses: CTCEncoder | None = None if encoder.blank_id is None else encoder
        pieces = [cut_waveform(one, rate, pauses, cutting) for one in samples]
        least = encoder.min_samples / rate
        pieces = [[p for p in some if p.stop - p.start >= least] or some[:1] for some in pieces]
        work = cls(questions, False, samples, rate, pieces, beside, encoder=encoder)
        work.silent = frozenset(name for name, one in work.waveforms().items() if not may_hold_speech(one, rate))
        return work

    @property
    def seconds(self) -> float:
        """Of all audio."""
        return sum(len(one) for one in (*self.samples, *self.beside.values())) / self.sampling_rate

    def names(self, number: int) -> list[str]:
        """Names of the requests of a question, in order."""
        count = 1 if self.is_text else len(self.pieces[number])
        return [f"{number:06d}.{piece:06d}" for piece in range(count)]

    def waveforms(self) -> dict[str, np.ndarray]:
        """Samples of every piece, and of what is beside it in a prompt, by name."""
        rate = self.sampling_rate
        return self.beside | {
            name: samples[round(piece.start * rate) : round(piece.stop * rate)]
            for number, samples in enumerate(self.samples)
            for name, piece in zip(self.names(number), self.pieces[number], strict=True)
        }

    def without_context(self) -> None:
        """Forget the phrases."""
        self.questions = [replace(question, context=()) for question in self.questions]

    def llm_as_it_is(self, llm: AbsLLM) -> contextlib.AbstractContextManager:
        """Within it the LLM is untouched where text is given in place of speech."""
        return llm.without_lora() if self.is_text else contextlib.nullcontext()

    def requests(self) -> list[Request]:
        """What the decoder is given."""
        return [request for number in range(len(self.questions)) for request in self.requests_of(number)]

    def requests_of(self, number: int) -> list[Request]:
        """Those of one question."""
        question = self.questions[number]
        if self.is_text:
            (name,) = self.names(number)
            return [
                Request(
                    name,
                    question.instruction,
                    question.context,
                    question.history,
                    text=question.source if not question.after else (question.source, *question.after),
                    repeats=question.repeats,
                    recognizes=question.recognizes,
                )
            ]
        asked = [name for name in self.names(number) if not (question.recognizes and name in self.silent)]
        return [self._request(question, name, *names_beside(number, question)) for name in asked]

    def _request(self, question: Question, name: str, before: list[str], after: list[str]) -> Request:
        """The request of a piece."""
        names = [*before, name, *after]
        loads = tuple(partial(self.encodings.__getitem__, one) for one in names)
        found = [self.encodings[one] for one in names]
        return Request(
            name,
            question.instruction,
            question.context,
            question.history,
            speech=loads if len(loads) > 1 else loads[0],
            frames=sum(len(one.frames) for one in found),
            spoken=None if self.encoder.blank_id is None else " ".join(one.ctc_hypothesis for one in found),
            repeats=question.repeats,
            recognizes=question.recognizes,
        )

    def hearing(self, number: int) -> Hearing | None:
        """What the encoder made of a question's recording; None for text."""
        if self.is_text:
            return None
        pieces, found = self.pieces[number], [self.encodings[name] for name in self.names(number)]
        shift = self.encoder.frame_shift
        times = [piece.start + shift * np.arange(one.frames_total) for piece, one in zip(pieces, found, strict=True)]
        blanks = [one.posteriors.best() == self.encoder.blank_id for one in found if one.posteriors is not None]
        return Hearing(
            samples=self.samples[number],
            sampling_rate=self.sampling_rate,
            times=np.concatenate(times).astype(np.float32),
            frame_shift=shift,
            kept=np.concatenate([_kept(one) for one in found]),
            blank=np.concatenate(blanks) if blanks else None,
            frames_kept=sum(len(one.frames) for one in found),
            ctc_hypothesis=merge_texts(pieces, [one.ctc_hypothesis for one in found]),
        )

    def text(self, number: int, texts: Sequence[str]) -> str:
        """The texts of a question's first pieces as one."""
        return texts[0] if self.is_text else merge_texts(self.pieces[number][: len(texts)], texts)

    def answers(
        self,
        found: Mapping[str, Hypothesis],
        left_out: Mapping[str, str],
        tokenizer: AbsTokenizer,
        timings: Timings,
    ) -> list[Answer]:
        """All answers.

        Raises:
            UserError: none of the pieces of a recording, or a text, could be decoded.
        """
        return [self.answer(number, found, left_out, tokenizer, timings) for number in range(len(self.questions))]

    def answer(
        self,
        number: int,
        found: Mapping[str, Hypothesis],
        left_out: Mapping[str, str],
        tokenizer: AbsTokenizer,
        timings: Timings,
    ) -> Answer:
        """The answer of one question, see `answers`."""
        names, question = self.names(number), self.questions[number]
        there = [name for name in names if name in found]
        nothing = self.silent if question.recognizes else ()
        if not there and not all(name in nothing or left_out.get(name) == "no frames" for name in names):
            raise UserError(f"{question.name}: {left_out.get(names[0], 'it could not be decoded')}")
        texts = [found[name].text if name in found else "" for name in names]  # no frame kept, or no speech: nothing
        return Answer(
            text=self.text(number, texts),
            instruction=question.instruction,
            segments=() if self.is_text else _segments(self.pieces[number], texts),
            tokens=tuple(token for name in there for token in _tokens(found[name], tokenizer)),
            score=sum(found[name].score for name in there),
            hearing=self.hearing(number),
            truncated=any(found[name].truncated for name in there),
            looped=any(found[name].looped for name in there),
            timings=timings,
        )


def names_beside(number: int, question: Question) -> tuple[list[str], list[str]]:
    """Names of the recordings that stand before and after a question's own in its prompt."""
    sides = ("before", question.before), ("after", question.after)
    before, after = ([f"{number:06d}.{side}.{n}" for n in range(len(some))] for side, some in sides)
    return before, after


def _kept(encoding: Encoding) -> np.ndarray:
    """(T,) bool: frames that the vectors kept stand for."""
    changes = np.zeros(encoding.frames_total + 1, dtype=np.int64)
    np.add.at(changes, encoding.positions, 1)
    np.add.at(changes, encoding.stops, -1)
    return changes.cumsum()[:-1] > 0


def _segments(pieces: Sequence[Piece], texts: Sequence[str]) -> tuple[Segment, ...]:
    """Times and texts that follow each other: of a shared span each piece has a half, of its words what is kept."""
    starts = [piece.start + piece.overlap / 2 for piece in pieces]
    stops = [min(piece.stop, following) for piece, following in zip(pieces, [*starts[1:], np.inf], strict=True)]
    divided = divide_texts(pieces, texts) if len(pieces) > 1 else texts
    return tuple(Segment(float(a), float(b), text) for a, b, text in zip(starts, stops, divided, strict=True))


def _tokens(hypothesis: Hypothesis, tokenizer: AbsTokenizer) -> list[Token]:
    ids, log_probs = hypothesis.token_ids, hypothesis.token_log_probs
    texts = token_texts(ids, tokenizer)
    if hypothesis.from_ctc:
        return [Token(i, text, None) for i, text in zip(ids, texts, strict=True)]
    tokens = [Token(i, text, p) for i, text, p in zip(ids, texts, log_probs[: len(ids)], strict=True)]
    if hypothesis.end_id is not None:
        tokens.append(Token(hypothesis.end_id, "", log_probs[-1]))
    return tokens
