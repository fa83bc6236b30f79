"""The parts of the loss against formulas written out by hand."""

import pytest
import torch

from slm_espnet.loss import accuracy, cross_entropy, ctc, kl_divergence


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(2)
    return 3 * torch.randn(7, 5, generator=generator), 3 * torch.randn(7, 5, generator=generator)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_kl_is_the_sum_written_out_and_its_gradient_the_difference_of_probabilities(logits, temperature):
    student, teacher = logits[0].clone().requires_grad_(), logits[1]
    loss = kl_divergence(student, teacher, temperature)
    p = (teacher / temperature).softmax(-1)
    q = (student / temperature).softmax(-1)
    expected = temperature**2 * (p * (p.log() - q.log())).sum() / 7
    torch.testing.assert_close(loss, expected)
    loss.backward()
    torch.testing.assert_close(student.grad, temperature * (q - p).detach() / 7)


def test_kl_points_from_the_teacher_and_does_not_move_it(logits):
    student, teacher = (values.clone().requires_grad_() for values in logits)
    loss = kl_divergence(student, teacher)
    assert not torch.isclose(loss, kl_divergence(teacher, student)), "KL is not symmetric"
    loss.backward()
    assert teacher.grad is None and kl_divergence(teacher, teacher) == 0


def test_kl_in_pieces_is_kl_at_once_in_value_gradient_and_dtype(logits):
    student, teacher = logits
    whole, pieces = (student.clone().requires_grad_() for _ in range(2))
    kl_divergence(whole, teacher, 2.0).backward()
    kl_divergence(pieces, teacher, 2.0, chunk_values=10).backward()  # two rows at a time, the last alone
    torch.testing.assert_close(pieces.grad, whole.grad)
    half = student.bfloat16().requires_grad_()
    loss = kl_divergence(half, teacher.bfloat16())
    assert loss.dtype == torch.float32 and loss.isfinite()
    torch.testing.assert_close(loss, kl_divergence(student, teacher), rtol=0.05, atol=0.05)


def test_cross_entropy_and_accuracy_are_means_over_tokens(logits):
    target = torch.tensor([0, 4, 2, 1, 3, 0, 1])
    expected = -torch.stack([row.log_softmax(0)[t] for row, t in zip(logits[0], target, strict=True)]).mean()
    torch.testing.assert_close(cross_entropy(logits[0], target), expected)
    certain = 9.0 * torch.nn.functional.one_hot(target, 5).float()
    certain[:2] = certain[:2].roll(1, -1)
    torch.testing.assert_close(accuracy(certain, target), torch.tensor(5 / 7))


def test_ctc_sums_over_alignments_and_counts_a_transcript_that_does_not_fit_as_zero():
    log_probs = torch.randn(2, 2, 4, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    first = torch.tensor([[1, 0, 0]])
    p = log_probs[0].exp()  # token 1 is label 2; its alignments in two frames: 22, 02, 20
    alignments = p[0, 2] * p[1, 2] + p[0, 0] * p[1, 2] + p[0, 2] * p[1, 0]
    alone = ctc(log_probs[:1], torch.tensor([2]), first, torch.tensor([1]))
    torch.testing.assert_close(alone, -alignments.log())
    both = ctc(log_probs, torch.tensor([2, 2]), torch.tensor([[1, 0, 0], [0, 1, 2]]), torch.tensor([1, 3]))
    torch.testing.assert_close(both, alone / 4)
