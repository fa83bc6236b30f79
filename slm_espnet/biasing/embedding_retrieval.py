"""Retrieval in the LLM's embedding space: what the adapter makes of the speech against the phrases' token embeddings.

Needs no CTC and no training of its own: the adapter maps speech into the space of the token embeddings. Every token of
a phrase is compared with every speech embedding, its best cosine similarity counts, and a phrase scores their mean
(late interaction as in ColBERT, Khattab and Zaharia, arXiv 2004.12832). It can find only what the adapter lets through:
names that it was never trained on may be missing from its output, and then CTC posteriors find them far better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from slm_espnet.adapter.base import SpeechEmbeddings
from slm_espnet.llm.base import AbsLLM


class AdaptedModel(Protocol):
    """What is used of ESPnetSLMModel."""

    llm: AbsLLM

    def adapter(self, frames: torch.Tensor, lengths: torch.Tensor, embedding_table: torch.Tensor) -> SpeechEmbeddings:
        """Encodings (B, T, D), lengths (B,) → embeddings."""


class EmbeddingRetriever:
    """Ranks phrases by how well their tokens occur among the embeddings of the speech."""

    def __init__(self, model: AdaptedModel) -> None:
        """Set up for one trained model."""
        self.model = model
        table = model.llm.embedding_table().detach().float()
        self._mean = table.mean(dim=0)  # all embeddings share a direction, which says nothing
        self._tokens: dict[str, tuple[int, ...]] = {}

    @torch.no_grad()
    def retrieve(self, encoding: Any, phrases: Sequence[str], count: int) -> list[str]:
        """The best phrases, best first.

        Args:
            encoding: has frames (K, D).
            phrases: the list; those without any token are passed over.
            count: most phrases that are wanted.
        """
        tokens = {phrase: ids for phrase in dict.fromkeys(phrases) if (ids := self._ids(phrase))}
        if not tokens or not len(encoding.frames):
            return []
        used, ranks = np.unique(np.concatenate(list(tokens.values())), return_inverse=True)
        lengths = np.array([len(ids) for ids in tokens.values()])
        begins = np.cumsum(lengths) - lengths
        scores = np.add.reduceat(self._similarities(encoding, used)[ranks], begins) / lengths
        listed = list(tokens)
        return [listed[index] for index in np.argsort(-scores, kind="stable")[:count]]

    def _similarities(self, encoding: Any, token_ids: np.ndarray) -> np.ndarray:
        """(U,) the highest cosine similarity of each token to any embedding of the speech."""
        table = self.model.llm.embedding_table()
        frames = torch.from_numpy(np.asarray(encoding.frames, dtype=np.float32)).to(table.device)
        lengths = torch.tensor([len(frames)], device=table.device)
        speech = self.model.adapter(frames[None], lengths, table)
        heard = self._direction(speech.embeddings[0, : int(speech.lengths[0])])
        if not len(heard):
            return np.zeros(len(token_ids), dtype=np.float32)
        tokens = self._direction(table[torch.from_numpy(token_ids).to(table.device)])
        return (tokens @ heard.T).amax(dim=1).cpu().numpy()

    def _direction(self, embeddings: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(embeddings.float() - self._mean, dim=-1)

    def _ids(self, phrase: str) -> tuple[int, ...]:
        if phrase not in self._tokens:
            self._tokens[phrase] = tuple(self.model.llm.tokenizer.encode_within(phrase))
        return self._tokens[phrase]
