"""Selection of spotted phrases, and CTC text with them."""

from __future__ import annotations

from slm_espnet.biasing.keyword_spotting import Spotted
from slm_espnet.biasing.select import ctc_text_with_phrases, select
from slm_espnet.biasing.vocabulary import CTCVocabulary


def test_select_takes_the_best_without_overlap_in_spoken_order():
    spotted = [
        Spotted("b", -1.0, 10, 14),
        Spotted("a", -2.0, 0, 4),
        Spotted("overlaps b", -1.5, 12, 16),
        Spotted("below", -9.0, 20, 24),
        Spotted("touches b", -3.0, 14, 18),
    ]
    assert [s.phrase for s in select(spotted, -5.0, 5)] == ["a", "b", "touches b"]
    assert [s.phrase for s in select(spotted, -5.0, 1)] == ["b"]
    assert select(spotted, 0.5, 5) == []


def test_longer_phrase_wins_at_equal_score():
    assert [s.phrase for s in select([Spotted("ann", 0, 0, 3), Spotted("ann marie", 0, 0, 9)], -1, 2)] == ["ann marie"]


def test_ctc_text_with_phrases_replaces_only_the_span(ctc):
    vocabulary = CTCVocabulary(ctc.vocabulary, 0)
    posteriors = ctc.posteriors(ctc.frames("all tell rosalynd good news"))
    assert ctc_text_with_phrases(vocabulary, posteriors, []) == "all tell rosalynd good news"
    found = [Spotted("rosalind", -1.0, 11, 19)]
    assert "".join(ctc.vocabulary[i] for i in posteriors.best()[11:19]) == "rosalynd"
    assert ctc_text_with_phrases(vocabulary, posteriors, found) == "all tell rosalind good news"
