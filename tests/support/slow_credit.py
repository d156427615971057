"""Returns, GAE and value targets as double sums over plain lists: the oracle of the batch functions."""

from __future__ import annotations

from random_batches import Episode

from hone.functional.returns import Clock


def slow_gae(rewards: list[float], values: list[float], bootstrap: float, discount: float, trace: float) -> list[float]:
    following = [*values[1:], bootstrap]
    errors = [r + discount * n - v for r, n, v in zip(rewards, following, values, strict=True)]
    n = len(rewards)
    return [sum((discount * trace) ** (k - t) * errors[k] for k in range(t, n)) for t in range(n)]


def slow_credit(
    spec: Episode, penalty: list[float], discount: float, trace: float, clock: Clock
) -> tuple[list[float], list[float], list[float]]:
    """(advantage, target, return-to-go) at every action token."""
    values = spec.flat("value")
    rewards = [r - p for r, p in zip(spec.rewards(), penalty, strict=True)]
    sizes = [len(turn) for turn in spec.turns]
    if clock == "turn":
        starts = [sum(sizes[:u]) for u in range(len(sizes))]
        values = [values[s] for s in starts]
        rewards = [sum(rewards[s : s + n]) for s, n in zip(starts, sizes, strict=True)]
    advantage = slow_gae(rewards, values, spec.bootstrap, discount, trace)
    target = [a + v for a, v in zip(advantage, values, strict=True)]
    n = len(rewards)
    togo = [
        sum(discount ** (k - t) * rewards[k] for k in range(t, n)) + discount ** (n - t) * spec.bootstrap
        for t in range(n)
    ]
    if clock == "turn":
        shared = (
            [x for x, size in zip(xs, sizes, strict=True) for _ in range(size)] for xs in (advantage, target, togo)
        )
        advantage, target, togo = shared
    return advantage, target, togo
