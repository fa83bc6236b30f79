"""From a list of up to tens of thousands of phrases to the few that an utterance may contain, by CTC posteriors.

All phrases are scored at once by a prefix tree (trie); a null model, if there is one, evens out phrases that match
anywhere; the best are then searched for one by one, which tells their spans. Nothing is approximate: the order is that
of an exhaustive search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slm_espnet.biasing.keyword_spotting import KeywordSpotter, Spotted
from slm_espnet.biasing.null_model import NullModel
from slm_espnet.biasing.trie import PhraseTrie
from slm_espnet.encodings.posteriors import FramePosteriors

REMEMBERED = 8  # lists that are kept ready; one list for all utterances is the common case


@dataclass(frozen=True)
class ReadyList:
    """A list of phrases, ready to be searched for."""

    phrases: tuple[str, ...]  # P different ones that can be spelled
    first_spelling: np.ndarray  # (P,) intp: where the spellings of each begin
    trie: PhraseTrie | None  # of all spellings; None where there is no phrase


class CTCRetriever:
    """Ranks phrases by how well they match an utterance's CTC posteriors."""

    def __init__(self, spotter: KeywordSpotter, null: NullModel | None = None) -> None:
        """Set up for the spotter's encoder; without a null model scores are not evened out."""
        self.spotter = spotter
        self.null = null or NullModel(())
        self._ready: dict[tuple[str, ...], ReadyList] = {}

    def retrieve(self, posteriors: FramePosteriors, phrases: Sequence[str], count: int) -> list[Spotted]:
        """The best phrases with their spans, best first; fewer where fewer can be spelled and fit.

        Args:
            posteriors: of one utterance, all encoder frames.
            phrases: the list.
            count: most phrases that are wanted.
        """
        ready = self.ready(tuple(phrases))
        scores = self.scores(posteriors, ready.phrases)
        offsets = self.null.offsets(ready.phrases, self.scores)
        fitting = np.flatnonzero(np.isfinite(scores))
        ranked = fitting[np.argsort(-(scores - offsets)[fitting], kind="stable")[:count]]
        chosen = [ready.phrases[index] for index in ranked]
        found = self.spotter.spot(posteriors, chosen, offsets[ranked])
        return sorted(found, key=lambda item: -item.score)

    def scores(self, posteriors: FramePosteriors, phrases: Sequence[str]) -> np.ndarray:
        """Scores (P,) float32 of phrases that can be spelled, without the null model; NaN where one does not fit."""
        ready = self.ready(tuple(phrases))
        if ready.trie is None or not len(posteriors.rows):
            return np.full(len(ready.phrases), np.nan, dtype=np.float32)
        emissions, boundary, _ = self.spotter.lattice(posteriors, ready.trie.used)
        found = ready.trie.search(emissions, boundary, self.spotter.start_is_free)
        return np.fmax.reduceat(found, ready.first_spelling)  # a spelling that does not fit is passed over

    def ready(self, phrases: tuple[str, ...]) -> ReadyList:
        """The list without repetitions and phrases that cannot be spelled, as a tree."""
        if phrases not in self._ready:
            if len(self._ready) == REMEMBERED:
                self._ready.pop(next(iter(self._ready)))
            spellings = {phrase: self.spotter.vocabulary.spellings(phrase) for phrase in phrases}
            spelled = {phrase: ways for phrase, ways in spellings.items() if ways}
            first = np.cumsum([0, *map(len, spelled.values())])[:-1]
            sequences = [ids for ways in spelled.values() for ids in ways]
            trie = PhraseTrie.build(sequences) if sequences else None
            self._ready[phrases] = ReadyList(tuple(spelled), first, trie)
        return self._ready[phrases]
