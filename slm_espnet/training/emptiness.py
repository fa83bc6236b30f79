"""Steps without a loss: with CTC alone, no utterance has a transcript, or every one is longer than the speech.

CTC needs a frame for each token, and one more between two equal ones. Where it has fewer its loss is infinite, which
counts as zero: nothing is learned, and nothing is said. A training of such steps ends with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from slm_espnet.errors import UserError

MOST_EMPTY = 20  # steps without a loss in a row that end a training


def ctc_frames(tokens: Sequence[int]) -> int:
    """Frames that CTC needs to write tokens."""
    return len(tokens) + sum(a == b for a, b in zip(tokens, tokens[1:], strict=False))


class EmptySteps:
    """Counts the steps of an epoch that have no loss."""

    def __init__(self, shortened: Callable[[Sequence[int]], list[int]]):
        """Set up; `shortened` tells the lengths that the adapter gives to lengths of encodings."""
        self._shortened = shortened
        self.steps = self.empty = self._in_a_row = 0
        self.utterances = self.without_transcript = self.too_long = 0  # of the empty steps, on this process

    def add(self, losses: Sequence[float], norm: float, batches: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Take in a step; UserError after MOST_EMPTY empty ones.

        Args:
            losses: of its batches.
            norm: of its gradient.
            batches: of the collate function, on this process.
        """
        self.steps += 1
        if norm != 0.0 or any(losses):
            self._in_a_row = 0
            return
        self.empty += 1
        self._in_a_row += 1
        for batch in batches:
            self._count(batch)
        if self._in_a_row == MOST_EMPTY:
            raise UserError(f"{MOST_EMPTY} steps in a row have no loss to train on: {self._reason()}")

    def end(self) -> None:
        """UserError where no step of the epoch had a loss."""
        if self.steps and self.empty == self.steps:
            raise UserError(f"none of the epoch's {self.steps} steps has a loss to train on: {self._reason()}")

    def _count(self, batch: Mapping[str, torch.Tensor]) -> None:
        heard = self._shortened(batch["speech_lengths"].tolist())
        for frames, ids, length in zip(heard, batch["transcript"], batch["transcript_lengths"].tolist(), strict=True):
            self.utterances += 1
            self.without_transcript += not length
            self.too_long += frames < ctc_frames(ids[:length].tolist())

    def _reason(self) -> str:
        return (
            f"of their {self.utterances} utterances {self.without_transcript} have no transcript and {self.too_long} "
            "one with more tokens than CTC can write in the adapter's frames; shorten the speech less "
            "(length_reduction, factor), give transcripts, or train without ctc_only_steps"
        )
