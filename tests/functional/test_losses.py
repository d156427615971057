"""Per-token losses by hand: values, and where the gradient stops."""

from __future__ import annotations

import math

import pytest
import torch
from random_batches import Act, Episode, build

from hone.functional.episodes import Episodes
from hone.functional.losses import (
    clipped_surrogate,
    clipped_value_loss,
    entropy,
    is_clipped,
    log_ratio,
    negative_log_likelihood,
    sequence_log_ratio,
)


def test_clipped_surrogate_and_its_gradient() -> None:
    ratio = torch.tensor([1.1, 1.5, 0.5, 1.5, 0.5, 0.9], requires_grad=True)
    advantage = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0])
    loss = clipped_surrogate(ratio, advantage, 0.2, 0.3)
    assert loss.tolist() == pytest.approx([-2.2, -2.6, -1.0, 3.0, 1.6, 1.8])
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [-2.0, 0.0, -2.0, 2.0, 0.0, 2.0]
    clipped = is_clipped(ratio.detach(), advantage, 0.2, 0.3)
    assert clipped.tolist() == [False, True, False, False, True, False]


def test_the_log_ratio_is_zero_off_the_mask_in_value_and_gradient() -> None:
    logprob = torch.tensor([-1.0, -200.0, -2.0], requires_grad=True)
    old = torch.tensor([-1.5, torch.nan, -2.0])
    made = log_ratio(logprob, old, torch.tensor([True, False, True]))
    assert made.tolist() == [0.5, 0.0, 0.0]
    made.exp().sum().backward()  # type: ignore[no-untyped-call]
    assert logprob.grad is not None
    assert logprob.grad.tolist() == pytest.approx([math.exp(0.5), 0.0, 1.0])


def test_sequence_ratio_sums_over_rows() -> None:
    def act(logprob: list[float], restart: bool) -> Act:
        zeros = [0.0] * len(logprob)
        return Act(1, zeros, logprob, zeros, zeros, 0.0, restart)

    batch, logprob_BT = build([Episode(0, [act([1, 2], False), act([4], True)]), Episode(0, [act([8], False)])])
    made = sequence_log_ratio(Episodes.index(batch, batch.train), logprob_BT, batch.train)
    assert sorted(made[batch.train].tolist()) == [7, 7, 7, 8]
    assert made[~batch.train].eq(0).all()


def test_clipped_value_loss_takes_the_larger_error() -> None:
    value, old, target = (
        torch.tensor([1.0, 1.0, 0.1]),
        torch.tensor([0.0, 0.0, 0.0]),
        torch.tensor([2.0, 0.0, 1.0]),
    )
    # clipped to .2: ½·max(1, 1.8²) = 1.62;  ½·max(1, .04) = .5;  not clipped: ½·.81
    assert clipped_value_loss(value, old, target, 0.2).tolist() == pytest.approx([1.62, 0.5, 0.405])


def test_entropy_and_nll() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf], [math.log(3), 0.0, -torch.inf]], requires_grad=True)
    made = entropy(logits)
    assert made.tolist() == pytest.approx([math.log(2), -0.75 * math.log(0.75) - 0.25 * math.log(0.25)])
    made.sum().backward()  # type: ignore[no-untyped-call]
    # dH/dz_v = −p_v (log p_v + H)
    assert logits.grad is not None
    h = float(made[1].detach())
    slopes = [-p * (math.log(p) + h) for p in (0.75, 0.25)]
    assert logits.grad.flatten().tolist() == pytest.approx([0, 0, 0, *slopes, 0], abs=1e-6)
    assert negative_log_likelihood(torch.tensor([-2.0])).tolist() == [2.0]
