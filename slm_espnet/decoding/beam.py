"""Beam search over a batch of inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from slm_espnet.decoding.drafting import check_finite
from slm_espnet.decoding.types import SearchResult
from slm_espnet.llm.base import AbsLLM

NEVER = -1.0e9  # log-probability of a beam that does not exist yet


class Beams:
    """The live beams of the inputs that are still searched, and the best finished answer of every input."""

    def __init__(self, count: int, size: int, bounds: Sequence[int], length_penalty: float, device: torch.device):
        self.size, self.length_penalty = size, length_penalty
        self.items = torch.arange(count, device=device)  # (U,) the input of each group of beams
        self.bounds = torch.tensor(bounds, device=device)  # (U,)
        self.scores = torch.full((count, size), NEVER, device=device)  # (U, size) log-probability of each beam
        self.scores[:, 0] = 0.0
        self.ids = torch.zeros(count, size, 0, dtype=torch.int64, device=device)  # (U, size, length)
        self.log_probs = torch.zeros(count, size, 0, device=device)  # (U, size, length)
        self.best_score = torch.full((count,), -torch.inf, device=device)  # (U,) of the finished answer below
        self.best: dict[int, SearchResult] = {}

    @property
    def length(self) -> int:
        """Tokens of every live beam."""
        return self.ids.size(2)

    def advance(self, log_probs: torch.Tensor, stop_ids: torch.Tensor) -> torch.Tensor:
        """Extend by one token.

        Args:
            log_probs: (U * size, V) of the next token.
            stop_ids: tokens that end an answer.

        Returns:
            (U', size) row of `log_probs` that each live beam of the inputs that go on continues.
        """
        groups, vocabulary = len(self.items), log_probs.size(1)
        step = log_probs.view(groups, self.size, vocabulary)
        # as many as can end at once, and as many again that go on
        count = min((1 + len(stop_ids)) * self.size, self.size * vocabulary)
        totals, flat = (self.scores[..., None] + step).flatten(1).topk(count)
        check_finite(totals[:, 0])  # NaN counts as the largest
        parents, tokens = flat // vocabulary, flat % vocabulary
        ids = torch.cat([_pick(self.ids, parents), tokens[..., None]], dim=2)
        each = torch.cat([_pick(self.log_probs, parents), step.flatten(1).gather(1, flat)[..., None]], dim=2)
        stopped = torch.isin(tokens, stop_ids)
        at_bound = (self.bounds <= ids.size(2))[:, None]
        self._finish(totals, ids, each, stopped, at_bound)

        kept_totals, kept = totals.masked_fill(stopped, 2 * NEVER).topk(self.size)
        self.scores, self.ids, self.log_probs = kept_totals, _pick(ids, kept), _pick(each, kept)
        rows = parents.gather(1, kept) + self.size * torch.arange(groups, device=parents.device)[:, None]
        going_on = (~at_bound[:, 0] & self._may_win()).nonzero()[:, 0]
        for name in ("items", "bounds", "scores", "ids", "log_probs", "best_score"):
            setattr(self, name, getattr(self, name)[going_on])
        return rows[going_on]

    def _finish(
        self,
        totals: torch.Tensor,
        ids: torch.Tensor,
        each: torch.Tensor,
        stopped: torch.Tensor,
        at_bound: torch.Tensor,
    ) -> None:
        """Keep the best of the answers that end with this token, or with the bound; only the first `size` count."""
        ends = stopped | at_bound
        ends[:, self.size :] = False
        scores = (totals / ids.size(2) ** self.length_penalty).masked_fill(~ends, -torch.inf)
        best, place = scores.max(1)
        for group in (best > self.best_score).nonzero()[:, 0].tolist():
            at = int(place[group])
            stop = bool(stopped[group, at])
            tokens = ids[group, at].tolist()
            self.best[int(self.items[group])] = SearchResult(
                tuple(tokens[:-1] if stop else tokens), tuple(each[group, at].tolist()), float(best[group]), not stop,
                end_id=tokens[-1] if stop else None,
            )  # fmt: skip
        self.best_score = torch.maximum(self.best_score, best)

    def _may_win(self) -> torch.Tensor:
        """(U,) whether a live beam can still beat the finished answer: a log-probability never grows."""
        length = self.bounds.float() if self.length_penalty > 0 else torch.full_like(self.best_score, self.length + 1)
        return self.scores[:, 0] / length**self.length_penalty > self.best_score


def _pick(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """values (U, size, L), index (U, n) → (U, n, L)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.size(2)))


@torch.no_grad()
def beam_search(
    llm: AbsLLM,
    inputs: torch.Tensor,
    input_lengths: torch.Tensor,
    bounds: Sequence[int],
    size: int,
    length_penalty: float = 0.0,
) -> list[SearchResult]:
    """Best answer by beam search, ranked by log-probability / length ** length_penalty (EOS counted).

    An input leaves the batch when no live beam of its own can win any more, so the result is that of a search which
    goes on to the bound.

    Args:
        llm: the language model.
        inputs: (B, S, E) right-padded; input_lengths: (B,).
        bounds: most target tokens of each answer, EOS counted; an answer that reaches it without EOS competes too.
        size: beams per input.
        length_penalty: above 0 long answers gain.
    """
    state, logits = llm.start(inputs, input_lengths)
    stop_ids = torch.tensor(sorted(llm.stop_ids), device=logits.device)
    beams = Beams(len(inputs), size, bounds, length_penalty, logits.device)
    state.reorder(torch.arange(len(inputs), device=logits.device).repeat_interleave(size))
    log_probs = logits.log_softmax(-1).repeat_interleave(size, dim=0)
    while True:
        rows = beams.advance(log_probs, stop_ids).flatten()
        if not len(rows):
            return [beams.best[item] for item in range(len(inputs))]
        state.reorder(rows)
        log_probs = llm.step(state, beams.ids[:, :, -1].reshape(-1, 1))[:, 0].log_softmax(-1)
