"""Recordings of any length: every word comes out once, whatever finds the pauses, and also where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from slm_espnet.long_audio.cutting import CuttingOptions, Piece, cut
from slm_espnet.long_audio.live import cut_waveform
from slm_espnet.long_audio.merging import merge_texts
from slm_espnet.long_audio.pauses import CTCPauses, energy_pauses
from slm_espnet.long_audio.recording import Waveform

from .conftest import RATE, make_talk


def recognized(encoder, samples, pieces):
    waves = [samples[round(piece.start * RATE) : round(piece.stop * RATE)] for piece in pieces]
    return [encoder.recognize(wave) for wave in waves]


@pytest.fixture(scope="module")
def talk():
    """Ten minutes: utterances joined with pauses between them, and in the middle one minute without any pause."""
    parts = [make_talk(60, seed, pause_every=0 if seed == 5 else 8) for seed in range(10)]
    words = [word for part in parts for word in part.words]
    return np.concatenate([part.samples for part in parts]), words


@pytest.mark.parametrize("pauses", ["energy", "ctc", "none"])
def test_every_word_of_long_recordings_comes_out_once(talk, encoder, pauses):
    samples, words = talk
    find = {"energy": energy_pauses, "ctc": CTCPauses(encoder), "none": lambda recording: []}[pauses]
    found = find(Waveform(samples, RATE))
    pieces = cut(len(samples) / RATE, found)
    overlaps = sum(piece.overlap > 0 for piece in pieces)
    assert max(piece.stop - piece.start for piece in pieces) <= 25.0001
    assert overlaps == len(pieces) - 1 if pauses == "none" else 2 <= overlaps <= 4  # in the minute without pauses
    texts = recognized(encoder, samples, pieces)
    if overlaps:
        assert " ".join(texts).split() != words, "without merging, words of the overlaps are there twice"
    assert merge_texts(pieces, texts).split() == words


def test_the_encoder_is_never_given_more_than_a_window(talk, encoder):
    CTCPauses(encoder)(Waveform(talk[0], RATE))
    assert encoder.longest <= 30


def test_windows_of_the_encoder_find_the_same_pauses_as_a_short_recording(encoder):
    samples = make_talk(100, 3).samples
    whole = CTCPauses(encoder)(Waveform(samples, RATE))
    middle = CTCPauses(encoder)(Waveform(samples[: 25 * RATE], RATE))
    inside = [pause for pause in whole if pause[1] < 24]
    assert len(inside) > 2 and middle[: len(inside)] == inside
    assert [round(pause[0], 2) for pause in whole] == sorted({round(pause[0], 2) for pause in whole})


def test_live_speech_uses_ctc_where_there_is_one_and_leaves_short_speech_whole(encoder):
    noisy = make_talk(60, 5, noise=0.05)  # too loud for energy to find pauses
    with_ctc = cut_waveform(noisy.samples, RATE, encoder)
    assert (
        sum(piece.overlap > 0 for piece in with_ctc)
        == 0
        < sum(piece.overlap > 0 for piece in cut_waveform(make_talk(60, 5, pause_every=0).samples, RATE))
    )
    assert merge_texts(with_ctc, recognized(encoder, noisy.samples, with_ctc)).split() == noisy.words
    short = make_talk(10, 6).samples
    assert cut_waveform(short, RATE, encoder) == [Piece(0.0, len(short) / RATE)]


def test_cuts_lie_in_the_longest_pauses_and_silence_is_left_out():
    pauses = [(0.0, 4.0), (15.0, 15.5), (20.0, 21.0), (24.0, 24.3), (40.0, 90.0), (100.0, 130.0)]
    assert cut(130.0, pauses) == [
        Piece(3.7, pytest.approx(20.3)),
        Piece(pytest.approx(20.7), pytest.approx(40.3)),
        Piece(pytest.approx(89.7), pytest.approx(100.3)),
    ]
    assert cut(60.0, [(0.0, 60.0)]) == [Piece(0.0, 25.0)]  # nothing is heard: still one piece to be asked about
    assert cut(0.5, []) == [Piece(0.0, 0.5)]


def test_pieces_cover_all_speech_for_any_pauses():
    random = np.random.default_rng(0)
    options = CuttingOptions(20.0, 5.0, 3.0, 0.2)
    for _ in range(200):
        edges = np.sort(random.uniform(0, 150, 2 * random.integers(0, 12)))
        pauses = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        pieces = cut(150.0, pauses, options)
        assert all(0 < piece.stop - piece.start <= 20.0 + 1e-9 for piece in pieces)
        covered = [*((piece.start, piece.stop) for piece in pieces), *pauses]
        for moment in random.uniform(0, 150, 50):
            assert any(start <= moment <= stop for start, stop in covered)
        for before, after in zip(pieces, pieces[1:], strict=False):
            assert after.overlap == pytest.approx(max(0.0, before.stop - after.start), abs=1e-9)


def test_impossible_lengths_are_refused():
    for values in ({"min_seconds": 30.0}, {"overlap_seconds": 13.0}, {"padding_seconds": -1.0}):
        with pytest.raises(ValueError, match=next(iter(values))):
            CuttingOptions(**values)


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ("we all met there", "what could have been", "we all met could have been"),  # each in its half
        ("we met on monday mor", "monday morning in the park", "we met on monday morning in the park"),
        ("we met on monday mor", "on Monday, morning in the park", "we met on monday morning in the park"),
        ("it is very very very", "very very very cold", "it is very very very cold"),
        ("call james at nine", "james a nine and mary at ten", "call james at nine and mary at ten"),
        ("nothing in common", "", "nothing in common"),
        ("", "all of it", "all of it"),
    ],
)
def test_words_at_the_crossing(first, second, merged):
    pieces = [Piece(0.0, 2.0), Piece(1.0, 3.0, 1.0)]
    assert merge_texts(pieces, [first, second]) == merged


def test_texts_without_an_overlap_are_joined_as_they_are():
    pieces = [Piece(0.0, 2.0), Piece(2.5, 4.0)]
    assert merge_texts(pieces, ["so it is", "is it so"]) == "so it is is it so"


def test_languages_without_blanks_are_merged_by_characters():
    pieces = [Piece(0.0, 4.0), Piece(2.5, 6.5, 1.5)]
    assert merge_texts(pieces, ["今日はとても天気", "とても天気がいい"]) == "今日はとても天気がいい"
