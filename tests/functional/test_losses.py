"""Per-token losses by hand: values, and where the gradient stops."""

from __future__ import annotations

import math

import pytest
import torch
from random_batches import Act, Episode, build

from hone.functional.losses import (
    clipped_surrogate,
    clipped_value_loss,
    entropy,
    is_clipped,
    log_ratio,
    log_ratio_at,
    masked_weight,
    negative_log_likelihood,
    ratio_of,
    truncated_weight,
    weighted_logprob,
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
    made = log_ratio_at("sequence", batch, logprob_BT)
    assert sorted(made[batch.train].tolist()) == [7, 7, 7, 8]
    assert made[~batch.train].eq(0).all()
    mean = log_ratio_at("sequence_mean", batch, logprob_BT)
    assert sorted(mean[batch.train].tolist()) == pytest.approx([7 / 3, 7 / 3, 7 / 3, 8])
    assert log_ratio_at("token", batch, logprob_BT) is logprob_BT


def test_a_dual_clip_bounds_negative_advantages_and_nothing_else() -> None:
    ratio = torch.tensor([0.5, 2.0, 3.9, 4.1, 50.0, 50.0], requires_grad=True)
    advantage = torch.tensor([-2.0, -2.0, -2.0, -2.0, -2.0, 2.0])
    loss = clipped_surrogate(ratio, advantage, 0.2, 0.3, 4.0)
    assert loss.tolist() == pytest.approx([1.6, 4.0, 7.8, 8.0, 8.0, -2.6])
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [0.0, 2.0, 2.0, 0.0, 0.0, 0.0]
    assert is_clipped(ratio.detach(), advantage, 0.2, 0.3, 4.0).tolist() == [True, False, False, True, True, True]
    # dual-clip PPO as its paper writes it, for negative advantages
    paper = -torch.maximum(torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.3) * advantage), 4.0 * advantage)
    assert loss[:5].tolist() == pytest.approx(paper[:5].tolist())


def test_a_ratio_beyond_floating_point_is_clipped_without_a_nan() -> None:
    logprob = torch.tensor([200.0, 200.0], requires_grad=True)
    loss = clipped_surrogate(ratio_of(logprob), torch.tensor([1.0, 0.0]), 0.2, 0.2)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert loss.tolist() == pytest.approx([-1.2, 0.0])
    assert logprob.grad is not None
    assert logprob.grad.tolist() == [0.0, 0.0]


def test_the_weights_of_a_sampler() -> None:
    ratio = torch.tensor([0.0, 0.4, 0.5, 1.0, 2.0, 2.1, 9.0])
    assert truncated_weight(ratio, 2.0).tolist() == pytest.approx([0.0, 0.4, 0.5, 1.0, 2.0, 2.0, 2.0])
    assert masked_weight(ratio, 0.5, 2.0).tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 2.0, 0.0, 0.0])


def test_a_clipped_weight_drops_no_token() -> None:
    logprob = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    ratio = torch.tensor([0.1, 1.5, 7.0], requires_grad=True)
    loss = weighted_logprob(logprob, ratio, torch.tensor([1.0, -2.0, 1.0]), 0.5, 4.0)
    assert loss.tolist() == pytest.approx([0.5, -6.0, 15.0])
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert ratio.grad is None
    assert logprob.grad is not None
    assert logprob.grad.tolist() == [-0.5, 3.0, -5.0]


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
