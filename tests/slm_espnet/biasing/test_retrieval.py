"""Retrieval from long lists gives what an exhaustive search gives, with characters and with pieces."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from slm_espnet.biasing.keyword_spotting import IMPOSSIBLE, KeywordSpotter
from slm_espnet.biasing.null_model import NullModel, choose_background, load_background, save_background
from slm_espnet.biasing.retrieval import CTCRetriever
from slm_espnet.biasing.trie import PhraseTrie
from slm_espnet.biasing.vocabulary import MOST_SPELLINGS, CTCVocabulary
from slm_espnet.encodings.posteriors import FramePosteriors

NAMES = ("rosalind", "gertrude", "walter", "ann", "anna", "annabel", "otto", "lee", "new york", "maximilian")


def invented(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    syllables = [first + second for first in "bcdfgklmnprst" for second in "aeiou"]
    return list(dict.fromkeys("".join(rng.choices(syllables, k=rng.randint(2, 4))) for _ in range(count)))


@pytest.fixture
def retriever(ctc):
    def make(*background: str, weight: float = 0.5) -> CTCRetriever:
        heard = [ctc.posteriors(ctc.frames(text)) for text in background]
        return CTCRetriever(KeywordSpotter(CTCVocabulary(ctc.vocabulary, 0)), NullModel(heard, weight))

    return make


def noisy(rng: np.random.Generator, frames: int, tokens: int) -> FramePosteriors:
    return FramePosteriors.from_dense(np.log(rng.dirichlet(np.full(tokens, 0.2), size=frames) + 1e-9), 0)


@pytest.mark.parametrize("delimiter", [True, False])
def test_tree_scores_are_those_of_the_search_phrase_by_phrase(ctc, delimiter):
    vocabulary = ctc.vocabulary if delimiter else tuple("<blank>" if c == 0 else chr(96 + c) for c in range(27))
    spotter = KeywordSpotter(CTCVocabulary(vocabulary, 0))
    rng = np.random.default_rng(1)
    phrases = [name for name in (*NAMES, *invented(40)) if delimiter or " " not in name]
    for frames in (3, 9, 60):
        posteriors = noisy(rng, frames, len(vocabulary))
        exact = spotter.scores(posteriors, phrases)[0]
        found = CTCRetriever(spotter).scores(posteriors, phrases)
        assert np.isnan(found).tolist() == (exact == IMPOSSIBLE).tolist()
        np.testing.assert_allclose(found[exact > IMPOSSIBLE], exact[exact > IMPOSSIBLE], atol=1e-4)


def test_tree_shares_what_phrases_have_in_common():
    trie = PhraseTrie.build([(5, 7), (5,), (5, 7, 7), (9,), (5, 7)])
    assert len(trie.columns) == 5  # the root, 5, 5 7, 5 7 7, 9
    assert trie.ends[0] == trie.ends[4] and len(set(trie.ends.tolist())) == 4
    assert trie.used.tolist() == [5, 7, 9] and len(trie.repeats) == 1
    with pytest.raises(ValueError, match="no empty ones"):
        PhraseTrie.build([(1,), ()])


def test_spoken_phrases_come_first_of_thousands(ctc, retriever):
    others = invented(3000)
    posteriors = ctc.posteriors(ctc.frames("tell rosalynd and gertrude the news"))
    found = retriever().retrieve(posteriors, [*others, "rosalind", "gertrude"], 5)
    assert {item.phrase for item in found[:2]} == {"rosalind", "gertrude"}
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    alone = KeywordSpotter(CTCVocabulary(ctc.vocabulary, 0)).spot(posteriors, [item.phrase for item in found])
    assert sorted(alone, key=lambda item: -item.score) == found  # with the same spans


def test_what_cannot_be_found_is_left_out(ctc, retriever):
    heard = ctc.posteriors(ctc.frames("go ann"))
    assert [item.phrase for item in retriever().retrieve(heard, ["josé", "ann", "ann", "maximilian"], 9)] == ["ann"]
    assert retriever().retrieve(heard, ["josé"], 9) == [] and retriever().retrieve(heard, [], 9) == []
    assert retriever().retrieve(ctc.posteriors(["_"] * 4), ["ann"], 9) == []
    assert retriever().retrieve(FramePosteriors.from_dense(np.zeros((0, 30)), 0), ["ann"], 9) == []


def test_null_model_evens_out_phrases_that_match_everywhere(ctc, retriever):
    background = ("do we go", "to be or no", "so it is")
    posteriors = ctc.posteriors(ctc.frames("call rosalynd now"))
    plain = {item.phrase: item.score for item in retriever().retrieve(posteriors, ["no", "rosalind"], 2)}
    even = {i.phrase: i.score for i in retriever(*background, weight=1.0).retrieve(posteriors, ["no", "rosalind"], 2)}
    spotter = retriever().spotter
    for phrase in plain:
        scores = [spotter.scores(ctc.posteriors(ctc.frames(text)), [phrase])[0][0] for text in background]
        mean = np.mean([score for score in scores if score > IMPOSSIBLE])  # a long phrase does not fit all of them
        assert even[phrase] == pytest.approx(plain[phrase] - mean, abs=1e-4)
    assert even["rosalind"] - plain["rosalind"] > even["no"] - plain["no"]


def test_offsets_are_remembered_and_do_not_depend_on_the_list(ctc, retriever):
    one = retriever("do we go", "to be or no")
    phrases = list(NAMES[:4])
    first = one.null.offsets(phrases, one.scores)
    one.null.background = (ctc.posteriors(ctc.frames("x y z")),)  # would change them
    np.testing.assert_array_equal(one.null.offsets(phrases[::-1], one.scores), first[::-1])
    assert not retriever().null.offsets(phrases, one.scores).any()


def test_background_survives_the_disk(ctc, tmp_path):
    heard = [ctc.posteriors(ctc.frames(text)) for text in ("do we go", "a", "so it is")]
    chosen = choose_background([*heard, ctc.posteriors(["_"])] * 3, seed=1)
    assert len(chosen) == 9 and chosen == choose_background([*heard, ctc.posteriors(["_"])] * 3, seed=1)
    save_background(tmp_path / "exp" / "b.npz", chosen)
    again = load_background(tmp_path / "exp" / "b.npz", len(ctc.vocabulary), 0)
    for left, right in zip(chosen, again, strict=True):
        np.testing.assert_array_equal(left.dense(), right.dense())
    assert [path.name for path in (tmp_path / "exp").iterdir()] == ["b.npz"]


def piece_posteriors(pieces: list[int], size: int) -> FramePosteriors:
    probabilities = np.full((2 * len(pieces), size), 0.1 / size)
    for place, piece in enumerate(pieces):
        probabilities[2 * place, piece] += 0.9
        probabilities[2 * place + 1, 0] += 0.9
    return FramePosteriors.from_dense(np.log(probabilities), 0)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_of_a_real_tokenizer_are_among_the_spellings(kind):
    """The encoder's own cut of unknown names is looked for, and found in what it would write."""
    sentencepiece = pytest.importorskip("sentencepiece")
    names, model = invented(400), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"tell {name} the news" for name in names[:200]] * 3), model_writer=model,
        model_type=kind, vocab_size=120, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = ["<blank>", *(tokenizer.id_to_piece(i) for i in range(tokenizer.get_piece_size()))]
    vocabulary = CTCVocabulary(pieces, 0)
    unknown = names[200:]
    cuts = {name: tuple(1 + i for i in tokenizer.encode(name)) for name in unknown}
    listed = [cuts[name] in vocabulary.spellings(name) for name in unknown]
    assert np.mean(listed) > 0.9 and max(len(vocabulary.spellings(name)) for name in unknown) <= MOST_SPELLINGS
    retriever = CTCRetriever(KeywordSpotter(vocabulary))
    first = []
    for name in unknown[:30]:
        said = [1 + i for i in tokenizer.encode(f"tell {name} the news")]
        first.append(retriever.retrieve(piece_posteriors(said, len(pieces)), unknown, 1)[0].phrase == name)
    assert np.mean(first) > 0.9


def test_spellings_have_the_fewest_pieces():
    tokens = ("<blank>", "<unk>", "\u2581", "\u2581ro", "\u2581rosa", *"rosad", "sa", "osa", "lin", "lind")
    vocabulary = CTCVocabulary(tokens, 0)
    found = vocabulary.spellings("Rosalind")
    assert [[tokens[i] for i in ids] for ids in found] == [
        ["\u2581rosa", "lind"], ["\u2581rosa", "lin", "d"], ["\u2581ro", "sa", "lind"], ["\u2581ro", "sa", "lin", "d"]
    ]  # fmt: skip
    assert len(vocabulary.spellings("ros ros")) <= MOST_SPELLINGS
    assert all(len(ids) >= 4 for ids in vocabulary.spellings("ros ros"))
    assert vocabulary.spellings("xavier") == () == vocabulary.spellings("")
