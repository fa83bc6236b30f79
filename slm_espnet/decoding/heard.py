"""What CTC heard, as drafts of answers: whose CTC is asked, how its text becomes tokens, and when it is sure enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slm_espnet.adapter.base import SpeechEmbeddings
from slm_espnet.decoding.confidence import adapter_confidence, encoder_entropy, encoder_score
from slm_espnet.decoding.types import DecodingOptions, Hypothesis
from slm_espnet.llm.base import AbsLLM

CASES = {"keep": str, "lower": str.lower, "upper": str.upper}


class Hearing:
    """CTC hypotheses in the LLM's tokens, for greedy search."""

    def __init__(
        self, options: DecodingOptions, llm: AbsLLM, adapter_has_ctc: bool, encode: Callable[[str], Sequence[int]]
    ):
        """Set up.

        Args:
            options: ctc_draft and what belongs to it.
            llm: the language model.
            adapter_has_ctc: where not, speech has no drafts of that source.
            encode: the tokenizer's, or one that remembers.
        """
        self.options, self.llm, self._encode = options, llm, encode
        self.is_used = options.ctc_draft != "none" and options.beam_size == 1
        self.by_adapter = options.ctc_draft_source == "adapter"
        self.of_speech = self.is_used and (adapter_has_ctc or not self.by_adapter)
        self._takes = self.is_used and options.ctc_draft == "accept" and options.ctc_draft_entropy > 0

    def draft(self, text: str | None) -> tuple[int, ...]:
        """The encoder's text (or the text given in place of speech) as targets of a training are tokenized."""
        return tuple(self._encode(CASES[self.options.ctc_draft_case](text))) if text else ()

    def drafts(self, speech: SpeechEmbeddings) -> list[tuple[int, ...]]:
        """The adapter's, for each utterance of a batch."""
        rows = zip(speech.heard.tolist(), speech.heard_lengths.tolist(), strict=True)
        return [tuple(i for i in ids[:length] if i not in self.llm.stop_ids) for ids, length in rows]

    def taken(self, text: str | None, encoding: Any, bound: int) -> Hypothesis | None:
        """The encoder's hypothesis where it is sure of it; None where the LLM is to be asked.

        Args:
            text: the hypothesis.
            encoding: of the utterance, with posteriors.
            bound: most tokens, EOS counted.
        """
        if not self._takes or self.by_adapter or not text or encoding.posteriors is None:
            return None
        ids = self.draft(text)
        if len(ids) >= bound or encoder_entropy(encoding.posteriors) > self.options.ctc_draft_entropy:
            return None
        return self._as_it_is(ids, encoder_score(encoding.posteriors))

    def taken_of(
        self, speech: SpeechEmbeddings, drafts: Sequence[Sequence[int]], bounds: Sequence[int]
    ) -> dict[int, Hypothesis]:
        """The adapter's hypotheses of which it is sure, by row of the batch; rows without a draft are passed over."""
        if not self._takes or not self.by_adapter:
            return {}
        confidence = zip(*adapter_confidence(speech.ctc_log_probs, speech.ctc_lengths), strict=True)
        return {
            row: self._as_it_is(drafts[row], score)
            for row, (entropy, score) in enumerate(confidence)
            if entropy <= self.options.ctc_draft_entropy and 0 < len(drafts[row]) < bounds[row]
        }

    def _as_it_is(self, ids: Sequence[int], score: float) -> Hypothesis:
        return Hypothesis(self.llm.tokenizer.decode(ids), tuple(ids), (), score, from_ctc=True)
