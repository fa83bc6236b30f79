"""Keyword spotting finds what was spelled, where it was spelled, and respects word boundaries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slm_espnet.biasing.keyword_spotting import KeywordSpotter
from slm_espnet.biasing.vocabulary import CTCVocabulary
from slm_espnet.encodings.posteriors import FLOOR, FramePosteriors


@pytest.fixture
def spotter(ctc):
    return lambda: KeywordSpotter(CTCVocabulary(ctc.vocabulary, 0))


@pytest.fixture
def best(spotter):
    return lambda posteriors, phrases: {s.phrase: s for s in spotter().spot(posteriors, phrases)}


@pytest.mark.parametrize(
    ("text", "phrase", "span"),
    [
        ("call rosalind now", "rosalind", (6, 14)),
        ("rosalind called", "rosalind", (0, 8)),
        ("call rosalind", "rosalind", (6, 14)),
        ("rosalind", "rosalind", (0, 8)),
        ("fly to new york today", "new york", (7, 15)),
    ],
)
def test_exact_spelling_scores_zero_with_its_span(ctc, best, text, phrase, span):
    found = best(ctc.posteriors(ctc.frames(text)), [phrase, "walter"])
    assert found[phrase].score == pytest.approx(0, abs=1e-6)
    assert (found[phrase].start, found[phrase].stop) == span
    assert found["walter"].score < -3


@pytest.mark.parametrize("text", ["the annual plan", "joann is here", "hosanna"])
def test_phrase_inside_a_word_is_not_found(ctc, best, text):
    """Both sides must be a word boundary: `ann` occurs in the letters, never as a word."""
    inside = best(ctc.posteriors(ctc.frames(text)), ["ann"])["ann"].score
    outside = best(ctc.posteriors(ctc.frames("see ann here")), ["ann"])["ann"].score
    assert outside == pytest.approx(0, abs=1e-6)
    assert inside < -2


def test_silence_inside_a_word_is_no_boundary(ctc, best):
    """Blanks between two letters are not the end of a word: `jo___ann` does not contain `ann`."""
    posteriors = ctc.posteriors([*"see jo", *"___", *"an", "_", *"n here"])
    assert best(posteriors, ["ann"])["ann"].score < -2
    assert best(posteriors, ["joann"])["joann"].score == pytest.approx(0, abs=1e-6)


def test_double_letters_need_the_blank_between_them(ctc, best):
    frames = ctc.frames("see anna here")
    assert "_" in frames
    assert best(ctc.posteriors(frames), ["anna"])["anna"].score == pytest.approx(0, abs=1e-6)
    assert best(ctc.posteriors(frames, blank=0.8), ["anna"])["anna"].score == pytest.approx(0, abs=1e-6)
    without = ctc.posteriors([f for f in frames if f != "_"])
    assert best(without, ["anna"])["anna"].score < -1


@pytest.mark.parametrize("blank", [0.9, 0.9999])
def test_blank_and_repeated_frames_cost_nothing(ctc, best, blank):
    """Whether the blanks are sure or not, the span is that of the letters in encoder frames."""
    frames = ["_", "_", "c", "c", "_", "a", "l", "l", " ", " ", "_", "_", "w", "w", "_", "a", "l", "_", "t", "_", " "]
    found = best(ctc.posteriors(frames, blank=blank), ["walt"])["walt"]
    assert found.score == pytest.approx(0, abs=1e-6)
    assert (found.start, found.stop) == (12, 20)
    assert best(ctc.posteriors([*frames[:-1], "_", "_"], blank=0.9999), ["walt"])["walt"].stop == 19


def test_misspelled_name_still_wins_over_other_names(ctc, best):
    found = best(ctc.posteriors(ctc.frames("call rosalynd please")), ["rosalind", "roland", "walter"])
    assert max(found.values(), key=lambda s: s.score).phrase == "rosalind"
    assert (found["rosalind"].start, found["rosalind"].stop) == (6, 14)


def test_score_equals_exhaustive_search():
    """Every frame-to-state path of a short phrase, enumerated, has no better score than Viterbi's."""
    rng = np.random.default_rng(0)
    vocabulary = ("<blank>", "<space>", "a", "b")
    for _ in range(20):
        posteriors = FramePosteriors.from_dense(np.log(rng.dirichlet(np.ones(4), size=5)), 0)
        log_probs = posteriors.dense()
        scores = log_probs - log_probs.max(axis=1, keepdims=True)
        edge = [0, 0, FLOOR, FLOOR]
        scores = np.vstack([edge, scores, edge])
        expected = -np.inf
        for path in itertools.product(range(4), repeat=7):
            for first, last in itertools.combinations(range(7), 2):
                part = path[first : last + 1]
                if part[0] != 1 or part[-1] != 1 or 1 in part[1:-1]:
                    continue
                if [t for t, _ in itertools.groupby(part[1:-1]) if t] == [2, 3]:
                    expected = max(expected, sum(scores[first + i][t] for i, t in enumerate(part)))
        found = KeywordSpotter(CTCVocabulary(vocabulary, 0)).spot(posteriors, ["ab"])[0]
        assert found.score == pytest.approx(expected / np.sqrt(2))


def test_list_position_and_neighbours_do_not_change_a_phrase(ctc, best):
    posteriors = ctc.posteriors(ctc.frames("tell gertrude and max"))
    phrases = ["max", "gertrude", "al", "maximilian", "gertrude and max"]
    together = best(posteriors, phrases)
    for phrase in phrases:
        alone = best(posteriors, [phrase])[phrase]
        assert (alone.start, alone.stop) == (together[phrase].start, together[phrase].stop)
        assert alone.score == pytest.approx(together[phrase].score)


def test_phrases_longer_than_the_utterance_and_silence(ctc, spotter):
    assert spotter().spot(ctc.posteriors(["a"]), ["maximilian", "a"])[-1].phrase == "a"
    assert spotter().spot(ctc.posteriors(["_"] * 5), ["ann"]) == []


def test_sentencepiece_vocabulary_marks_words_by_itself():
    tokens = ("<blank>", "<unk>", "\u2581call", "\u2581rosa", "lind", "s", "\u2581now", "\u2581ro")
    vocabulary = CTCVocabulary(tokens, 0)
    assert vocabulary.spellings("rosalind") == ((3, 4),)

    def frames(*ids):
        return FramePosteriors.from_dense(np.log(np.where(np.array(ids)[:, None] == np.arange(8), 0.93, 0.01)), 0)

    word = KeywordSpotter(vocabulary).spot(frames(2, 3, 4, 6), ["rosalind"])[0]
    assert (word.score, word.start, word.stop) == (pytest.approx(0), 1, 3)
    longer = KeywordSpotter(vocabulary).spot(frames(2, 3, 4, 5, 6), ["rosalind"])[0]  # "rosalinds" is another word
    assert longer.score < -2


def test_phrase_that_cannot_be_spelled_is_left_out_and_said_once(ctc, caplog):
    vocabulary = CTCVocabulary(ctc.vocabulary, 0)
    posteriors = ctc.posteriors(ctc.frames("call walter"))
    for _ in range(3):
        found = KeywordSpotter(vocabulary).spot(posteriors, ["josé", "walter"])
    assert [s.phrase for s in found] == ["walter"]
    assert sum("josé" in record.message for record in caplog.records) == 1


def test_upper_case_vocabulary_with_bar_delimiter():
    vocabulary = CTCVocabulary(("<pad>", "|", "A", "N", "E"), 0)
    assert vocabulary.spellings("ann ane") == ((2, 3, 3, 1, 2, 3, 4),)
    assert vocabulary.text([2, 3, 1, 2]) == "AN A"
