"""RWR and AWR against plain Python on random episodes: weights, losses and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_batches import Episode, build, episode_lists, per_episode
from reducing import total_loss, with_advantages
from slow_credit import slow_credit
from slow_policy_gradient import close

from hone.algorithms.awr import AWR
from hone.algorithms.rwr import RWR
from hone.functional.weights import exponential_weight


def answers(spec: Episode, credit: str) -> list[tuple[float, int]]:
    """(reward, tokens) of every answer of an episode; a turn without a token is not one."""
    if credit == "turn":
        return [(turn.reward, len(turn)) for turn in spec.turns if len(turn)]
    return [(sum(turn.reward for turn in spec.turns if len(turn)), sum(map(len, spec.turns)))]


def weighted(specs: list[Episode], weights: list[list[float]]) -> tuple[float, list[list[float]]]:
    """Loss and its slope by every log-prob: the mean over episodes of their token mean of −w log π."""
    alive = [s for s in specs if not s.failed and s.flat("old")]
    loss, slopes = 0.0, []
    for spec, own in zip(specs, weights, strict=True):
        share = 0.0 if spec.failed else 1 / (len(own) or 1) / len(alive)
        loss -= share * sum(w * p for w, p in zip(own, spec.flat("logprob"), strict=True))
        slopes.append([-share * w for w in own])
    return loss, slopes


@pytest.mark.parametrize("centring", ["prompt", "none"])
@pytest.mark.parametrize("credit", ["turn", "episode"])
@settings(max_examples=25, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_rwr(centring: str, credit: str, specs: list[Episode], shuffle: int) -> None:
    algorithm = RWR(temperature=0.7, most=2.5, centring=centring, credit=credit)  # type: ignore[arg-type]
    batch, logprob = build(specs, shuffle)
    batch = with_advantages(algorithm, batch)
    leaf = logprob.clone().requires_grad_()
    loss, named = total_loss(algorithm, batch, leaf)

    groups: dict[int, list[float]] = {}
    for spec in specs:
        if not spec.failed:
            groups.setdefault(spec.group, []).extend(r for r, _ in answers(spec, credit))
    weights: list[list[float]] = []
    for spec in specs:
        own: list[float] = []
        for reward, tokens in answers(spec, credit):
            mean = sum(groups[spec.group]) / len(groups[spec.group]) if centring == "prompt" and not spec.failed else 0
            own += [0.0 if spec.failed else min(math.exp((reward - mean) / 0.7), 2.5)] * tokens
        weights.append(own)
    close(per_episode(batch, batch.need("advantage"), len(specs)), weights)
    expected, slopes = weighted(specs, weights)
    assert loss == pytest.approx(expected, abs=1e-4, rel=1e-4)
    assert leaf.grad is not None
    close(per_episode(batch, leaf.grad, len(specs)), slopes)
    assert named["weighted_nll"] == pytest.approx(loss)


@settings(max_examples=25, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99), discount=st.sampled_from([0.0, 0.9, 1.0]))
def test_awr(specs: list[Episode], shuffle: int, discount: float) -> None:
    algorithm = AWR(temperature=0.5, most=4.0, discount=discount, value_weight=0.3)
    batch, logprob = build(specs, shuffle)
    batch = with_advantages(algorithm, batch)
    assert batch.value is not None
    leaf, value = logprob.clone().requires_grad_(), (batch.value + 0.3).requires_grad_()
    loss, named = total_loss(algorithm, batch, leaf, value)

    weights, critic = [], 0.0
    alive = sum(not s.failed and bool(s.flat("old")) for s in specs)
    for spec in specs:
        gains, targets, _ = slow_credit(spec, [0.0] * len(spec.flat("old")), discount, 1.0, "turn")
        weights.append([0.0 if spec.failed else min(math.exp(g / 0.5), 4.0) for g in gains])
        if not spec.failed and gains:
            errors = [(v + 0.3 - g) ** 2 / 2 for v, g in zip(spec.flat("value"), targets, strict=True)]
            critic += sum(errors) / len(errors) / alive
    close(per_episode(batch, batch.need("advantage"), len(specs)), weights)
    expected, slopes = weighted(specs, weights)
    assert named["weighted_nll"] == pytest.approx(expected, abs=1e-4, rel=1e-4)
    assert named["value"] == pytest.approx(critic, abs=1e-4, rel=1e-4)
    assert loss == pytest.approx(expected + 0.3 * critic, abs=2e-4, rel=1e-4)
    assert leaf.grad is not None
    close(per_episode(batch, leaf.grad, len(specs)), slopes)


def test_a_weight_never_overflows() -> None:
    huge = exponential_weight(torch.tensor([1e9, 0.0, -1e9]), 1e-3)
    assert torch.isfinite(huge).all() and huge.tolist()[1:] == [1.0, 0.0]
    assert exponential_weight(torch.tensor([1.0]), 0.4, 3.0).item() == pytest.approx(3.0)
    assert exponential_weight(torch.tensor([1.0]), 0.4).item() == pytest.approx(math.exp(2.5))


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": -1.0}, {"most": 0.0}])
def test_meaningless_options(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        RWR(**options)  # type: ignore[arg-type]
