"""What the model is given of a list: placements and prompt phrases, by CTC or by embeddings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slm_espnet.adapter.base import SpeechEmbeddings
from slm_espnet.biasing.context import CTCPreselection, PlacingBiaser, RetrievingBiaser, ctc_retriever, read_options
from slm_espnet.biasing.embedding_retrieval import EmbeddingRetriever
from slm_espnet.biasing.null_model import save_background
from slm_espnet.biasing.options import BiasingOptions, save_options
from slm_espnet.encodings.layout import Encoding
from slm_espnet.errors import UserError
from slm_espnet.length_reduction.base import CTCPath
from slm_espnet.length_reduction.build import build_static_reduction


class LetterTokenizer:
    def encode(self, text):
        return [ord(c) for c in text]

    encode_within = encode


@pytest.fixture
def encoding(ctc):
    def make(frames, reduction="ctc_blank", **conf):
        found = ctc.posteriors(ctc.frames(frames) if isinstance(frames, str) else frames)
        log_probs = torch.from_numpy(found.dense())
        kept = build_static_reduction(reduction, conf)(log_probs, CTCPath.of(log_probs, 0))
        arrays = (kept.frames.numpy(), kept.positions.numpy(), kept.stops.numpy())
        return Encoding(*arrays, frames_total=found.frames, seconds=1.0, ctc_hypothesis="", posteriors=found)

    return make


@pytest.fixture
def fingerprint(ctc):
    return {"vocabulary": list(ctc.vocabulary), "blank_id": 0}


@pytest.fixture
def placing(fingerprint):
    def make(preselection=None, **options):
        retriever = ctc_retriever(fingerprint, BiasingOptions(**options), None)
        return PlacingBiaser(retriever, LetterTokenizer(), BiasingOptions(**options), preselection)

    return make


def test_biaser_places_spoken_names_and_puts_only_these_into_the_prompt(placing, encoding):
    biaser = placing(threshold=-4.0, max_phrases=3)
    context = ["walter", "rosalind", "gertrude", "yolanda", "rosalind"]
    placements, phrases = biaser(encoding("ask rosalynd and walter to come"), context)
    assert phrases == ("rosalind", "walter")
    assert [(p.start, p.stop) for p in placements] == [(4, 12), (17, 23)]
    assert placements[1].token_ids == tuple(map(ord, "walter"))
    assert biaser(encoding("turn off the lights in the kitchen"), context) == ([], ())
    assert biaser(encoding("ask rosalind"), []) == ([], ())


@pytest.mark.parametrize(
    ("reduction", "conf", "span"),
    [
        ("none", {}, (7, 19)),
        ("ctc_blank", {}, (4, 12)),  # 3 letters and a delimiter before, 4 letters of two frames each
        ("ctc_merge", {}, (4, 8)),
        ("stack", {"factor": 4}, (2, 5)),  # 8 to 19: the middle of frames 4 to 7 is before the name
    ],
)
def test_placements_are_the_frames_that_were_kept_of_the_phrase(placing, encoding, reduction, conf, span):
    """The spotter sees every encoder frame; what is replaced are the frames kept by each reduction."""
    frames = [*"ask", *"___", " ", *"aa_nn_nnaa", *"__", " ", *"now"]
    biaser = placing(threshold=-1.0)
    (placement,), phrases = biaser(encoding(frames, reduction, **conf), ["anna", "otto"])
    assert phrases == ("anna",) and (placement.start, placement.stop) == span


def test_a_phrase_of_which_no_frame_was_kept_goes_where_it_was(placing, encoding):
    biaser = placing(threshold=-1.0)
    (placement,), _ = biaser(encoding("go al", "stack", factor=16), ["al"])
    assert placement.start == placement.stop == 1


def test_threshold_goes_by_the_length_of_the_list(placing, encoding):
    """A list of two needs less certainty than a list of hundreds."""
    others = [f"{first}{second}ab" for first in "bcdfghjklm" for second in "aeiou"]
    biaser = placing(threshold={2: -8.0, 50: -0.5})
    heard = encoding("ask rosalynd to come")
    assert biaser(heard, ["rosalind", "otto"])[1] == ("rosalind",)
    assert biaser(heard, ["rosalind", *others])[1] == ()


def test_repetitions_do_not_lengthen_a_list(placing, encoding):
    biaser = placing(threshold={2: -8.0, 50: -0.5})
    assert biaser(encoding("ask rosalynd to come"), ["rosalind"] * 60)[1] == ("rosalind",)


def test_text_has_the_phrases_in_place(placing, encoding):
    heard = encoding("ask rosalynd to come")
    assert placing(threshold=-4.0).text(heard, ["rosalind"]) == ("ask rosalind to come", ("rosalind",))
    assert placing(threshold=-4.0).text(heard, []) == ("ask rosalynd to come", ())


def test_retrieving_puts_the_best_into_the_prompt_whatever_their_score(fingerprint, encoding):
    ranking = CTCPreselection(ctc_retriever(fingerprint, BiasingOptions(), None))
    heard = encoding("ask rosalynd to come")
    assert RetrievingBiaser(ranking, 1)(heard, ["walter", "rosalind", "otto"]) == ([], ("rosalind",))
    assert len(RetrievingBiaser(ranking, 10)(heard, ["walter", "rosalind", "otto"])[1]) == 3
    assert RetrievingBiaser(ranking, 1)(heard, ()) == ([], ())
    assert RetrievingBiaser(ranking, 1).text(heard, ["otto", "rosalind"]) == ("", ("rosalind",))


def test_background_of_tuned_options_is_used_and_checked(tmp_path, ctc, fingerprint):
    save_background(tmp_path / "b.npz", [ctc.posteriors(ctc.frames("do we go"))])
    save_options(tmp_path / "b.yaml", BiasingOptions(background="b.npz"))
    options = read_options(tmp_path / "b.yaml", threshold=-3.0)
    assert (options.threshold, options.background) == (-3.0, "b.npz")
    posteriors, phrases = ctc.posteriors(ctc.frames("call otto")), ["otto", "emma"]
    plain = ctc_retriever(fingerprint, BiasingOptions(), tmp_path).retrieve(posteriors, phrases, 1)
    tuned = ctc_retriever(fingerprint, options, tmp_path).retrieve(posteriors, phrases, 1)
    assert plain[0].score == pytest.approx(0, abs=1e-6) and tuned[0].score > 1
    other = {"vocabulary": [*ctc.vocabulary, "more"], "blank_id": 0}
    with pytest.raises(UserError, match="another vocabulary"):
        ctc_retriever(other, options, tmp_path)
    (tmp_path / "b.npz").write_bytes(b"damaged")
    with pytest.raises(UserError, match="b.npz: no readable background"):
        ctc_retriever(fingerprint, options, tmp_path)


@pytest.fixture
def embeddings():
    """An EmbeddingRetriever whose adapter gives the frames back, and a way to make encodings of letters."""
    torch.manual_seed(0)
    table = torch.randn(128, 32) + 1.0
    adapter = lambda frames, lengths, table: SpeechEmbeddings(frames, lengths)  # noqa: E731
    llm = SimpleNamespace(embedding_table=lambda: table, tokenizer=LetterTokenizer())
    say = lambda text: SimpleNamespace(frames=table[[ord(c) for c in text]].numpy())  # noqa: E731
    return EmbeddingRetriever(SimpleNamespace(llm=llm, adapter=adapter)), say


def test_embedding_retrieval_finds_phrases_whose_tokens_are_in_the_speech(embeddings):
    retriever, say = embeddings
    phrases = ["walter", "rosalind", "gertrude", "rosalind", ""]
    assert retriever.retrieve(say("ask rosalind too"), phrases, 1) == ["rosalind"]
    assert retriever.retrieve(say("tell walter"), phrases, 2)[0] == "walter"
    assert sorted(retriever.retrieve(say("x"), phrases, 10)) == ["gertrude", "rosalind", "walter"]
    silence = SimpleNamespace(frames=np.zeros((0, 32), dtype=np.float32))
    assert retriever.retrieve(silence, phrases, 3) == []


def test_embeddings_choose_the_candidates_and_ctc_places_them(placing, encoding):
    """With a preselection only its phrases can be placed."""
    only = SimpleNamespace(retrieve=lambda encoding, phrases, count: ["walter"])
    heard = encoding("ask rosalind and walter")
    assert placing(only, threshold=-4.0)(heard, ["rosalind", "walter"])[1] == ("walter",)
