"""Every algorithm's advantages, loss and gradient against plain Python on random episodes.

The episodes have several turns, may be split over rows, may have failed, and there may be none at all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ppo_for_tests import PPO
from random_batches import Episode, build, episode_lists, per_episode
from reducing import total_loss, with_advantages
from slow_credit import slow_credit

from hone.algorithms.base import Algorithm
from hone.algorithms.grpo import GRPO
from hone.algorithms.nll import NLL
from hone.algorithms.rloo import RLOO

KL: dict[str, Callable[[float], float]] = {
    "k1": lambda d: d,
    "k2": lambda d: d * d / 2,
    "k3": lambda d: math.exp(-d) - 1 + d,
}
KL_SLOPE: dict[str, Callable[[float], float]] = {
    "k1": lambda d: 1.0,
    "k2": lambda d: d,
    "k3": lambda d: 1 - math.exp(-d),
}

Slow = tuple[float, list[list[float]]]
"""A loss, and its gradient with respect to every action token's log-prob, by episode."""


def surrogate(ratio: float, advantage: float, low: float, high: float) -> tuple[float, float]:
    """Clipped surrogate loss and its slope in log-ratio."""
    clipped = min(max(ratio, 1 - low), 1 + high)
    if ratio * advantage <= clipped * advantage:
        return -ratio * advantage, -ratio * advantage
    return -clipped * advantage, 0.0


def outcomes(specs: list[Episode], beta: float, kl: str) -> list[float | None]:
    """The reward of every episode less its KL (under the old policy); None where its grader failed."""
    found: list[float | None] = []
    for spec in specs:
        apart = sum(KL[kl](o - r) for o, r in zip(spec.flat("old"), spec.flat("ref"), strict=True))
        found.append(None if spec.failed else sum(turn.reward for turn in spec.turns) - beta * apart)
    return found


def group_credit(specs: list[Episode], reward: list[float | None], kind: str) -> list[float]:
    credit = []
    for i, spec in enumerate(specs):
        others = [r for j, r in enumerate(reward) if r is not None and specs[j].group == spec.group and j != i]
        mine = reward[i]
        # a spread that is rounding only is left out: whether it counts as one depends on the order of summing
        if mine is None or not others or max(*others, mine) - min(*others, mine) < 1e-5:
            credit.append(0.0)
            continue
        mean = statistics.mean([*others, mine])
        scale = {"zscore": statistics.stdev([*others, mine]) + 1e-4, "centred": 1.0}
        credit.append(mine - statistics.mean(others) if kind == "alone" else (mine - mean) / scale[kind])
    return credit


def slow_grpo(algorithm: GRPO, specs: list[Episode], credit: list[float]) -> Slow:
    alive = [spec for spec in specs if not spec.failed]
    tokens = sum(len(spec.flat("old")) for spec in alive)
    loss, slopes = 0.0, []
    for spec, advantage in zip(specs, credit, strict=True):
        own = spec.flat("logprob")
        share = {"sequences": 1 / len(own) / max(len(alive), 1), "tokens": 1 / max(tokens, 1)}
        weight = share.get(str(algorithm.normaliser)) or 1 / (int(algorithm.normaliser) * max(len(alive), 1))
        slope = []
        for new, old, ref in zip(own, spec.flat("old"), spec.flat("ref"), strict=True):
            value, derivative = surrogate(math.exp(new - old), advantage, algorithm.clip_low, algorithm.clip_high)
            if algorithm.kl_in == "loss":
                value += algorithm.beta * KL[algorithm.kl](new - ref)
                derivative += algorithm.beta * KL_SLOPE[algorithm.kl](new - ref)
            loss += 0.0 if spec.failed else weight * value
            slope.append(0.0 if spec.failed else weight * derivative)
        slopes.append(slope)
    return loss, slopes


def slow_rloo(algorithm: RLOO, specs: list[Episode], credit: list[float]) -> Slow:
    alive = max(sum(not spec.failed for spec in specs), 1)
    loss, slopes = 0.0, []
    for spec, advantage in zip(specs, credit, strict=True):
        ratio = math.exp(sum(spec.flat("logprob")) - sum(spec.flat("old")))
        value, derivative = surrogate(ratio, advantage, algorithm.clip_low, algorithm.clip_high)
        loss += 0.0 if spec.failed else value / alive
        slopes.append([0.0 if spec.failed else derivative / alive] * len(spec.flat("old")))
    return loss, slopes


def fast(algorithm: Algorithm, specs: list[Episode], shuffle: int) -> tuple[list[list[float]], Slow, dict[str, float]]:
    """(advantage per action token, loss and gradient, named terms) from the code under test."""
    batch, logprob = build(specs, shuffle)
    batch = with_advantages(algorithm, batch)
    assert batch.advantage is not None
    assert bool((batch.advantage[~batch.train] == 0).all())
    leaf = logprob.clone().requires_grad_()
    loss, named = total_loss(algorithm, batch, leaf)
    assert leaf.grad is not None
    assert bool((leaf.grad[~batch.train] == 0).all())
    return (
        per_episode(batch, batch.advantage, len(specs)),
        (loss, per_episode(batch, leaf.grad, len(specs))),
        named,
    )


def close(found: list[list[float]], expected: list[list[float]]) -> None:
    assert len(found) == len(expected)
    for got, want in zip(found, expected, strict=True):
        assert got == pytest.approx(want, abs=2e-5, rel=2e-4)


@pytest.mark.parametrize(
    "algorithm",
    [
        GRPO(),
        GRPO(advantage="centred", normaliser="tokens", clip_low=0.05, clip_high=0.4),
        GRPO(advantage="centred", normaliser=7),
        GRPO(beta=0.3),
        GRPO(beta=0.3, kl="k1", normaliser="tokens"),
        GRPO(beta=0.3, kl="k2", normaliser=2),
        GRPO(beta=0.3, kl="k1", kl_in="reward", advantage="centred"),
        GRPO(beta=0.3, kl="k3", kl_in="reward", advantage="centred"),
    ],
    ids=str,
)
@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_grpo(algorithm: GRPO, specs: list[Episode], shuffle: int) -> None:
    in_reward = algorithm.beta if algorithm.kl_in == "reward" else 0.0
    credit = group_credit(specs, outcomes(specs, in_reward, algorithm.kl), algorithm.advantage)
    advantage, (loss, slopes), named = fast(algorithm, specs, shuffle)
    live = [0.0 if s.failed else a for s, a in zip(specs, credit, strict=True)]
    close(advantage, [[a] * len(s.flat("old")) for s, a in zip(specs, live, strict=True)])
    expected = slow_grpo(algorithm, specs, live)
    assert loss == pytest.approx(expected[0], abs=2e-5, rel=2e-4)
    close(slopes, expected[1])
    pairs = [
        (n - o, a)
        for s, a in zip(specs, live, strict=True)
        if not s.failed
        for n, o in zip(s.flat("logprob"), s.flat("old"), strict=True)
    ]
    stopped = [
        a * d > 0 and (d > math.log(1 + algorithm.clip_high) if d > 0 else d < math.log(1 - algorithm.clip_low))
        for d, a in pairs
    ]
    assert named["clip_fraction"] == pytest.approx(sum(stopped) / max(len(pairs), 1), abs=1e-6)
    assert named["ratio"] == pytest.approx(sum(math.exp(d) for d, _ in pairs) / max(len(pairs), 1), rel=1e-5)


@pytest.mark.parametrize("algorithm", [RLOO(), RLOO(clip_low=0.1, clip_high=0.6, beta=0.2)], ids=str)
@settings(max_examples=20, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_rloo(algorithm: RLOO, specs: list[Episode], shuffle: int) -> None:
    credit = group_credit(specs, outcomes(specs, algorithm.beta, "k1"), "alone")
    advantage, (loss, slopes), _ = fast(algorithm, specs, shuffle)
    close(advantage, [[a] * len(s.flat("old")) for s, a in zip(specs, credit, strict=True)])
    expected = slow_rloo(algorithm, specs, credit)
    assert loss == pytest.approx(expected[0], abs=2e-5, rel=2e-4)
    close(slopes, expected[1])


@settings(max_examples=15, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99))
def test_nll(specs: list[Episode], shuffle: int) -> None:
    advantage, (loss, slopes), _ = fast(NLL(), specs, shuffle)
    assert not any(a for row in advantage for a in row)
    kept = [p for s in specs if not s.failed for p in s.flat("logprob")]
    assert loss == pytest.approx(-sum(kept) / max(len(kept), 1), abs=1e-5)
    close(slopes, [[0.0 if s.failed else -1 / len(kept)] * len(s.flat("old")) for s in specs])


@pytest.mark.parametrize("clock", ["token", "turn"])
@settings(max_examples=20, deadline=None)
@given(specs=episode_lists(), shuffle=st.integers(0, 99), data=st.data())
def test_ppo(clock: str, specs: list[Episode], shuffle: int, data: st.DataObject) -> None:
    algorithm = PPO(discount=0.9, trace=0.8, clock=clock)  # type: ignore[arg-type]
    batch, logprob = build(specs, shuffle)
    batch = with_advantages(algorithm, batch)
    shift = data.draw(st.sampled_from([-0.7, 0.07, 0.7]))
    assert batch.value is not None and batch.advantage is not None
    leaf, value = logprob.clone().requires_grad_(), (batch.value + shift).requires_grad_()
    loss, named = total_loss(algorithm, batch, leaf, value)

    raw, targets, olds, news, values = (list[float]() for _ in range(5))
    for spec in specs:
        if spec.failed:
            continue
        advantage, target, _ = slow_credit(spec, [0.0] * len(spec.flat("old")), 0.9, 0.8, algorithm.clock)
        raw, targets = raw + advantage, targets + target
        olds, news, values = olds + spec.flat("old"), news + spec.flat("logprob"), values + spec.flat("value")
    count = max(len(raw), 1)
    mean = sum(raw) / count
    scale = math.sqrt(statistics.pvariance(raw) + 1e-8) if raw else 1.0
    white = [(a - mean) / scale for a in raw]
    found = [
        a
        for s, row in zip(specs, per_episode(batch, batch.advantage, len(specs)), strict=True)
        if not s.failed
        for a in row
    ]
    assert found == pytest.approx(white, abs=1e-2 if scale < 1e-2 else 1e-4)
    if scale < 1e-2:
        return  # whitening what is only rounding: nothing to compare
    policy = sum(surrogate(math.exp(n - o), a, 0.2, 0.2)[0] for n, o, a in zip(news, olds, white, strict=True)) / count
    clipped = max(-0.2, min(0.2, shift))
    critic = (
        sum(max((v + shift - g) ** 2, (v + clipped - g) ** 2) / 2 for v, g in zip(values, targets, strict=True)) / count
    )
    assert named["policy"] == pytest.approx(policy, abs=1e-4)
    assert named["value"] == pytest.approx(critic, abs=1e-4)
    assert loss == pytest.approx(policy + 0.1 * critic, abs=1e-4)
