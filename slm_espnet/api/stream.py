"""An answer while it is generated.

    stream = slm.stream("a.wav", "Translate this speech to Spanish")
    stream.hearing.kept, stream.hearing.ctc_hypothesis      # known before the first token
    for text in stream:                                     # the text so far
        show(text)
    stream.answer                                           # as slm(...) gives it
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from slm_espnet.api.questions import Work
from slm_espnet.api.results import Answer, Timings
from slm_espnet.decoding.types import Hypothesis
from slm_espnet.inference import Decoder


class AnswerStream:
    """Iterates over the text so far, once."""

    def __init__(self, work: Work, decoder: Decoder) -> None:
        """Set up for the first question of `work`, whose recording is encoded."""
        self.hearing = work.hearing(0)  # None for text in place of speech
        self.answer: Answer | None = None  # set after the last text
        self._texts = self._generate(work, decoder)

    def __iter__(self) -> Iterator[str]:
        return self._texts

    def __next__(self) -> str:
        return next(self._texts)

    def _generate(self, work: Work, decoder: Decoder) -> Iterator[str]:
        """Texts; of long audio those of the pieces before it stand before that of a piece."""
        llm, seconds = decoder.model.llm, 0.0
        found: dict[str, Hypothesis] = {}
        texts: list[str] = []
        last = None
        for request in work.requests_of(0):
            steps = decoder.stream(request)
            while True:
                began = time.perf_counter()
                try:
                    with work.llm_as_it_is(llm):  # not while the caller has the turn
                        partial = next(steps)
                except StopIteration as end:
                    hypothesis = end.value
                    break
                finally:
                    seconds += time.perf_counter() - began
                text = work.text(0, [*texts, partial])
                if text != last:
                    last = text
                    yield text
            texts.append("" if hypothesis is None else hypothesis.text)
            if hypothesis is not None:
                found[request.utt_id] = hypothesis
        timings = Timings(work.seconds, work.reading, work.encoding, seconds)
        self.answer = work.answer(0, found, decoder.left_out, llm.tokenizer, timings)
        if self.answer.text != last:  # a loop was cut, or a beam search has ended
            yield self.answer.text
