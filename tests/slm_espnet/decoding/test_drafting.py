"""Drafts: greedy search gives the same answers with them in fewer passes; relaxed it keeps what is nearly as likely."""

import pytest
import torch

from slm_espnet.decoding.drafting import NOTHING, Draft, choose, worthwhile_width
from slm_espnet.decoding.search import search
from slm_espnet.decoding.types import DecodingOptions

COUNT, BOUND = 12, 20
OPTIONS = DecodingOptions(loop_repeats=0)


@pytest.fixture(scope="module")
def plain(pair, inputs):
    """Greedy answers without drafts."""
    return search(pair[0], *inputs, [BOUND] * COUNT, OPTIONS)


def drafted(pair, inputs, drafts, bounds=None, options=OPTIONS):
    return search(pair[0], *inputs, bounds or [BOUND] * COUNT, options, drafts)


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert (one.token_ids, one.truncated, one.looped) == (other.token_ids, other.truncated, other.looped)
        assert one.token_log_probs == pytest.approx(other.token_log_probs, abs=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-3)


def test_a_right_draft_is_one_pass(pair, inputs, plain, monkeypatch):
    monkeypatch.setattr("slm_espnet.decoding.drafting.LEAST_FILLED", 0.0)
    found = drafted(pair, inputs, [result.token_ids for result in plain])
    same(found, plain)
    for result in found:
        # the last token before the bound is the LLM's own
        assert result.passes == 1 and result.draft_accepted == result.draft_tokens
        assert result.draft_accepted == len(result.token_ids) - result.truncated


def test_wrong_drafts_of_all_kinds_change_nothing(pair, inputs, plain):
    """Words replaced, left out and put in, foreign drafts, endless ones and none, side by side in one batch."""
    generator = torch.Generator().manual_seed(5)
    drafts = []
    for row, result in enumerate(plain):
        ids = list(result.token_ids)
        other = torch.randint(3, pair[0].vocab_size, (30,), generator=generator).tolist()
        spoiled = [
            [*ids[:4], other[0], *ids[5:]], [*ids[:3], *ids[5:]], [*ids[:3], *other[:2], *ids[3:]], other,
            [*ids, *other], [], ids[:2], [*other[:3], *ids], [*ids[:2], other[0], *ids[3:9], other[1], *ids[10:]],
        ]  # fmt: skip
        drafts.append(spoiled[row % len(spoiled)])
    found = drafted(pair, inputs, drafts)
    same(found, plain)
    assert any(0 < result.draft_accepted < result.draft_tokens for result in found)
    assert all(result.draft_accepted <= len(result.token_ids) for result in found)
    alone = [
        search(pair[0], inputs[0][row : row + 1], inputs[1][row : row + 1], [BOUND], OPTIONS, [drafts[row]])[0]
        for row in range(0, COUNT, 4)
    ]
    same(alone, found[::4])


def test_after_a_wrong_word_the_draft_goes_on(pair, inputs, plain, monkeypatch):
    """A substitution, a word too much, a word too few: a few passes each instead of one for every token left."""
    monkeypatch.setattr("slm_espnet.decoding.drafting.LEAST_FILLED", 0.0)
    long = [row for row, result in enumerate(plain) if len(result.token_ids) >= 12]
    assert len(long) >= 3
    for spoil in (lambda i: [*i[:3], 3, *i[4:]], lambda i: [*i[:3], 3, *i[3:]], lambda i: [*i[:3], *i[4:]]):
        drafts = [spoil(list(result.token_ids)) if row in long else () for row, result in enumerate(plain)]
        found = drafted(pair, inputs, drafts)
        same(found, plain)
        assert all(found[row].passes <= 5 for row in long)


def test_bounds_and_loops_end_a_drafted_answer_too(pair, inputs, plain):
    bounds = [1 + row for row in range(COUNT)]
    drafts = [result.token_ids for result in plain]
    expected = search(pair[0], *inputs, bounds, OPTIONS)
    same(drafted(pair, inputs, drafts, bounds), expected)
    assert any(result.truncated for result in expected)
    looping = DecodingOptions(loop_ngram=1, loop_repeats=2)  # any token twice in a row is a loop
    expected = search(pair[0], *inputs, [BOUND] * COUNT, looping)
    assert any(result.looped for result in expected)
    same(drafted(pair, inputs, drafts, options=looping), expected)


def test_long_drafts_are_checked_piece_by_piece(pair, inputs, plain, monkeypatch):
    monkeypatch.setattr("slm_espnet.decoding.search.MOST_LOGITS", 4 * COUNT * pair[0].vocab_size)
    widths, step = [], type(pair[0]).step

    def spy(self, state, tokens):
        widths.append(tokens.size(1))
        return step(self, state, tokens)

    monkeypatch.setattr(type(pair[0]), "step", spy)
    same(drafted(pair, inputs, [result.token_ids for result in plain]), plain)
    assert max(widths) == 4


def test_relaxed_acceptance_keeps_a_draft_that_is_nearly_as_likely(pair, inputs, plain):
    llm = pair[0]
    state, logits = llm.start(*inputs)
    second = logits.topk(2).indices[:, 1].tolist()
    relaxed = DecodingOptions(loop_repeats=0, ctc_draft="accept", ctc_draft_ratio=1e-9)
    found = drafted(pair, inputs, [[token] for token in second], options=relaxed)
    kept = [row for row, token in enumerate(second) if token not in llm.stop_ids]
    assert len(kept) >= 8 and all(found[row].token_ids[0] == second[row] for row in kept)
    strict = DecodingOptions(loop_repeats=0, ctc_draft="accept", ctc_draft_ratio=1.0)
    same(drafted(pair, inputs, [[token] for token in second], options=strict), plain)
    two_best = DecodingOptions(loop_repeats=0, ctc_draft="accept", ctc_draft_ratio=1.0, ctc_draft_top_k=2)
    found = drafted(pair, inputs, [[token] for token in second], options=two_best)
    assert all(found[row].token_ids[0] == second[row] for row in kept)


def test_choice_by_ratio_and_rank():
    logits = torch.tensor([[[0.5, 0.3, 0.15, 0.05]] * 3]).log()
    proposed = torch.tensor([[1, 2]])
    tokens, log_probs = choose(logits, proposed)
    assert tokens.tolist() == [[0, 0, 0]] and log_probs.exp()[0].tolist() == pytest.approx([0.5] * 3)
    tokens, log_probs = choose(logits, proposed, ratio=0.5)
    assert tokens.tolist() == [[1, 0, 0]] and log_probs.exp()[0].tolist() == pytest.approx([0.3, 0.5, 0.5])
    assert choose(logits, proposed, top_k=3)[0].tolist() == [[1, 2, 0]]
    assert choose(logits, torch.tensor([[1, NOTHING]]), ratio=1e-9)[0].tolist() == [[1, 0, 0]]


def test_a_model_whose_state_cannot_be_taken_back_decodes_without_drafts(pair, inputs, plain, monkeypatch):
    for state in ("hf_causal.CausalState", "hf_seq2seq.Seq2SeqState"):
        monkeypatch.setattr(f"slm_espnet.llm.{state}.can_crop", lambda _state: False)
    found = drafted(pair, inputs, [result.token_ids for result in plain])
    same(found, plain)
    assert all(result.draft_tokens == 0 for result in found)


def test_one_long_draft_does_not_make_all_rows_wide(pair, inputs, plain):
    """It waits: the other rows would be padded to its length. Every token is still accounted for."""
    assert worthwhile_width([8]) == 8 and worthwhile_width([8, 8, 8, 1]) == 8 and worthwhile_width([0, 0]) == 0
    assert worthwhile_width([9, 1, 1, 0]) == 1 and worthwhile_width([9, 0, 0, 0]) == 0
    drafts = [result.token_ids if row == 0 else () for row, result in enumerate(plain)]
    found = drafted(pair, inputs, drafts)
    same(found, plain)
    assert found[0].draft_tokens == found[0].draft_accepted and all(r.draft_tokens == 0 for r in found[1:])


@pytest.mark.parametrize(
    ("draft", "said", "following"),
    [
        ("abcdef", "ab", "cdef"),
        ("abcdef", "axc", "def"),  # another token
        ("abcdef", "abxcd", "ef"),  # one too many
        ("abcdef", "abd", "ef"),  # one too few
        ("abcdef", "xyabc", "def"),
        ("abab cd", "abab c", "d"),  # what repeats does not lead back
        ("abcdef", "abcdef", ""),
        ("abcdef", "abcdefgh", ""),
        ("", "abc", ""),
    ],
)
def test_where_a_draft_goes_on(draft, said, following):
    follower = Draft([ord(char) for char in draft])
    for char in said:
        follower.advance(ord(char))
    assert "".join(map(chr, follower.proposal(99))) == following
