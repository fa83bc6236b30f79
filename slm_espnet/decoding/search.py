"""Batched search for the best answer: greedy here, beam search in beam.py."""

from __future__ import annotations

from collections.abc import Generator, Sequence, Set
from dataclasses import replace

import torch

from slm_espnet.decoding.beam import beam_search
from slm_espnet.decoding.bounds import find_loop
from slm_espnet.decoding.drafting import Draft, check_finite, choose, pad_proposals, worthwhile_width
from slm_espnet.decoding.types import DecodingOptions, SearchResult
from slm_espnet.llm.base import AbsLLM

MOST_LOGITS = 1 << 27  # numbers of a pass that checks drafts, 512 MB; longer drafts are checked piece by piece


@torch.no_grad()
def search(
    llm: AbsLLM,
    inputs: torch.Tensor,
    input_lengths: torch.Tensor,
    bounds: Sequence[int],
    options: DecodingOptions,
    drafts: Sequence[Sequence[int]] | None = None,
) -> list[SearchResult]:
    """Best answer for each input of a batch; what else is in the batch has no influence.

    Args:
        llm: the language model.
        inputs: (B, S, E) right-padded; input_lengths: (B,).
        bounds: most target tokens of each answer, EOS counted.
        options: beam size, length penalty and loops.
        drafts: what each answer probably is, without EOS; used by greedy search alone. None, or empty: no draft.
    """
    if options.beam_size == 1:
        return greedy_search(llm, inputs, input_lengths, bounds, options, drafts)
    found = beam_search(llm, inputs, input_lengths, bounds, options.beam_size, options.length_penalty)
    return [_cut_loop(result, options) for result in found]


class _Answer:
    """The answer to one input while it grows."""

    def __init__(self, bound: int, draft: Sequence[int]):
        self.bound, self.draft = bound, Draft(draft)
        self.ids: list[int] = []
        self.log_probs: list[float] = []
        self.proposed: list[int] = []  # of the draft, in the pass that is under way
        self.passes = self.tried = self.accepted = 0
        self.result: SearchResult | None = None

    def proposal(self, most: int) -> list[int]:
        """What of the draft may go into the next pass; the LLM's own token must still fit behind it."""
        return self.draft.proposal(min(most, self.bound - len(self.ids) - 1))

    def take(
        self, tokens: Sequence[int], log_probs: Sequence[float], stop_ids: Set[int], options: DecodingOptions
    ) -> int:
        """Append what the LLM chose, as far as it chose the draft, and its own token behind; how many were accepted."""
        self.passes += 1
        self.tried += len(self.proposed)
        for place, (token, log_prob) in enumerate(zip(tokens, log_probs, strict=True)):
            self.log_probs.append(log_prob)
            if token not in stop_ids:
                self.ids.append(token)
            self.draft.advance(token)
            kept = place < len(self.proposed) and self.proposed[place] == token
            self.accepted += kept
            end = token if token in stop_ids else None
            found = _finished(self.ids, self.log_probs, end, self.bound, options)
            if found is not None:
                counts = {"passes": self.passes, "draft_tokens": self.tried, "draft_accepted": self.accepted}
                self.result = replace(found, **counts)
                return place
            if not kept:
                return place
        raise AssertionError("a pass has one more place than its proposal")


def _propose(answers: Sequence[_Answer], most: int, device: torch.device) -> torch.Tensor:
    """(B, k) what the next pass checks, as wide as it is worth while."""
    proposals = [answer.proposal(most) for answer in answers]
    width = worthwhile_width([len(proposal) for proposal in proposals])
    for answer, proposal in zip(answers, proposals, strict=True):
        answer.proposed = proposal[:width]
    return pad_proposals([answer.proposed for answer in answers], device)


def greedy_search(
    llm: AbsLLM,
    inputs: torch.Tensor,
    input_lengths: torch.Tensor,
    bounds: Sequence[int],
    options: DecodingOptions,
    drafts: Sequence[Sequence[int]] | None = None,
) -> list[SearchResult]:
    """The likeliest token at every step, with drafts several in one pass. Arguments as `search`.

    Drafts change nothing but speed, unless the options accept what is not the likeliest.
    """
    steps = greedy_steps(llm, inputs, input_lengths, bounds, options, drafts)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@torch.no_grad()
def greedy_steps(
    llm: AbsLLM,
    inputs: torch.Tensor,
    input_lengths: torch.Tensor,
    bounds: Sequence[int],
    options: DecodingOptions,
    drafts: Sequence[Sequence[int]] | None = None,
) -> Generator[list[list[int]], None, list[SearchResult]]:
    """The same pass by pass: yields the tokens of every input so far (the same lists, which grow), returns the results.

    A pass appends one token, and with a draft those of it that were accepted. Rows that are finished leave the batch.
    """
    drafts = [()] * len(bounds) if drafts is None else drafts
    answers = [_Answer(bound, draft) for bound, draft in zip(bounds, drafts, strict=True)]
    ids = [answer.ids for answer in answers]
    live, drafting = answers, any(map(len, drafts))
    most = max(1, MOST_LOGITS // (len(bounds) * llm.vocab_size) - 1) if drafting else 0
    ratio, top_k = (options.ctc_draft_ratio, options.ctc_draft_top_k) if options.ctc_draft == "accept" else (1.0, 1)
    if drafting:
        proposed = _propose(live, most, inputs.device)
        state, logits = llm.begin(inputs, input_lengths, proposed.clamp(min=0))
        if not state.can_crop():
            return (yield from greedy_steps(llm, inputs, input_lengths, bounds, options))
    else:
        state, logits = llm.start(inputs, input_lengths)
        logits, proposed = logits[:, None], torch.empty(len(bounds), 0, dtype=torch.int64, device=inputs.device)
    while True:
        tokens, log_probs = choose(logits, proposed, ratio, top_k)
        check_finite(log_probs)
        rows = zip(live, tokens.tolist(), log_probs.tolist(), strict=True)
        accepted = [answer.take(chosen, values, llm.stop_ids, options) for answer, chosen, values in rows]
        going_on = [row for row, answer in enumerate(live) if answer.result is None]
        yield ids
        if not going_on:
            return [answer.result for answer in answers]
        kept = torch.tensor([accepted[row] for row in going_on], device=tokens.device)
        if len(going_on) < len(live):
            index = torch.tensor(going_on, device=tokens.device)
            state.reorder(index)
            tokens = tokens[index]
            live = [live[row] for row in going_on]
        if drafting:
            state.crop(proposed.size(1) - kept)
        last = tokens.gather(1, kept[:, None])
        proposed = _propose(live, most, tokens.device)
        logits = llm.step(state, torch.cat([last, proposed.clamp(min=0)], dim=1))


def _finished(
    ids: list[int], log_probs: list[float], end: int | None, bound: int, options: DecodingOptions
) -> SearchResult | None:
    """The result of a greedy row that ended with its last token, by `end` where there is one; None while it goes on."""
    if end is not None:
        return SearchResult(tuple(ids), tuple(log_probs), sum(log_probs), end_id=end)
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
