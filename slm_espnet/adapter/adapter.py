"""The adapter: optional trained reduction → body → output."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from slm_espnet.adapter.base import AbsAdapterBody, AbsAdapterOutput, Placement, SpeechEmbeddings
from slm_espnet.length_reduction.conv import ConvReduction


def shorten(spans: Sequence[Placement], factor: int) -> list[Placement]:
    """Spans of frames as spans of reduced frames; a reduced frame that two spans touch belongs to the first."""
    shortened, before = [], 0
    for span in spans:
        start = max(span.start // factor, before)
        before = max(-(-span.stop // factor), start)
        shortened.append(Placement(start, before, span.token_ids))
    return shortened


class Adapter(torch.nn.Module):
    """Everything that is trained between the cached encodings and the frozen LLM."""

    def __init__(self, reduction: ConvReduction | None, body: AbsAdapterBody, output: AbsAdapterOutput):
        super().__init__()
        self.reduction = reduction
        self.body = body
        self.output = output

    @property
    def factor(self) -> int:
        """Frames that become one hidden state."""
        return self.body.reduction_factor * (1 if self.reduction is None else self.reduction.reduction_factor)

    def shortened(self, sizes: Sequence[int]) -> list[int]:
        """Hidden states of each of several utterances, from their frames."""
        return [-(-size // self.factor) for size in sizes]

    def forward(
        self,
        frames: torch.Tensor,
        lengths: torch.Tensor,
        embedding_table: torch.Tensor,
        placements: list[list[Placement]] | None = None,
    ) -> SpeechEmbeddings:
        """Speech in the LLM's embedding space.

        Args:
            frames: (B, T, D) cached encodings, right-padded.
            lengths: (B,) int64, each at least 1.
            embedding_table: (V, E) of the LLM.
            placements: for each utterance, phrases put in place of frame spans (indices before any reduction here).
        """
        hidden = frames
        if self.reduction is not None:
            hidden, lengths = self.reduction(hidden, lengths)
        hidden, lengths = self.body(hidden, lengths)
        if placements is not None and self.factor > 1:
            placements = [shorten(spans, self.factor) for spans in placements]
        return self.output(hidden, lengths, embedding_table, placements)
