"""Batched search for the best answer: greedy here, beam search in beam.py."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

import torch

from slm_espnet.decoding.beam import beam_search
from slm_espnet.decoding.bounds import find_loop
from slm_espnet.decoding.types import DecodingOptions, SearchResult
from slm_espnet.llm.base import AbsLLM


@torch.no_grad()
def search(
    llm: AbsLLM, inputs: torch.Tensor, input_lengths: torch.Tensor, bounds: Sequence[int], options: DecodingOptions
) -> list[SearchResult]:
    """Best answer for each input of a batch; what else is in the batch has no influence.

    Args:
        llm: the language model.
        inputs: (B, S, E) right-padded; input_lengths: (B,).
        bounds: most target tokens of each answer, EOS counted.
        options: beam size, length penalty and loops.
    """
    if options.beam_size == 1:
        return greedy_search(llm, inputs, input_lengths, bounds, options)
    found = beam_search(llm, inputs, input_lengths, bounds, options.beam_size, options.length_penalty)
    return [_cut_loop(result, options) for result in found]


def greedy_search(
    llm: AbsLLM, inputs: torch.Tensor, input_lengths: torch.Tensor, bounds: Sequence[int], options: DecodingOptions
) -> list[SearchResult]:
    """The likeliest token at every step. Arguments as `search`."""
    steps = greedy_steps(llm, inputs, input_lengths, bounds, options)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@torch.no_grad()
def greedy_steps(
    llm: AbsLLM, inputs: torch.Tensor, input_lengths: torch.Tensor, bounds: Sequence[int], options: DecodingOptions
) -> Generator[list[list[int]], None, list[SearchResult]]:
    """The same step by step: yields the tokens of every input so far (the same lists, which grow), returns the results.

    Rows that are finished leave the batch.
    """
    state, logits = llm.start(inputs, input_lengths)
    ids: list[list[int]] = [[] for _ in bounds]
    log_probs: list[list[float]] = [[] for _ in bounds]
    results: dict[int, SearchResult] = {}
    live = list(range(len(bounds)))  # input of each row of the batch
    while True:
        tokens = logits.argmax(-1)
        chosen = logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
        going_on = []
        for row, (item, token, log_prob) in enumerate(zip(live, tokens.tolist(), chosen.tolist(), strict=True)):
            log_probs[item].append(log_prob)
            if token not in llm.stop_ids:
                ids[item].append(token)
            result = _finished(ids[item], log_probs[item], token in llm.stop_ids, bounds[item], options)
            if result is None:
                going_on.append(row)
            else:
                results[item] = result
        yield ids
        if not going_on:
            return [results[item] for item in range(len(bounds))]
        if len(going_on) < len(live):
            index = torch.tensor(going_on, device=tokens.device)
            state.reorder(index)
            tokens = tokens[index]
            live = [live[row] for row in going_on]
        logits = llm.step(state, tokens[:, None])[:, 0]


def _finished(
    ids: list[int], log_probs: list[float], stopped: bool, bound: int, options: DecodingOptions
) -> SearchResult | None:
    """The result of a greedy row that ended with its last token; None while it goes on."""
    if stopped:
        return SearchResult(tuple(ids), tuple(log_probs), sum(log_probs))
    result = SearchResult(tuple(ids), tuple(log_probs), sum(log_probs), truncated=True)
    cut = _cut_loop(result, options)
    return cut if cut.looped or len(ids) >= bound else None


def _cut_loop(result: SearchResult, options: DecodingOptions) -> SearchResult:
    """Cut a loop at the end of an answer that did not end by itself."""
    keep = find_loop(result.token_ids, options.loop_ngram, options.loop_repeats) if result.truncated else None
    if keep is None:
        return result
    log_probs = result.token_log_probs[:keep]
    score = sum(log_probs) / keep**options.length_penalty if options.beam_size > 1 else sum(log_probs)
    return replace(
        result,
        token_ids=result.token_ids[:keep],
        token_log_probs=log_probs,
        score=score,
        truncated=False,
        looped=True,
    )
