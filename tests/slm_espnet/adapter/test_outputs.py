"""Collapsing and placing, checked against a slow frame-by-frame account of what should come out."""

import pytest
import torch

from slm_espnet.adapter.base import Placement
from slm_espnet.adapter.embedding_mixture import EmbeddingMixtureOutput
from slm_espnet.adapter.linear import LinearOutput

VOCAB, WIDTH, HIDDEN = 7, 5, 6


def expected_sequence(logits, table, collapse, placements):
    """One utterance, frame by frame: the embeddings in order."""
    spans = {span.start: span for span in placements}
    runs, inside, previous, t = [], 0, 0, 0
    while t <= len(logits):
        if t in spans and t >= inside:
            runs.extend(("token", i) for i in spans[t].token_ids)
            inside, previous = max(inside, spans[t].stop), 0
        if t == len(logits):
            break
        best = int(logits[t].argmax())
        if t < inside:
            previous = 0
        elif not collapse:
            runs.append(("frames", [t]))
        else:
            if best > 0 and best == previous:
                runs[-1][1].append(t)
            elif best > 0:
                runs.append(("frames", [t]))
            previous = best
        t += 1
    if not runs:
        margin = logits[:, 1:].max(-1).values - logits[:, 0]
        runs = [("frames", [int(margin.argmax())])]
    rows = [
        table[value] if kind == "token" else logits[value][:, 1:].softmax(-1).mean(0) @ table for kind, value in runs
    ]
    return torch.stack(rows)


@pytest.fixture
def batch():
    torch.manual_seed(3)
    lengths = torch.tensor([12, 1, 30, 7, 19])
    return torch.randn(5, 30, HIDDEN) * 2, lengths, torch.randn(VOCAB, WIDTH)


PLACEMENTS = [
    [Placement(2, 5, (1, 2, 3)), Placement(5, 5, (4,)), Placement(9, 12, (6, 6))],
    [],
    [Placement(0, 30, (5,))],
    [Placement(0, 0, (2, 1))],
    [Placement(18, 19, (3,))],
]


@pytest.mark.parametrize("collapse", [True, False])
@pytest.mark.parametrize("placements", [None, PLACEMENTS])
def test_mixture_is_what_a_frame_by_frame_account_gives(batch, collapse, placements):
    hidden, lengths, table = batch
    output = EmbeddingMixtureOutput(HIDDEN, WIDTH, VOCAB, 1.0, collapse=collapse)
    with torch.no_grad():
        output.logits.bias[0] += 1.0  # enough blanks to make groups of all kinds
    result = output(hidden, lengths, table, placements)
    for row, length in enumerate(lengths.tolist()):
        spans = [] if placements is None else placements[row]
        expected = expected_sequence(output.logits(hidden[row, :length]), table, collapse, spans)
        assert result.lengths[row] == len(expected)
        torch.testing.assert_close(result.embeddings[row, : len(expected)], expected)
        assert not result.embeddings[row, len(expected) :].any()


def test_silence_keeps_the_least_blank_frame(batch):
    hidden, lengths, table = batch
    output = EmbeddingMixtureOutput(HIDDEN, WIDTH, VOCAB, 1.0)
    with torch.no_grad():
        output.logits.bias[0] += 100.0
    result = output(hidden, lengths, table)
    assert result.lengths.tolist() == [1] * 5
    expected = expected_sequence(output.logits(hidden[2]), table, True, [])
    torch.testing.assert_close(result.embeddings[2, :1], expected)


def test_ctc_log_probabilities_cover_blank_and_tokens_and_train_the_mixture(batch):
    hidden, lengths, table = batch
    output = EmbeddingMixtureOutput(HIDDEN, WIDTH, VOCAB, 1.0)
    result = output(hidden, lengths, table)
    assert result.ctc_log_probs.shape == (5, 30, 1 + VOCAB)
    torch.testing.assert_close(result.ctc_log_probs.exp().sum(-1), torch.ones(5, 30))
    result.embeddings.pow(2).sum().backward()
    assert output.logits.weight.grad[1:].abs().sum() > 0


def test_padding_and_neighbours_do_not_change_an_utterance(batch):
    hidden, lengths, table = batch
    for output in (EmbeddingMixtureOutput(HIDDEN, WIDTH, VOCAB, 1.0), LinearOutput(HIDDEN, WIDTH, VOCAB, 1.0)):
        together = output(hidden, lengths, table, PLACEMENTS)
        alone = output(hidden[3:4, :7], lengths[3:4], table, PLACEMENTS[3:4])
        size = int(alone.lengths[0])
        assert together.lengths[3] == size
        torch.testing.assert_close(together.embeddings[3, :size], alone.embeddings[0])


def test_linear_starts_at_the_size_of_token_embeddings_and_places_phrases(batch):
    hidden, lengths, table = batch
    output = LinearOutput(HIDDEN, WIDTH, VOCAB, embedding_std=0.25, ctc_head=True)
    plain = output(hidden, lengths, table)
    assert plain.embeddings[2].std().item() == pytest.approx(0.25, rel=0.05)
    assert plain.ctc_log_probs.shape == (5, 30, 1 + VOCAB)
    placed = output(hidden, lengths, table, PLACEMENTS)
    first = plain.embeddings[0]
    expected = torch.cat((first[:2], table[[1, 2, 3]], table[[4]], first[5:9], table[[6, 6]]))
    assert placed.lengths.tolist() == [12, 1, 1, 9, 19]
    torch.testing.assert_close(placed.embeddings[0, :12], expected)


@pytest.mark.parametrize(
    "spans", [[Placement(3, 6, (1,)), Placement(5, 8, (2,))], [Placement(10, 13, (1,))], [Placement(1, 2, ())]]
)
def test_impossible_placements_are_refused(batch, spans):
    hidden, lengths, table = batch
    with pytest.raises(ValueError, match="placement"):
        LinearOutput(HIDDEN, WIDTH, VOCAB, 1.0)(hidden, lengths, table, [spans, [], [], [], []])
