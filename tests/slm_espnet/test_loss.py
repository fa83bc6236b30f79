"""The parts of the loss against formulas written out by hand."""

import pytest
import torch

from slm_espnet.loss import Output, Teacher, ctc, target_loss


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(2)
    return 3 * torch.randn(7, 5, generator=generator), 3 * torch.randn(7, 5, generator=generator)


SAME = Output(lambda states: states, 5)  # states are the logits
TARGET = torch.tensor([0, 4, 2, 1, 3, 0, 1])


def kl_of(student, teacher, temperature=1.0, **options):
    return target_loss(
        student, TARGET, SAME, 0.0, 1.0, Teacher(teacher, lambda states: states, temperature), **options
    )


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_kl_is_the_sum_written_out_and_its_gradient_the_difference_of_probabilities(logits, temperature):
    student, teacher = logits[0].clone().requires_grad_(), logits[1]
    found = kl_of(student, teacher, temperature)
    p = (teacher / temperature).softmax(-1)
    q = (student / temperature).softmax(-1)
    expected = temperature**2 * (p * (p.log() - q.log())).sum() / 7
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.kl, expected.detach())
    found.total.backward()
    torch.testing.assert_close(student.grad, temperature * (q - p).detach() / 7)


def test_kl_points_from_the_teacher(logits):
    student, teacher = logits
    assert not torch.isclose(kl_of(student, teacher).kl, kl_of(teacher, student).kl), "KL is not symmetric"
    assert kl_of(teacher, teacher).kl == 0


def test_cross_entropy_and_accuracy_are_means_over_tokens(logits):
    expected = -torch.stack([row.log_softmax(0)[t] for row, t in zip(logits[0], TARGET, strict=True)]).mean()
    torch.testing.assert_close(target_loss(logits[0], TARGET, SAME).ce, expected)
    certain = 9.0 * torch.nn.functional.one_hot(TARGET, 5).float()
    certain[:2] = certain[:2].roll(1, -1)
    torch.testing.assert_close(target_loss(certain, TARGET, SAME).accuracy, torch.tensor(5 / 7))


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("values", [1, 10, 1000])
def test_pieces_give_loss_and_gradient_of_the_whole_written_with_autograd(logits, values, trained):
    """Three tokens of seven are taught; the output layer is a product and a cap, as some families have."""
    layer = torch.nn.Linear(5, 4, bias=False).requires_grad_(trained)
    output = Output(lambda states: 2.0 * (layer(states) / 2.0).tanh(), 4, trained)
    target, states = TARGET.clamp(max=3), logits[0].clone().requires_grad_()
    teacher = Teacher(logits[1][:3], output.logits, 2.0)
    found = target_loss(states, target, output, 0.7, 0.4, teacher, chunk_values=values)
    (3.0 * found.total).backward()
    whole = logits[0].clone().requires_grad_()
    student, taught = output.logits(whole), output.logits(logits[1][:3]).detach()
    p, q = (taught / 2.0).softmax(-1), (student[:3] / 2.0).softmax(-1)
    ce = torch.nn.functional.cross_entropy(student, target)
    kl = 4.0 * (p * (p / q).log()).sum() / 3
    weight = None if not trained else layer.weight.grad.clone()
    layer.zero_grad()
    (3.0 * (0.7 * ce + 0.4 * kl)).backward()
    torch.testing.assert_close(found.total, 0.7 * ce + 0.4 * kl)
    torch.testing.assert_close(torch.stack([found.ce, found.kl]), torch.stack([ce, kl]).detach())
    torch.testing.assert_close(states.grad, whole.grad)
    if trained:
        torch.testing.assert_close(weight, layer.weight.grad)


def test_half_precision_is_computed_in_float32(logits):
    half = logits[0].bfloat16().requires_grad_()
    found = kl_of(half, logits[1].bfloat16())
    assert found.total.dtype == torch.float32
    torch.testing.assert_close(found.kl, kl_of(*logits).kl, rtol=0.05, atol=0.05)
    found.total.backward()
    assert half.grad.dtype == torch.bfloat16 and half.grad.isfinite().all()


def test_all_logits_are_never_there_at_once():
    from slm_espnet.planning.measure import PeakMemory

    states, layer = torch.randn(400, 8, requires_grad=True), torch.nn.Linear(8, 1000).requires_grad_(False)
    target = torch.zeros(400, dtype=torch.int64)
    peaks = []
    for loss in (
        lambda: target_loss(states, target, Output(layer, 1000), chunk_values=20_000).total,
        lambda: torch.nn.functional.cross_entropy(layer(states), target),
    ):
        memory = PeakMemory([states, target, *layer.parameters()])
        with memory:
            loss().backward()
        peaks.append(memory.peak)
    assert peaks[0] < 5 * 20_000 * 4 < 400 * 1000 * 4 < peaks[1]


def test_ctc_sums_over_alignments_and_counts_a_transcript_that_does_not_fit_as_zero():
    log_probs = torch.randn(2, 2, 4, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    first = torch.tensor([[1, 0, 0]])
    p = log_probs[0].exp()  # token 1 is label 2; its alignments in two frames: 22, 02, 20
    alignments = p[0, 2] * p[1, 2] + p[0, 0] * p[1, 2] + p[0, 2] * p[1, 0]
    alone = ctc(log_probs[:1], torch.tensor([2]), first, torch.tensor([1]))
    torch.testing.assert_close(alone, -alignments.log())
    both = ctc(log_probs, torch.tensor([2, 2]), torch.tensor([[1, 0, 0], [0, 1, 2]]), torch.tensor([1, 3]))
    torch.testing.assert_close(both, alone / 4)
