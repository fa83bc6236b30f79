"""One averaged frame for each run of the same token on the best CTC path (cf. arXiv 2102.01578)."""

from __future__ import annotations

import torch

from slm_espnet.length_reduction.base import AbsStaticReduction, CTCPath, Reduced


class CTCMerge(AbsStaticReduction):
    """Averages the frames of each run of a token and drops runs of blank; all blank: one average of everything."""

    def __call__(self, frames: torch.Tensor, path: CTCPath | None) -> Reduced:
        """frames (T, D) → one frame per token, which stands for the frames of its run."""
        if path is None:
            raise ValueError("ctc_merge needs an encoder with CTC; use length_reduction: stack or none")
        tokens, counts = torch.unique_consecutive(path.best, return_counts=True)
        kept = tokens != path.blank_id
        if not kept.any():
            tokens, counts, kept = tokens[:1], counts.sum().unsqueeze(0), torch.ones_like(kept[:1])
        run = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        starts = counts.cumsum(0) - counts
        sums = frames.new_zeros(len(counts), frames.size(1)).index_add_(0, run, frames)
        return Reduced(sums[kept] / counts[kept, None], starts[kept].int(), (starts + counts)[kept].int())

    def output_dim(self, input_dim: int) -> int:
        """The width stays."""
        return input_dim

    def identity(self) -> dict[str, str]:
        """The name."""
        return {"kind": "ctc_merge"}
