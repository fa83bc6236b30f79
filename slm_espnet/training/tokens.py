"""Over how many tokens the parts of the loss are means: of all batches of a step, on all processes.

A step of the optimizer is made of `accum_grad` batches on each of several processes. Cross-entropy is its mean over all
their target tokens, KL over those of utterances whose transcripts are known, CTC over transcript tokens. So the
gradient of eight utterances is the same in one batch, in batches of two or on eight processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from slm_espnet.assembly import Sizes


def sizes_of(batch: Mapping[str, torch.Tensor]) -> Sizes:
    """Lengths of a batch of the collate function as plain numbers; on a GPU this waits for it."""
    sizes = {name.removesuffix("_lengths"): batch[name].tolist() for name in batch if name.endswith("_lengths")}
    return sizes | ({"recordings": batch["recordings"].tolist()} if "recordings" in batch else {})


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of a batch or of several."""

    target: int = 0  # of cross-entropy
    distilled: int = 0  # of KL: target tokens of utterances whose transcripts are known
    transcript: int = 0  # of CTC

    @classmethod
    def of_batch(cls, batch: Mapping[str, torch.Tensor]) -> TokenCounts:
        """Count a batch of the collate function, on the CPU."""
        known = batch["read_lengths"] > 0
        target = batch["target_lengths"]
        return cls(int(target.sum()), int(target[known].sum()), int(batch["transcript_lengths"].sum()))

    def __add__(self, other: TokenCounts) -> TokenCounts:
        return TokenCounts(
            self.target + other.target, self.distilled + other.distilled, self.transcript + other.transcript
        )


@dataclass(frozen=True)
class Shares:
    """A batch's share in its step; what the model would have to ask the GPU for stands here, too."""

    ce: float  # of target tokens, and likewise:
    kl: float
    ctc: float
    sizes: Sizes

    @classmethod
    def of_batch(cls, batch: Mapping[str, torch.Tensor], counts: TokenCounts, step: TokenCounts) -> Shares:
        """A batch, on the CPU, with its counts in a step with those."""
        return cls(
            counts.target / max(1, step.target),
            counts.distilled / max(1, step.distilled),
            counts.transcript / max(1, step.transcript),
            sizes_of(batch),
        )
