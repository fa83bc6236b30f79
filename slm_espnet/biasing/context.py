"""Contextual biasing while decoding: an utterance's encoding and its phrase list → what the model is given.

Phrases are retrieved from the list by what was heard. `place` puts those above a threshold in place of what was heard
in their spans, in the LLM's own tokens, and into the prompt; `retrieve` puts the best few into the prompt, and leaves
it to the LLM which of them was spoken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from slm_espnet.adapter.base import Placement
from slm_espnet.biasing.keyword_spotting import KeywordSpotter, Spotted
from slm_espnet.biasing.null_model import NullModel, load_background
from slm_espnet.biasing.options import BiasingOptions, load_options
from slm_espnet.biasing.retrieval import CTCRetriever
from slm_espnet.biasing.select import ctc_text_with_phrases, select
from slm_espnet.biasing.vocabulary import CTCVocabulary
from slm_espnet.encodings.posteriors import FramePosteriors
from slm_espnet.llm.base import AbsTokenizer

CANDIDATES = 64  # phrases that are searched for one by one, of which those that are placed are chosen


class HasPosteriors(Protocol):
    """What biasing reads of an utterance's encoding."""

    frames: np.ndarray  # (K, D) those kept
    posteriors: FramePosteriors | None  # of all encoder frames; None without CTC

    def kept_span(self, start: int, stop: int) -> tuple[int, int]: ...  # encoder frames → frames kept


class Preselection(Protocol):
    """Anything that ranks phrases for an utterance."""

    def retrieve(self, encoding: Any, phrases: Sequence[str], count: int) -> list[str]:
        """The best phrases, best first."""


class CTCPreselection:
    """A CTCRetriever as a ranking alone."""

    def __init__(self, retriever: CTCRetriever) -> None:
        self.retriever = retriever

    def retrieve(self, encoding: HasPosteriors, phrases: Sequence[str], count: int) -> list[str]:
        """The best phrases, best first."""
        return [item.phrase for item in self.retriever.retrieve(encoding.posteriors, phrases, count)]


def ctc_retriever(fingerprint: dict[str, Any], options: BiasingOptions, folder: Path | None) -> CTCRetriever:
    """The retriever for encodings of this fingerprint.

    Args:
        fingerprint: of an encoder with CTC.
        options: tuned settings.
        folder: where their background file is; None for untuned options.
    """
    vocabulary, blank_id = fingerprint["vocabulary"], int(fingerprint["blank_id"])
    background: Sequence[FramePosteriors] = ()
    if options.background and folder is not None:
        background = load_background(folder / options.background, len(vocabulary), blank_id)
    return CTCRetriever(KeywordSpotter(CTCVocabulary(vocabulary, blank_id)), NullModel(background, options.null_weight))


def read_options(path: Path | None, threshold: float | None) -> BiasingOptions:
    """Tuned options of a file, or the defaults; a threshold that is given goes before theirs."""
    options = BiasingOptions() if path is None else load_options(path)
    if threshold is None:
        return options
    return BiasingOptions(threshold, options.max_phrases, options.null_weight, options.background)


class PlacingBiaser:
    """Phrases that were heard go where they were heard, and into the prompt."""

    def __init__(
        self,
        retriever: CTCRetriever,
        tokenizer: AbsTokenizer,
        options: BiasingOptions | None = None,
        preselection: Preselection | None = None,
    ) -> None:
        """Set up for one encoder and one LLM.

        Args:
            retriever: finds phrases and their spans.
            tokenizer: the LLM's, for the tokens that are placed.
            options: threshold and number of phrases.
            preselection: chooses the candidates of which the retriever finds the spans; None: it chooses them itself.
        """
        self.retriever = retriever
        self.tokenizer = tokenizer
        self.options = options or BiasingOptions()
        self.preselection = preselection

    def find(self, encoding: HasPosteriors, context: Sequence[str]) -> list[Spotted]:
        """Phrases of the list that were spoken, in order, with their spans in encoder frames."""
        if not context or not len(encoding.frames):  # where no frame is kept nothing is said
            return []
        candidates: Sequence[str] = context
        if self.preselection is not None:
            candidates = self.preselection.retrieve(encoding, context, CANDIDATES)
        spotted = self.retriever.retrieve(encoding.posteriors, candidates, CANDIDATES)
        return select(spotted, self.options.threshold_for(len(set(context))), self.options.max_phrases)

    def __call__(self, encoding: HasPosteriors, context: Sequence[str]) -> tuple[list[Placement], tuple[str, ...]]:
        """Placements in the order of their spans, and the same phrases for the prompt's context."""
        return self._placed(encoding, self.find(encoding, context))

    def with_text(
        self, encoding: HasPosteriors, context: Sequence[str]
    ) -> tuple[list[Placement], tuple[str, ...], str]:
        """The same, and the encoder's CTC greedy text with the phrases in place."""
        found = self.find(encoding, context)
        return *self._placed(encoding, found), self._text(encoding, found)

    def text(self, encoding: HasPosteriors, context: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The encoder's CTC greedy text with the phrases in place, and the same phrases."""
        found = self.find(encoding, context)
        return self._text(encoding, found), tuple(s.phrase for s in found)

    def _placed(self, encoding: HasPosteriors, found: Sequence[Spotted]) -> tuple[list[Placement], tuple[str, ...]]:
        placements = []
        for spotted in found:
            start, stop = encoding.kept_span(spotted.start, spotted.stop)
            encode = self.tokenizer.encode_within if start else self.tokenizer.encode
            placements.append(Placement(start, stop, tuple(encode(spotted.phrase))))
        return placements, tuple(s.phrase for s in found)

    def _text(self, encoding: HasPosteriors, found: Sequence[Spotted]) -> str:
        return ctc_text_with_phrases(self.retriever.spotter.vocabulary, encoding.posteriors, found)


class RetrievingBiaser:
    """The best phrases go into the prompt, best first; nothing is placed."""

    def __init__(self, ranking: Preselection, count: int) -> None:
        """Set up: what ranks the phrases, and the number of phrases in a prompt."""
        self.ranking = ranking
        self.count = count

    def __call__(self, encoding: HasPosteriors, context: Sequence[str]) -> tuple[list[Placement], tuple[str, ...]]:
        """No placements, and the phrases for the prompt's context."""
        if not context or not len(encoding.frames):
            return [], ()
        return [], tuple(self.ranking.retrieve(encoding, context, self.count))

    def with_text(self, encoding: Any, context: Sequence[str]) -> tuple[list[Placement], tuple[str, ...], str]:
        """The same, and the encoder's CTC greedy text as it is."""
        return *self(encoding, context), encoding.ctc_hypothesis

    def text(self, encoding: Any, context: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The encoder's CTC greedy text as it is, and the phrases for the prompt."""
        return encoding.ctc_hypothesis, self(encoding, context)[1]
