"""The policy gradients of the family in plain Python, token by token: the oracle of their loss and gradient."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from random_batches import Episode, build, per_episode
from reducing import total_loss, with_advantages

from hone.algorithms.base import Algorithm

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


@dataclass(frozen=True)
class Facts:
    """What a member is, said once more and independently of its class.

    ``credit``: see :func:`credit_of`. ``ratio``: of a token, the product over the episode, or its geometric mean.
    ``average``: over tokens, over episodes' means, or sums divided by a number and averaged over episodes.
    ``weighs``: the clipped ratio is only a weight of the log-prob.
    """

    credit: str
    ratio: Literal["token", "product", "geometric"]
    average: Literal["tokens", "sequences"] | int
    weighs: bool = False


def credit_of(specs: list[Episode], reward: list[float | None], kind: str) -> list[float]:
    """Advantages: those of :func:`group_credit`, "batch_std", or with "all " before it over the batch as one group."""
    if kind.startswith("all "):
        return group_credit([Episode(0, s.turns, s.bootstrap, s.failed) for s in specs], reward, kind[4:])
    if kind != "batch_std":
        return group_credit(specs, reward, kind)
    known = [r for r in reward if r is not None]
    scale = (statistics.stdev(known) if len(known) > 1 else 0.0) + 1e-4
    return [c / scale for c in group_credit(specs, reward, "centred")]


def slow_member(
    algorithm: Any, facts: Facts, specs: list[Episode], credit: list[float], sampler: str = "old"
) -> tuple[float, list[list[float]], float]:
    """(loss, gradient by episode, share of clipped tokens or episodes); ``sampler`` names the column it drew by."""
    alive = [spec for spec in specs if not spec.failed]
    tokens = sum(len(spec.flat("old")) for spec in alive)
    loss, slopes, stopped, units_ = 0.0, list[list[float]](), 0.0, 0
    for spec, advantage in zip(specs, credit, strict=True):
        new, old, ref, drawn = (spec.flat(name) for name in ("logprob", "old", "ref", sampler))
        n = len(new)
        slope = [0.0] * n
        slopes.append(slope)
        if spec.failed:
            continue
        if facts.average == "tokens":
            share = 1 / tokens
        else:
            share = 1 / len(alive) / (n if facts.average == "sequences" else facts.average)
        for unit in [[t] for t in range(n)] if facts.ratio == "token" else [list(range(n))]:
            moves = 1 / n if facts.ratio == "geometric" else 1.0
            ratio = math.exp(moves * sum(new[t] - old[t] for t in unit))
            weight = sampler_weight(algorithm, math.exp(moves * sum(old[t] - drawn[t] for t in unit)))
            units_ += 1
            if facts.weighs:
                (t,) = unit
                held = max(1 - algorithm.clip_low, min(1 + algorithm.clip_high, ratio))
                stopped += held != ratio and advantage != 0
                loss -= share * weight * held * advantage * new[t]
                slope[t] -= share * weight * held * advantage
                continue
            held, moving = bounded(algorithm, ratio, advantage)
            stopped += not moving
            loss -= len(unit) * share * weight * held * advantage
            for t in unit:
                slope[t] -= len(unit) * share * weight * held * advantage * moving * moves
        if algorithm.beta and algorithm.kl_in == "loss":
            for t in range(n):
                loss += share * algorithm.beta * KL[algorithm.kl](new[t] - ref[t])
                slope[t] += share * algorithm.beta * KL_SLOPE[algorithm.kl](new[t] - ref[t])
    return loss, slopes, stopped / max(units_, 1)


def bounded(algorithm: Any, ratio: float, advantage: float) -> tuple[float, bool]:
    """The ratio that counts, and whether it still moves the loss, case by case."""
    if advantage > 0 and ratio > 1 + algorithm.clip_high:
        return 1 + algorithm.clip_high, False
    if advantage < 0 and ratio < 1 - algorithm.clip_low:
        return 1 - algorithm.clip_low, False
    if advantage < 0 and algorithm.dual_clip is not None and ratio > algorithm.dual_clip:
        return algorithm.dual_clip, False
    return ratio, True


def sampler_weight(algorithm: Any, ratio: float) -> float:
    if algorithm.tis is not None:
        return min(ratio, float(algorithm.tis))
    if algorithm.mis is not None:
        return ratio if algorithm.mis[0] <= ratio <= algorithm.mis[1] else 0.0
    return 1.0


def fast(
    algorithm: Algorithm, specs: list[Episode], shuffle: int, sampler: str = "old"
) -> tuple[list[list[float]], Slow, dict[str, float]]:
    """(advantage per action token, loss and gradient, named terms) from the code under test."""
    batch, logprob = build(specs, shuffle)
    if sampler == "ref":
        batch = batch.with_(behaviour_logprob=batch.need("ref_logprob") * batch.sampled)
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
