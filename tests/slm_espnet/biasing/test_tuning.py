"""The threshold is the one that separates spoken from unspoken names."""

from __future__ import annotations

import pytest

from slm_espnet.biasing.keyword_spotting import KeywordSpotter
from slm_espnet.biasing.retrieval import CTCRetriever
from slm_espnet.biasing.select import select
from slm_espnet.biasing.tuning import DevUtterance, OperatingPoint, by_list_size, choose, sweep
from slm_espnet.biasing.vocabulary import CTCVocabulary

LIST = ("rosalind", "walter", "yolanda")
SAID = [
    ("call rosalynd now", "call rosalind now"),
    ("tell walter hello", "tell walter hello"),
    ("go home at four", "go home at four"),
]


@pytest.fixture
def dev(ctc):
    return [DevUtterance(ctc.posteriors(ctc.frames(heard)), said, LIST) for heard, said in SAID]


@pytest.fixture
def retriever(ctc):
    return CTCRetriever(KeywordSpotter(CTCVocabulary(ctc.vocabulary, 0)))


@pytest.mark.parametrize("criterion", ["name_f1", "wer"])
def test_tuned_threshold_finds_all_names_and_no_other(dev, retriever, criterion):
    points = sweep(retriever, dev, max_phrases=2)
    best = choose(points, criterion)
    assert (best.precision, best.recall, best.f1, best.wer) == (1, 1, 1, 0)
    for utterance in dev:
        found = select(retriever.retrieve(utterance.posteriors, LIST, 3), best.threshold, 2)
        assert {s.phrase for s in found} == {n for n in LIST if n in utterance.reference.split()}


def test_extremes_place_nothing_and_everything(dev, retriever):
    points = sweep(retriever, dev, max_phrases=1)
    assert points[0].recall == 0 and points[0].wer == pytest.approx(100 / 10)  # one misheard word of ten
    assert points[-1].precision == pytest.approx(2 / 3)  # one phrase in each of three utterances, two of them right
    assert points[-1].wer > 0
    assert [p.threshold for p in points] == sorted((p.threshold for p in points), reverse=True)


def test_no_phrase_fits_anywhere(ctc, retriever):
    points = sweep(retriever, [DevUtterance(ctc.posteriors(["a"]), "a", ("walter",))], max_phrases=2)
    assert choose(points, "wer").wer == 0


def test_among_equally_good_thresholds_the_middle_one_is_taken():
    f1 = (0.5, 0.9, 0.8, 0.9, 0.9, 0.9, 0.1)
    points = [OperatingPoint(-float(i), 1.0, 1.0, value, 100 * (1 - value)) for i, value in enumerate(f1)]
    assert choose(points, "name_f1").threshold == -4
    assert choose(points, "wer").threshold == -4


def test_lists_of_about_one_length_are_tuned_together(dev):
    def of_size(size):
        return DevUtterance(dev[0].posteriors, dev[0].reference, tuple(f"p{i}" for i in range(size)) + ("p0",))

    groups = by_list_size([of_size(size) for size in (1000, 10, 102, 11, 100, 10)])
    assert {size: len(group) for size, group in groups.items()} == {10: 3, 101: 2, 1000: 1}
    assert list(groups) == [10, 101, 1000]
