"""The parts of the training loss, as functions of what the LLM and the adapter put out: one number each, per token.

    cross-entropy   the target is right, whatever else the LLM held possible
    KL divergence   the frozen LLM that reads the true transcript is the teacher: the same instruction, the same target
                    before each position, and its whole distribution over the next token to be matched
    CTC             the adapter's own logits spell the transcript; the LLM is not needed
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

CHUNK_VALUES = 2**26  # logits that are taken at a time: 256 MB in float32


def cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over tokens of -log p(target): logits (N, V) of any dtype, target (N,)."""
    return F.cross_entropy(logits.float(), target)


def accuracy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Share of the tokens that are likeliest: logits (N, V), target (N,)."""
    return (logits.detach().argmax(-1) == target).float().mean()


def kl_divergence(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0, chunk_values: int = CHUNK_VALUES
) -> torch.Tensor:
    """Mean over tokens of temperature² · KL(teacher ‖ student), both softened by the temperature.

    Word-level distillation (Kim and Rush 2016, arXiv 1606.07947); the square keeps the gradient's size the same at
    every temperature (Hinton et al. 2015, arXiv 1503.02531, section 2).

    Memory: both (N, V) logits in the LLM's dtype and one gradient of that size. What is computed in float32 in between
    is made for `chunk_values` logits at a time, and again in the backward pass, instead of being kept: 1,000 target
    tokens of a vocabulary of 250,000 in bfloat16 need 1.5 GB, and not the 5 GB that all of it at once would.

    Args:
        student: (N, V) logits at the target positions.
        teacher: (N, V) logits at the same positions; gets no gradient.
        temperature: above 0; higher values make more of what the teacher held unlikely.
        chunk_values: most logits that are taken at a time.
    """
    rows = max(1, chunk_values // student.size(1))
    chunks = zip(student.split(rows), teacher.detach().split(rows), strict=True)
    total = sum(checkpoint(_kl_sum, one, other, temperature, use_reentrant=False) for one, other in chunks)
    return total * temperature**2 / len(student)


def _kl_sum(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    likely = (teacher.float() / temperature).log_softmax(-1)
    found = (student.float() / temperature).log_softmax(-1)
    return F.kl_div(found, likely, reduction="sum", log_target=True)


def ctc(
    log_probs: torch.Tensor, lengths: torch.Tensor, transcript: torch.Tensor, transcript_lengths: torch.Tensor
) -> torch.Tensor:
    """Mean over transcript tokens of CTC, which sums over all alignments (Graves et al. 2006).

    Args:
        log_probs: (B, T, 1 + V) over blank, then the LLM's tokens; lengths: (B,).
        transcript: (B, U) the LLM's ids; transcript_lengths: (B,) at least 1. One that is longer than the speech
            counts as zero.
    """
    losses = F.ctc_loss(
        log_probs.transpose(0, 1), transcript + 1, lengths, transcript_lengths, reduction="none", zero_infinity=True
    )
    return losses.sum() / transcript_lengths.sum()
