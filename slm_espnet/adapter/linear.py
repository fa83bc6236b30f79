"""Linear output, the paper's: hidden states are projected to the LLM's width (arXiv 2310.00230, section 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from slm_espnet.adapter.base import AbsAdapterOutput, Placement, SpeechEmbeddings
from slm_espnet.adapter.input import valid_mask
from slm_espnet.adapter.splice import cover, fill, lay_out


class LinearOutput(AbsAdapterOutput):
    """One embedding per frame: Linear, then a norm whose scale starts at that of the LLM's token embeddings.

    Args:
        input_size: H.
        embedding_size: E.
        vocab_size: V, only used with the CTC head.
        embedding_std: standard deviation of the LLM's token embeddings, where the learnable scale begins.
    """

    def __init__(
        self,
        input_size: int,
        embedding_size: int,
        vocab_size: int,
        embedding_std: float,
        ctc_head: bool = False,  # add logits over blank and LLM tokens, for a CTC loss beside cross-entropy
    ):
        super().__init__()
        self.projection = torch.nn.Linear(input_size, embedding_size)
        self.scale = torch.nn.Parameter(torch.tensor(float(embedding_std)))
        self.ctc_head = torch.nn.Linear(input_size, 1 + vocab_size) if ctc_head else None
        self.has_ctc = ctc_head

    def forward(
        self,
        hidden: torch.Tensor,
        lengths: torch.Tensor,
        embedding_table: torch.Tensor,
        placements: list[list[Placement]] | None = None,
    ) -> SpeechEmbeddings:
        """Map hidden (B, T, H), lengths (B,) into the space of embedding_table (V, E), splicing placements in."""
        projected = self.projection(hidden)
        embeddings = F.layer_norm(projected, projected.shape[-1:]) * self.scale
        logits = None if self.ctc_head is None else self.ctc_head(hidden).float()
        ctc_lengths = None if self.ctc_head is None else lengths
        used = valid_mask(lengths, hidden.size(1))
        if placements is None or not any(placements):
            return SpeechEmbeddings(embeddings * used[..., None], lengths, logits, ctc_lengths)
        placed = cover(placements, lengths, hidden.size(1))
        used = used & ~placed.covered
        layout = lay_out(used, used, placed)
        filled = fill(layout, embeddings.flatten(0, 1)[layout.frames], embedding_table)
        return SpeechEmbeddings(filled, layout.lengths, logits, ctc_lengths, sizes=layout.sizes)
