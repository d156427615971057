"""Law 7: every KL estimator against the KL of a small policy, by exact expectation over its vocabulary."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hone.functional.kl import Estimator, exact_kl, kl_estimate

LOGITS = torch.tensor([0.3, -1.2, 0.9, 0.1], dtype=torch.float64)
REF = torch.tensor([-0.5, 0.4, 0.2, 0.7], dtype=torch.float64)


def gradient(value: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(value, at)[0]


def expected(estimator: Estimator) -> float:
    logprob = LOGITS.log_softmax(0)
    return float((logprob.exp() * kl_estimate(logprob, REF.log_softmax(0), estimator)).sum())


def in_the_loss(estimator: Estimator) -> Tensor:
    """Expected gradient of the estimate as a loss: the sampling distribution is a constant."""
    logits = LOGITS.clone().requires_grad_()
    logprob = logits.log_softmax(0)
    values = kl_estimate(logprob, REF.log_softmax(0), estimator)
    return gradient((logprob.detach().exp() * values).sum(), logits)


def in_the_reward(estimator: Estimator) -> Tensor:
    """Expected policy gradient when the estimate is a number: Σ π k ∇ log π."""
    logits = LOGITS.clone().requires_grad_()
    logprob = logits.log_softmax(0)
    values = kl_estimate(logprob, REF.log_softmax(0), estimator).detach()
    return gradient((logprob.detach().exp() * values * logprob).sum(), logits)


def true_gradients() -> tuple[Tensor, Tensor]:
    """∇ KL(π‖ρ) and ∇ KL(ρ‖π)."""
    logits = LOGITS.clone().requires_grad_()
    return gradient(exact_kl(logits, REF), logits), gradient(exact_kl(REF, logits), logits)


def test_exact_kl_by_plain_sums() -> None:
    p = [math.exp(x) / sum(math.exp(y) for y in LOGITS.tolist()) for x in LOGITS.tolist()]
    q = [math.exp(x) / sum(math.exp(y) for y in REF.tolist()) for x in REF.tolist()]
    assert float(exact_kl(LOGITS, REF)) == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    assert exact_kl(torch.stack([LOGITS, REF]), REF).shape == (2,)
    assert float(exact_kl(REF, REF)) == 0.0


def test_expected_values() -> None:
    kl = float(exact_kl(LOGITS, REF))
    assert expected("k1") == pytest.approx(kl)
    assert expected("k3") == pytest.approx(kl)
    logprob, ref = LOGITS.log_softmax(0), REF.log_softmax(0)
    assert expected("k2") == pytest.approx(
        sum(math.exp(a) * (a - b) ** 2 / 2 for a, b in zip(logprob.tolist(), ref.tolist(), strict=True))
    )
    assert abs(expected("k2") - kl) > 0.01  # biased, as documented


def test_gradients_in_the_loss() -> None:
    forward, reverse = true_gradients()
    assert (forward - reverse).abs().max() > 0.01
    torch.testing.assert_close(in_the_loss("k1"), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(in_the_loss("k2"), forward)
    torch.testing.assert_close(in_the_loss("k3"), reverse)


def test_gradients_in_the_reward() -> None:
    forward, reverse = true_gradients()
    torch.testing.assert_close(in_the_reward("k1"), forward)
    torch.testing.assert_close(in_the_reward("k3"), forward - reverse)
    assert (in_the_reward("k2") - forward).abs().max() > 0.01


def test_single_tokens() -> None:
    logprob, ref = torch.tensor([-1.0, -2.0, -0.5]), torch.tensor([-2.0, -1.0, -0.5])
    assert kl_estimate(logprob, ref, "k1").tolist() == [1.0, -1.0, 0.0]
    assert kl_estimate(logprob, ref, "k2").tolist() == [0.5, 0.5, 0.0]
    assert kl_estimate(logprob, ref, "k3").tolist() == pytest.approx([math.exp(-1), math.e - 2, 0.0])
    near = torch.linspace(-3e-4, 3e-4, 101)
    assert bool((kl_estimate(near, torch.zeros(101), "k3") >= 0).all())
