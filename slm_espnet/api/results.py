"""What the Python API answers: frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Token:
    """One token of an answer."""

    id: int  # in the LLM's vocabulary
    text: str  # the token alone, without the space around it
    log_prob: float | None  # natural logarithm of its probability; None: taken from CTC (ctc_draft accept)


@dataclass(frozen=True)
class Segment:
    """What was answered about a span of a recording. A short recording is one segment."""

    start: float  # seconds from the beginning of the recording
    stop: float  # seconds
    text: str


@dataclass(frozen=True, eq=False)
class Hearing:
    """What the frozen speech encoder made of a recording, known before anything is generated."""

    samples: np.ndarray  # (N,) float32 mono at `sampling_rate`, full scale ±1
    sampling_rate: int  # Hz, the encoder's
    times: np.ndarray  # (T,) float32 seconds: beginning of each encoder frame; goes back where pieces overlap
    frame_shift: float  # seconds from one encoder frame to the next
    kept: np.ndarray  # (T,) bool: the length reduction kept the frame, or made it a part of one that is kept
    blank: np.ndarray | None  # (T,) bool: CTC blank is the frame's likeliest token; None without CTC
    frames_kept: int  # K: vectors that the adapter is given
    ctc_hypothesis: str  # text of the best CTC path; "" without CTC

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.samples) / self.sampling_rate


@dataclass(frozen=True)
class Timings:
    """Wall-clock seconds of a call; the answers of one batch share them."""

    audio: float  # length of all audio of the call
    reading: float  # reading, resampling, cutting
    encoding: float  # speech encoder and length reduction
    answering: float  # adapter and language model


@dataclass(frozen=True, eq=False)
class Answer:
    """One recording's or text's answer."""

    text: str
    instruction: str  # as the model was given it
    segments: tuple[Segment, ...]  # of long audio one per piece, in order; none for text
    tokens: tuple[Token, ...]  # of all pieces one after another; the end of an answer is a token without text
    score: float  # sum of what the search ranked by, see DecodingOptions
    hearing: Hearing | None  # None for text in place of speech
    truncated: bool  # a length bound was reached before the answer ended
    looped: bool  # a repetition was found and cut
    timings: Timings

    @property
    def ctc_hypothesis(self) -> str:
        """What the speech encoder alone recognized; "" for text, and without CTC."""
        return "" if self.hearing is None else self.hearing.ctc_hypothesis
