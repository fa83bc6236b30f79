"""The parts of the training loss: means over tokens.

    cross-entropy   the target is right, whatever else the LLM held possible
    KL divergence   the frozen LLM that reads the true transcript is the teacher: the same instruction, the same target
                    before each position, and its whole distribution over the next token to be matched
    CTC             the adapter's own logits spell the transcript; the LLM is not needed

The first two are of logits over the LLM's whole vocabulary, 250,000 numbers for each target token. All of a batch are
never held: they are made from the LLM's hidden states some rows at a time, and so is the gradient, at once. A frozen
output layer needs no gradient of its own, so nothing is left to be done in the backward pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

CHUNK_VALUES = 2**25  # logits that are taken at a time: 128 MiB in float32

Measure = Callable[[torch.Tensor, slice], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Output:
    """What turns hidden states into logits."""

    logits: Callable[[torch.Tensor], torch.Tensor]  # (n, H) → (n, V) of any dtype
    vocab_size: int  # V
    trained: bool = False  # whether it has trained parameters


@dataclass(frozen=True)
class Teacher:
    """What the first K states are to say."""

    states: torch.Tensor  # (K, H) of the LLM that reads the transcript, no gradient
    logits: Callable[[torch.Tensor], torch.Tensor]  # its own, (k, H) → (k, V)
    temperature: float = 1.0  # above 0; higher values make more of what the teacher held unlikely


@dataclass(frozen=True)
class TargetLoss:
    """Of a batch."""

    total: torch.Tensor  # ce_scale · CE + kl_scale · KL, with its gradient; and without one:
    ce: torch.Tensor  # mean over N tokens of -log p(target); 0 where its scale is
    kl: torch.Tensor  # mean over K tokens of temperature² · KL(teacher ‖ student); 0 where there is no teacher
    accuracy: torch.Tensor  # share of the tokens that are likeliest


def target_loss(
    states: torch.Tensor,
    target: torch.Tensor,
    output: Output,
    ce_scale: float = 1.0,
    kl_scale: float = 0.0,
    teacher: Teacher | None = None,
    chunk_values: int = CHUNK_VALUES,
) -> TargetLoss:
    """Cross-entropy and KL divergence at the target positions.

    KL is word-level distillation (Kim and Rush 2016, arXiv 1606.07947), both sides softened by the temperature, whose
    square keeps the gradient's size the same at every temperature (Hinton et al. 2015, arXiv 1503.02531, section 2).

    Memory: one gradient of the size of `states`, and what `chunk_values` logits need in float32, some four times.

    Args:
        states: (N, H) of the LLM.
        target: (N,) ids.
        output: the LLM's output layer.
        ce_scale: factor of the mean of cross-entropy.
        kl_scale: likewise of KL.
        teacher: of the first rows of `states`; None: no KL.
        chunk_values: most logits that are taken at a time.
    """
    number, taught = len(target), 0 if teacher is None else len(teacher.states)
    per_token = ce_scale / number, kl_scale / taught if taught else 0.0
    largest = max(per_token) or 1.0  # is multiplied in last, so that gradients of a half dtype do not vanish
    shares = per_token[0] / largest, per_token[1] / largest

    def measure(part: torch.Tensor, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        return _measure(output.logits(part), target[rows], teacher if rows.stop <= taught else None, rows, shares)

    rows = max(1, chunk_values // output.vocab_size)
    pieces = [*_pieces(0, taught, rows), *_pieces(taught, number, rows)]
    if output.trained:
        results = [checkpoint(measure, states[piece], piece, use_reentrant=False) for piece in pieces]
        total, sums = sum(loss for loss, _ in results), sum(values for _, values in results)
    else:
        total, sums = _WithGradient.apply(states, measure, pieces)
    ce, kl, right = sums.unbind()
    return TargetLoss(total * largest, ce / number, kl / max(1, taught), right / number)


def _pieces(begin: int, end: int, rows: int) -> list[slice]:
    """As few as `rows` allows, of about equal size."""
    number = -(-(end - begin) // rows)
    bounds = [begin + (end - begin) * place // number for place in range(number + 1)] if number else [begin]
    return [slice(*pair) for pair in itertools.pairwise(bounds)]


def _measure(
    logits: torch.Tensor, target: torch.Tensor, teacher: Teacher | None, rows: slice, shares: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of some rows, and (3,) sums over them: cross-entropy, KL, tokens that are likeliest."""
    logits = logits.float()
    zero = logits.new_zeros(())
    ce = F.cross_entropy(logits, target, reduction="sum") if shares[0] else zero
    kl = zero
    if teacher is not None:
        with torch.no_grad():
            likely = (teacher.logits(teacher.states[rows]).float() / teacher.temperature).log_softmax(-1)
        found = (logits / teacher.temperature).log_softmax(-1)
        kl = F.kl_div(found, likely, reduction="sum", log_target=True) * teacher.temperature**2
    right = (logits.detach().argmax(-1) == target).sum()
    return ce * shares[0] + kl * shares[1], torch.stack([ce.detach(), kl.detach(), right])


class _WithGradient(torch.autograd.Function):
    """A sum over rows whose gradient is taken together with it, piece by piece."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, measure: Measure, pieces: Sequence[slice]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`measure` of each of the pieces of states (N, H), added up."""
        wanted = ctx.needs_input_grad[0]
        gradient = torch.zeros_like(states) if wanted else None
        losses, sums = [], []
        for piece in pieces:
            with torch.set_grad_enabled(wanted):
                part = states[piece].detach().requires_grad_(wanted)
                loss, values = measure(part, piece)
            if loss.requires_grad:  # not where neither part of the loss is of these rows
                gradient[piece] = torch.autograd.grad(loss, part)[0]
            losses.append(loss.detach())
            sums.append(values)
            del loss
        ctx.save_for_backward(gradient)
        sums = torch.stack(sums).sum(0)
        ctx.mark_non_differentiable(sums)
        return torch.stack(losses).sum(), sums

    @staticmethod
    def backward(ctx: Any, of_loss: torch.Tensor, _of_sums: Any) -> tuple[torch.Tensor | None, None, None]:
        """The gradient that is there already, times that of the sum."""
        (gradient,) = ctx.saved_tensors
        return gradient * of_loss, None, None


def ctc(
    log_probs: torch.Tensor, lengths: torch.Tensor, transcript: torch.Tensor, transcript_lengths: torch.Tensor
) -> torch.Tensor:
    """Mean over transcript tokens of CTC, which sums over all alignments (Graves et al. 2006).

    Args:
        log_probs: (B, T, 1 + V) over blank, then the LLM's tokens; lengths: (B,), best on the CPU: others are fetched.
        transcript: (B, U) the LLM's ids; transcript_lengths: (B,) at least 1, likewise. One that is longer than the
            speech counts as zero.
    """
    losses = F.ctc_loss(
        log_probs.transpose(0, 1), transcript + 1, lengths, transcript_lengths, reduction="none", zero_infinity=True
    )
    return losses.sum() / transcript_lengths.sum()
