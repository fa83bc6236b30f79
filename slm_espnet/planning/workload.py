"""What a plan is made for; importing this loads no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """What is encoded, trained on and decoded at once."""

    seconds: float = 15.0  # length of an utterance
    batch_seconds: float = 60.0  # of audio in a batch of stage 2
    batch_size: int = 8  # utterances in a batch of the training
    prompt_tokens: int = 40  # of instruction, context and template
    target_tokens: int = 60  # of an answer
    decoding_batch_size: int = 16  # utterances x beams decoded together
