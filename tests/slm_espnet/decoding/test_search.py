"""Greedy and beam search: token for token what transformers' generate gives, whatever else is in the batch."""

import pytest
import torch

from slm_espnet.decoding.search import search
from slm_espnet.decoding.types import DecodingOptions

COUNT = 12  # inputs
BOUND = 20
NO_LOOPS = dict(loop_repeats=0)


@torch.no_grad()
def generate(model, inputs, length, bound, **settings):
    """transformers' answer for one input: ids without EOS, and whether EOS was reached."""
    output = model.generate(
        inputs_embeds=inputs[:length][None],
        attention_mask=torch.ones(1, int(length), dtype=torch.int64),
        max_new_tokens=bound,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    ids = output.sequences[0].tolist()
    if model.config.is_encoder_decoder:
        ids = ids[1:]
    eos = model.config.eos_token_id
    return (ids[: ids.index(eos)], True, output) if eos in ids else (ids, False, output)


def test_greedy_is_that_of_transformers(pair, inputs):
    embeddings, lengths = inputs
    found = search(pair[0], embeddings, lengths, [BOUND] * COUNT, DecodingOptions(**NO_LOOPS))
    ended = 0
    for row, result in enumerate(found):
        ids, reached, _ = generate(pair[1], embeddings[row], lengths[row], BOUND, num_beams=1)
        assert list(result.token_ids) == ids and result.truncated is not reached
        assert len(result.token_log_probs) == len(ids) + reached
        assert result.score == pytest.approx(sum(result.token_log_probs))
        ended += reached
    assert 2 <= ended <= COUNT - 2  # both kinds of ending are covered


@pytest.mark.parametrize(("size", "penalty"), [(4, 0.0), (3, 1.0), (2, -0.5)])
def test_beam_search_is_that_of_transformers(pair, inputs, size, penalty):
    options = DecodingOptions(beam_size=size, length_penalty=penalty, **NO_LOOPS)
    embeddings, lengths = inputs
    settings = dict(num_beams=size, length_penalty=penalty, early_stopping="never")
    found = search(pair[0], embeddings, lengths, [BOUND] * COUNT, options)
    ended = 0
    for row, result in enumerate(found):
        ids, reached, output = generate(pair[1], embeddings[row], lengths[row], BOUND, **settings)
        assert list(result.token_ids) == ids and result.truncated is not reached
        assert result.score == pytest.approx(float(output.sequences_scores[0]), rel=1e-5, abs=1e-4)  # float32
        assert result.score == pytest.approx(
            sum(result.token_log_probs) / len(result.token_log_probs) ** penalty, abs=1e-4
        )
        ended += reached
    assert ended >= 2
    greedy = search(pair[0], embeddings, lengths, [BOUND] * COUNT, DecodingOptions(**NO_LOOPS))
    assert [r.token_ids for r in greedy] != [r.token_ids for r in found]


@pytest.mark.parametrize("size", [1, 3])
def test_alone_in_a_batch_and_shuffled_are_the_same(pair, inputs, size):
    llm, (embeddings, lengths) = pair[0], inputs
    options = DecodingOptions(beam_size=size, length_penalty=0.7, **NO_LOOPS)
    bounds = [5 + row for row in range(COUNT)]
    together = search(llm, embeddings, lengths, bounds, options)
    alone = [
        search(llm, embeddings[row : row + 1, :length], lengths[row : row + 1], [bounds[row]], options)[0]
        for row, length in enumerate(lengths.tolist())
    ]
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    shuffled = search(llm, embeddings[order], lengths[order], [bounds[i] for i in order], options)
    assert [r.token_ids for r in together] == [r.token_ids for r in alone]
    assert [together[i].token_ids for i in order] == [r.token_ids for r in shuffled]
    assert [r.truncated for r in together] == [r.truncated for r in alone]
    assert all(len(r.token_log_probs) <= bound for r, bound in zip(together, bounds, strict=True))


def test_several_stop_tokens(pair, inputs):
    llm, model = pair
    embeddings, lengths = inputs
    plain = search(llm, embeddings, lengths, [BOUND] * COUNT, DecodingOptions(**NO_LOOPS))
    other = next(result.token_ids[4] for result in plain if len(result.token_ids) > 8)
    settings = model.generation_config.eos_token_id
    frozen = llm.stop_ids
    model.generation_config.eos_token_id = [model.config.eos_token_id, other]
    llm.stop_ids = frozen | {other}
    try:
        for size in (1, 3):
            options = DecodingOptions(beam_size=size, **NO_LOOPS)
            for row, result in enumerate(search(llm, embeddings, lengths, [BOUND] * COUNT, options)):
                ids, _, _ = generate(model, embeddings[row], lengths[row], BOUND, num_beams=size, length_penalty=0.0)
                cut = ids.index(other) if other in ids else len(ids)
                assert list(result.token_ids) == ids[:cut]
    finally:
        model.generation_config.eos_token_id, llm.stop_ids = settings, frozen


class Parrot:
    """Says a fixed list of tokens, then repeats a phrase for ever. Stands in for an LLM of 20 tokens, EOS 0."""

    stop_ids = frozenset({0})

    def __init__(self, said, phrase):
        self.said = [*said, *phrase * 100]
        self.steps = 0

    def _logits(self, rows):
        logits = torch.zeros(rows, 20)
        logits[:, self.said[self.steps]] = 10.0
        self.steps += 1
        return logits

    def start(self, inputs, _lengths):
        return self, self._logits(len(inputs))

    def step(self, _state, tokens):
        return self._logits(len(tokens))[:, None]

    def reorder(self, _index):
        """Nothing depends on the row."""


@pytest.mark.parametrize("size", [1, 2])
def test_a_loop_ends_the_answer_and_is_cut_to_one_copy(size):
    parrot = Parrot([5, 6, 7], [8, 9, 10])
    options = DecodingOptions(beam_size=size)
    (result,) = search(parrot, torch.zeros(1, 2, 4), torch.tensor([2]), [60], options)
    assert result.token_ids == (5, 6, 7, 8, 9, 10) and result.looped and not result.truncated
    assert len(result.token_log_probs) == 6 and result.score == pytest.approx(sum(result.token_log_probs))
    if size == 1:
        assert parrot.steps < 22  # found while searching, not at the bound


def test_repetition_that_ends_by_itself_is_no_loop():
    parrot = Parrot([5] * 15 + [0], [1])
    (result,) = search(parrot, torch.zeros(1, 2, 4), torch.tensor([2]), [60], DecodingOptions())
    assert result.token_ids == (5,) * 15 and not result.looped and not result.truncated
