"""Selection and placement of spotted phrases."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from slm_espnet.biasing.keyword_spotting import Spotted
from slm_espnet.biasing.select import (
    BiasingOptions,
    ContextBiaser,
    ctc_text_with_phrases,
    load_options,
    save_options,
    select,
)
from slm_espnet.biasing.vocabulary import CTCVocabulary
from slm_espnet.errors import UserError


class LetterTokenizer:
    def encode(self, text):
        return [ord(c) for c in text]


@pytest.fixture
def encoding(ctc):
    def make(text):
        found = ctc.posteriors(ctc.frames(text))
        return SimpleNamespace(posterior_ids=found.ids, posterior_log_probs=found.log_probs, positions=found.positions)

    return make


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


def test_biaser_places_spoken_names_and_puts_only_these_into_the_prompt(ctc, encoding):
    biaser = ContextBiaser(ctc.vocabulary, 0, LetterTokenizer(), BiasingOptions(threshold=-4.0, max_phrases=3))
    context = ["walter", "rosalind", "gertrude", "yolanda", "rosalind"]
    placements, phrases = biaser(encoding("ask rosalynd and walter to come"), context)
    assert phrases == ("rosalind", "walter")
    assert [(p.start, p.stop) for p in placements] == [(4, 12), (17, 23)]
    assert placements[1].token_ids == tuple(map(ord, "walter"))
    assert biaser(encoding("turn off the lights in the kitchen"), context) == ([], ())
    assert biaser(encoding("ask rosalind"), []) == ([], ())


def test_ctc_text_with_phrases_replaces_only_the_span(ctc):
    vocabulary = CTCVocabulary(ctc.vocabulary, 0)
    posteriors = ctc.posteriors(ctc.frames("all tell rosalynd good news"))
    assert ctc_text_with_phrases(vocabulary, posteriors, []) == "all tell rosalynd good news"
    found = [Spotted("rosalind", -1.0, 9, 17)]
    span = posteriors.ids[9:17, 0]
    assert "".join(ctc.vocabulary[i] for i in span) == "rosalynd"
    assert ctc_text_with_phrases(vocabulary, posteriors, found) == "all tell rosalind good news"


def test_options_survive_a_round_trip_and_refuse_unknown_keys(tmp_path):
    path = tmp_path / "conf" / "biasing.yaml"
    save_options(path, BiasingOptions(-4.25, 2), "tuned on dev")
    assert load_options(path) == BiasingOptions(-4.25, 2)
    assert path.read_text().startswith("# tuned on dev\n")
    for text in ("treshold: -3\n", "threshold: low\n", "max_phrases: 0\n", "- 1\n", "a: [\n"):
        path.write_text(text)
        with pytest.raises(UserError, match="biasing.yaml"):
            load_options(path)
