"""Output in the LLM's own embedding space: convex mixtures of its token embeddings. An addition to the paper.

Each frame's embedding is softmax(Linear(h)) times the frozen embedding table (cf. LegoSLM, arXiv 2505.11352), so speech
cannot leave the space that the LLM was trained on. The same logits, with one more for blank, carry a CTC loss over the
LLM's tokens. Collapsed, neighbouring frames that agree on a token become one embedding and blank frames disappear: the
LLM sees about as many embeddings as there are tokens.

Cost: logits and probabilities are (B, T, 1 + V) in float32. For V = 250,000 and 2,000 frames in a batch that is 2 GB
for each of the three or four tensors that backward keeps, and H × V parameters; use small batches there, or `linear`.
"""

from __future__ import annotations

import torch

from slm_espnet.adapter.base import AbsAdapterOutput, Placement, SpeechEmbeddings
from slm_espnet.adapter.input import valid_mask
from slm_espnet.adapter.splice import Cover, cover, fill, lay_out


class EmbeddingMixtureOutput(AbsAdapterOutput):
    """Mixtures of token embeddings, one per frame or (collapsed) one per run of frames that agree on a token.

    Args:
        input_size: H.
        embedding_size: E, which the table already has.
        vocab_size: V.
        embedding_std: not needed here, the table has it.
    """

    has_ctc = True

    def __init__(
        self,
        input_size: int,
        embedding_size: int,
        vocab_size: int,
        embedding_std: float,
        collapse: bool = True,  # one embedding per run of frames with the same best token; blank frames are dropped
    ):
        super().__init__()
        self.logits = torch.nn.Linear(input_size, 1 + vocab_size)  # blank first, then the LLM's tokens
        self.collapse = collapse

    def forward(
        self,
        hidden: torch.Tensor,
        lengths: torch.Tensor,
        embedding_table: torch.Tensor,
        placements: list[list[Placement]] | None = None,
    ) -> SpeechEmbeddings:
        """Map hidden (B, T, H), lengths (B,) into the space of embedding_table (V, E), splicing placements in."""
        logits = self.logits(hidden).float()
        used = valid_mask(lengths, hidden.size(1))
        placed = None
        if placements is not None and any(placements):
            placed = cover(placements, lengths, hidden.size(1))
            used = used & ~placed.covered
        best = None
        if self.collapse or not self.training:
            best = self._best_tokens(logits.detach(), used, placed)
            changed = best != torch.nn.functional.pad(best[:, :-1], (1, 0))
        if self.collapse:
            used = best > 0
        layout = lay_out(used & changed if self.collapse else used, used, placed)
        mixture = logits.flatten(0, 1)[layout.frames, 1:].softmax(-1)
        if self.collapse:
            ones = mixture.new_ones(len(mixture))
            count = mixture.new_zeros(len(layout.slots)).index_add(0, layout.segment, ones)[:, None]
            summed = mixture.new_zeros(len(layout.slots), mixture.size(1)).index_add(0, layout.segment, mixture)
            mixture = summed / count
        segments = mixture.to(embedding_table.dtype) @ embedding_table
        heard = (None, None) if self.training else self._heard(best, changed, placed)
        filled = fill(layout, segments, embedding_table)
        return SpeechEmbeddings(filled, layout.lengths, logits, lengths, *heard, sizes=layout.sizes)

    @staticmethod
    def _heard(
        best: torch.Tensor, changed: torch.Tensor, placed: Cover | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, L) the tokens of runs of equal `best` (1 + token, 0 blank) with what is placed between, and lengths."""
        first = (best > 0) & changed
        layout = lay_out(first, best > 0, placed)
        heard = best.new_zeros(len(best) * layout.size)
        heard = heard.index_copy(0, layout.slots, best[first] - 1)
        heard = heard.index_copy(0, layout.placed_slots, layout.placed_ids)
        return heard.view(len(best), layout.size), layout.lengths

    @staticmethod
    def _best_tokens(logits: torch.Tensor, used: torch.Tensor, placed: Cover | None) -> torch.Tensor:
        """(B, T) int64: 1 + best LLM token of each frame, 0 where blank wins or the frame is not used.

        An utterance in which blank wins everywhere, and in which nothing is placed, keeps its least blank frame.
        """
        token_logits, tokens = logits[..., 1:].max(-1)
        margin = (token_logits - logits[..., 0]).masked_fill(~used, -torch.inf)
        best = torch.where(margin > 0, tokens + 1, 0)
        silent = ~(best > 0).any(1)
        if placed is not None:
            silent = silent & ~placed.tokens_at.any(1)
        least = margin.argmax(1, keepdim=True)
        return best.scatter(1, least, torch.where(silent[:, None], tokens.gather(1, least) + 1, best.gather(1, least)))
