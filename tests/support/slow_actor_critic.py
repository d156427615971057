"""PPO's and A2C's credit and losses in plain Python, token by token, with every option."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from random_batches import Episode
from slow_credit import slow_credit

from hone.algorithms._actor_critic import ActorCritic


def apart(kind: str, d: float) -> float:
    return {"k1": d, "k2": d * d / 2, "k3": math.exp(-d) - 1 + d}[kind]


@dataclass
class SlowCredit:
    """Per live episode and action token: advantage before and after whitening, and the value's target."""

    live: list[Episode]
    raw: list[list[float]]
    white: list[list[float]]
    target: list[list[float]]
    kl_episode: float


def credit(algorithm: ActorCritic, specs: list[Episode], cut: list[bool]) -> SlowCredit:
    live = [(s, c) for s, c in zip(specs, cut, strict=True) if not s.failed]
    rewards: list[list[float]] = []
    kls: list[float] = []
    for spec, cut_short in live:
        reward = spec.rewards()
        if algorithm.reward_clip:
            reward = [max(-algorithm.reward_clip, min(algorithm.reward_clip, r)) for r in reward]
        if algorithm.missing_end is not None and cut_short:
            reward = [0.0] * (len(reward) - 1) + [algorithm.missing_end]
        d = [o - r for o, r in zip(spec.flat("old"), spec.flat("ref"), strict=True)]
        kls.append(sum(d))
        rewards.append([r - algorithm.beta * apart(algorithm.kl, x) for r, x in zip(reward, d, strict=True)])
    if algorithm.whiten_rewards and live:
        flat = [r for reward in rewards for r in reward]
        scale, mean = math.sqrt(statistics.pvariance(flat) + 1e-8), statistics.fmean(flat)
        rewards = [[(r - mean) / scale + mean for r in reward] for reward in rewards]
    raw, target = [], []
    for (spec, _), reward in zip(live, rewards, strict=True):
        penalty = [given - r for given, r in zip(spec.rewards(), reward, strict=True)]
        made = slow_credit(spec, penalty, algorithm.discount, algorithm.trace, algorithm.clock)
        raw.append(made[0])
        target.append(made[1])
    flat = [a for advantage in raw for a in advantage]
    white = raw
    if algorithm.whiten_advantages and flat:
        scale, mean = math.sqrt(statistics.pvariance(flat) + 1e-8), statistics.fmean(flat)
        white = [[(a - mean) / scale for a in advantage] for advantage in raw]
    return SlowCredit([s for s, _ in live], raw, white, target, statistics.fmean(kls) if kls else math.nan)
