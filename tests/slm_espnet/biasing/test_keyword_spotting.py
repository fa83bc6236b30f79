"""Keyword spotting finds what was spelled, where it was spelled, and respects word boundaries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from slm_espnet.biasing.keyword_spotting import KeywordSpotter, Posteriors
from slm_espnet.biasing.vocabulary import CTCVocabulary


@pytest.fixture
def spotter(ctc):
    return lambda **options: KeywordSpotter(CTCVocabulary(ctc.vocabulary, 0), **options)


@pytest.fixture
def best(spotter):
    return lambda posteriors, phrases, **options: {s.phrase: s for s in spotter(**options).spot(posteriors, phrases)}


@pytest.mark.parametrize(
    ("text", "phrase", "span"),
    [
        ("call rosalind now", "rosalind", (5, 13)),
        ("rosalind called", "rosalind", (0, 8)),
        ("call rosalind", "rosalind", (5, 13)),
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


def test_dropped_blank_inside_a_word_is_no_boundary(ctc, best):
    """Silence between two letters is not the end of a word: `jo_ann` does not contain `ann`."""
    posteriors = ctc.posteriors([*"see jo", "_", *"an", "_", *"n here"])
    assert best(posteriors, ["ann"])["ann"].score < -2
    assert best(posteriors, ["joann"])["joann"].score == pytest.approx(0, abs=1e-6)


def test_unlisted_tokens_share_the_probability_that_is_left(ctc, best):
    """Keeping fewer tokens per frame does not change scores here, where all but the best are equally likely."""
    frames = ctc.frames("call rosalynd please")
    scores = [best(ctc.posteriors(frames, k=k), ["rosalind"])["rosalind"].score for k in (1, 5, 30)]
    assert scores[0] == pytest.approx(scores[2], abs=1e-2)
    assert scores[1] == pytest.approx(scores[2], abs=1e-2)


def test_double_letters_need_the_dropped_blank_between_them(ctc, best):
    frames = ctc.frames("see anna here")
    assert "_" in frames
    with_gap = ctc.posteriors(frames)
    assert best(with_gap, ["anna"])["anna"].score == pytest.approx(0, abs=1e-6)
    without = ctc.posteriors([f for f in frames if f != "_"])
    assert best(without, ["anna"])["anna"].score < -1
    # The same positions are no gap where the reduction itself keeps only every second frame.
    assert best(with_gap, ["anna"], frame_step=2)["anna"].score < -1


def test_kept_blank_frames_and_repeated_frames_cost_nothing(ctc, best):
    frames = ["_", "c", "c", "_", "a", "l", "l", " ", " ", "_", "w", "w", "_", "a", "l", "_", "t", " ", "_"]
    found = best(ctc.posteriors(frames, keep_blanks=True), ["walt"])["walt"]
    assert found.score == pytest.approx(0, abs=1e-6)
    assert (found.start, found.stop) == (10, 17)


def test_misspelled_name_still_wins_over_other_names(ctc, best):
    found = best(ctc.posteriors(ctc.frames("call rosalynd please")), ["rosalind", "roland", "walter"])
    assert max(found.values(), key=lambda s: s.score).phrase == "rosalind"
    assert (found["rosalind"].start, found["rosalind"].stop) == (5, 13)


def test_score_equals_exhaustive_search():
    """Every frame-to-state path of a short phrase, enumerated, has no better score than Viterbi's."""
    rng = np.random.default_rng(0)
    vocabulary = ("<blank>", "<space>", "a", "b")
    for _ in range(20):
        log_probs = np.log(rng.dirichlet(np.ones(4), size=5))
        posteriors = Posteriors(np.tile(np.arange(4), (5, 1)), log_probs, np.arange(5))
        scores = log_probs - log_probs.max(axis=1, keepdims=True)
        scores = np.vstack([[0, 0, -20, -20], scores, [0, 0, -20, -20]])
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
    posteriors = ctc.posteriors(ctc.frames("tell gertrude and max"), k=5)
    phrases = ["max", "gertrude", "al", "maximilian", "gertrude and max"]
    together = best(posteriors, phrases)
    for phrase in phrases:
        alone = best(posteriors, [phrase])[phrase]
        assert (alone.start, alone.stop) == (together[phrase].start, together[phrase].stop)
        assert alone.score == pytest.approx(together[phrase].score)


def test_phrases_longer_than_the_utterance_and_empty_utterances(ctc, spotter):
    assert spotter().spot(ctc.posteriors(["a"]), ["maximilian", "a"])[-1].phrase == "a"
    empty = Posteriors(np.zeros((0, 4), int), np.zeros((0, 4)), np.zeros(0, int))
    assert spotter().spot(empty, ["ann"]) == []


def test_null_model_evens_out_phrases_that_match_everywhere(ctc, best, spotter):
    background = [ctc.posteriors(ctc.frames(t)) for t in ("do we go", "to be or no", "so it is")]
    posteriors = ctc.posteriors(ctc.frames("call rosalynd now"))
    phrases = ["no", "rosalind"]
    null = spotter().null_scores(background, phrases)
    plain = best(posteriors, phrases)
    weighted = {s.phrase: s for s in spotter(null_weight=1.0).spot(posteriors, phrases, null)}
    assert null[0] > null[1]
    for phrase, offset in zip(phrases, null, strict=True):
        assert weighted[phrase].score == pytest.approx(plain[phrase].score - offset)


def test_sentencepiece_vocabulary_marks_words_by_itself():
    tokens = ("<blank>", "<unk>", "\u2581call", "\u2581rosa", "lind", "s", "\u2581now", "\u2581ro")
    vocabulary = CTCVocabulary(tokens, 0)
    assert vocabulary.phrase_ids("rosalind") == (3, 4)

    def frames(*ids):
        listed = np.array([[i, *(j for j in range(len(tokens)) if j != i)] for i in ids])
        return Posteriors(listed, np.log(np.tile([0.93] + [0.01] * 7, (len(ids), 1))), np.arange(len(ids)))

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
    assert vocabulary.phrase_ids("ann ane") == (2, 3, 3, 1, 2, 3, 4)
    assert vocabulary.text([2, 3, 1, 2]) == "AN A"
