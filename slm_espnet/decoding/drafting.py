"""Drafts: what an answer probably is (the CTC hypothesis), followed token by token, and found again after a mismatch.

The LLM reads a draft in one pass and says at each token what it would have written itself. Tokens up to the first one
that it would not have written are its answer, and its own token comes behind them. From there the draft goes on where
the answer so far fits it best (least edit distance), so that one wrong word does not cost what follows it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from slm_espnet.errors import UserError

LEAST_FILLED = 0.7  # share of a pass's places for drafts that must hold some, measured on a CPU with the mini pair
NOTHING = -1  # in place of a token, where another row of the batch has a longer proposal


class Draft:
    """One draft, and how far the answer has come in it."""

    def __init__(self, ids: Sequence[int]):
        """Start at the beginning of a draft; an empty one proposes nothing."""
        self.ids = list(ids)
        self.position = 0  # tokens of the draft that the answer has passed
        self._array = np.asarray(self.ids, dtype=np.int64)
        self._slots = np.arange(len(self.ids) + 1)
        self._costs: np.ndarray | None = None  # (n + 1,) edits from the answer to each beginning; None: no edits so far
        self._found = True  # the last token of the answer was in the draft

    def proposal(self, most: int) -> list[int]:
        """What may come next, `most` tokens or fewer; nothing while the last token of the answer was not in the draft.

        (Trying the next few tokens after a wrong one saved no pass on the mini test sets.)
        """
        return self.ids[self.position : self.position + max(0, most)] if self._found else []

    def advance(self, token: int) -> None:
        """The answer has one more token."""
        if not self.ids:
            return
        if self._costs is None:
            if self.position < len(self.ids) and self.ids[self.position] == token:
                self.position += 1
                return
            self._costs = abs(self._slots - self.position)  # the answer is a beginning of the draft
        same = self._array == token
        costs = self._costs + 1  # the token is one too many
        costs[1:] = np.minimum(costs[1:], self._costs[:-1] + ~same)  # or stands for that of the draft
        self._costs = np.minimum.accumulate(costs - self._slots) + self._slots  # tokens of the draft are left out
        # among equals: a token of the draft itself, then the place nearest to the one expected
        matched = np.concatenate([[False], same])
        rank = 4 * self._costs + 2 * ~matched
        far = abs(self._slots - self.position - 1) / (len(self.ids) + 1)
        self.position = int(np.argmin(rank + far))
        self._found = bool(matched[self.position])


def worthwhile_width(lengths: Sequence[int]) -> int:
    """The largest k for which at least LEAST_FILLED of the (B, k) places of a pass would hold proposed tokens.

    Padding is computed, too: without this, one row that proposes much makes a pass of all rows slow.
    """
    width = 0
    for k in range(1, max(lengths) + 1):
        if sum(min(length, k) for length in lengths) >= LEAST_FILLED * k * len(lengths):
            width = k
    return width


def pad_proposals(proposals: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """(B, longest) int64, padded on the right with NOTHING; what stands there is dropped with what is rejected."""
    width = max(map(len, proposals))
    rows = [[*ids, *[NOTHING] * (width - len(ids))] for ids in proposals]
    return torch.tensor(rows, dtype=torch.int64, device=device)


def choose(
    logits: torch.Tensor, proposed: torch.Tensor, ratio: float = 1.0, top_k: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """The LLM's choice at each place, and its log-probability.

    Args:
        logits: (B, 1 + k, V) float32; place j predicts token j of the proposal.
        proposed: (B, k) tokens, or NOTHING.
        ratio: a proposed token is chosen where it has at least this share of the best token's probability ...
        top_k: ... or is among this many best ones; with 1 and 1 the choice is always the best token.

    Returns:
        Tokens (B, 1 + k) and log-probabilities (B, 1 + k).
    """
    best, tokens = logits.max(-1)
    if proposed.size(1) and (ratio < 1.0 or top_k > 1):
        own, others = tokens[:, :-1], logits[:, :-1]
        of_proposed = others.gather(-1, proposed.clamp(min=0)[..., None])
        good = of_proposed[..., 0] >= best[:, :-1] + math.log(ratio)
        if top_k > 1:
            good |= (others > of_proposed).sum(-1) < top_k
        tokens = torch.cat([torch.where(good & (proposed != NOTHING), proposed, own), tokens[:, -1:]], dim=1)
    return tokens, logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)


def check_finite(log_probs: torch.Tensor) -> None:
    """Refuse log-probabilities of chosen tokens that are NaN or infinite: their logits were.

    Raises:
        UserError: with the dtypes that do not overflow.
    """
    if not bool(log_probs.isfinite().all()):
        raise UserError(
            "the language model's logits are not finite: it overflows in its dtype, or its weights are damaged; load "
            "it in another dtype (llm_conf: dtype: bfloat16 or float32, or --dtype)"
        )
