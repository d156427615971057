"""Greediness: how many of the arms an agent has tried by each step, and what its choices have cost.

An agent that decides too early stops trying arms after a few steps (RLFT, arXiv 2504.16078, section 4.2: after about
ten of fifty). Random, greedy, UCB and Thompson agents play the same bandits beside it, with the same luck.

Dimensions: T steps, N runs, K arms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hone.data.experts import thompson
from hone.envs.arms import Gaussian
from hone.envs.bandit import Bandits
from hone.envs.contextual import ContextualBandits
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.evaluate.diagnostics.base import OfBandits
from hone.evaluate.estimates import Estimate, bootstrap_mean
from hone.evaluate.subjects import Played, Subject, World
from hone.tabular.bandits import (
    UCB,
    Agent,
    Greedy,
    History,
    LinUCB,
    Random,
    WithoutContext,
    play,
    play_contextual,
)
from hone.tabular.bandits.base import Floats, Ints


@dataclass(frozen=True)
class Greediness(OfBandits):
    """Coverage C_t = |{a : N_t(a) > 0}| / K and cumulative regret Σ (μ* − μ_a), over steps.

    Attributes:
        episodes: how many held-out bandits.
        samples: playings of each.
        seed: of the baselines' choices.
    """

    episodes: int = 64
    samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.episodes, self.samples) < 1:
            raise ValueError("episodes and samples must be at least 1")

    @staticmethod
    def suits(task: object) -> bool:
        """It is a bandit, with or without contexts."""
        return isinstance(task, Bandit | ContextualBandit)

    def examine(self, subject: Subject) -> dict[str, Any]:
        """Let the subject and the baselines play; what was measured, as plain values for JSON."""
        episodes_N = np.repeat(np.arange(self.episodes), self.samples)
        samples_N = np.tile(np.arange(self.samples), self.episodes)
        played = subject.play(episodes_N, samples_N)
        found = {"agent": measured(played.history, episodes_N)}
        for name, playing in baselines(subject.bandits(episodes_N, samples_N), subject.horizon, self.seed).items():
            found[name] = measured(playing(subject.bandits(episodes_N, samples_N)), episodes_N)
        return {
            "diagnostic": "greediness",
            "arms": subject.arms,
            "horizon": subject.horizon,
            "episodes": self.episodes,
            "samples": len(episodes_N),
            "invalid": invalid_rate(played, episodes_N).plain(),
            "score": score(found),
            "players": found,
        }


def baselines(bandits: World, steps: int, seed: int) -> dict[str, Callable[[Any], History]]:
    """Agents that fit these bandits, as what plays them. Which UCB is best depends on bandit and horizon."""
    if isinstance(bandits, ContextualBandits):
        seeing = {
            "random": WithoutContext(Random()),
            "UCB without context": WithoutContext(UCB(1.0, logarithm=False)),
            "LinUCB": LinUCB(),
        }
        return {
            name: lambda world, agent=agent: play_contextual(agent, world, steps, seed)  # type: ignore[misc]
            for name, agent in seeing.items()
        }
    return {
        name: lambda world, agent=agent: play(agent, world, steps, seed)  # type: ignore[misc]
        for name, agent in _blind(bandits).items()
    }


def _blind(bandits: Bandits) -> dict[str, Agent]:
    noisy = not isinstance(bandits.family, Gaussian) or bandits.family.noise > 0
    return {
        "random": Random(),
        "greedy": Greedy(),
        "UCB 1/√n": UCB(1.0, logarithm=False),
        "UCB √(½ ln t/n)": UCB(math.sqrt(0.5)),
        "UCB1": UCB(),
        **({"Thompson": thompson(bandits.family)} if noisy else {}),
    }


def measured(history: History, episodes_N: Ints) -> dict[str, Any]:
    """Curves and final values of one player; intervals are over bandits."""
    coverage_TN, regret_TN = coverage(history), history.gap_TN.cumsum(axis=0)
    return {
        "coverage": coverage_TN.mean(axis=1).tolist(),
        "regret": regret_TN.mean(axis=1).tolist(),
        "final_coverage": _final(coverage_TN, episodes_N, "coverage").plain(),
        "final_regret": _final(regret_TN, episodes_N, "regret").plain(),
        "reward": bootstrap_mean(history.reward_TN.mean(axis=0).tolist(), episodes_N.tolist(), ("reward",)).plain(),
    }


def coverage(history: History) -> Floats:
    """[T, N] share of the arms that each run has tried after each step."""
    steps, runs = history.action_TN.shape
    tried_NK = np.zeros((runs, history.arms), dtype=np.bool_)
    row, found = np.arange(runs), np.empty((steps, runs))
    for t in range(steps):
        tried_NK[row, history.action_TN[t]] = True
        found[t] = tried_NK.mean(axis=1)
    return found


def invalid_rate(played: Played, episodes_N: Ints) -> Estimate:
    """Share of the player's answers in which nothing legal was named."""
    invalid_N = played.invalid_TN.sum(axis=0) / played.own_TN.sum(axis=0)
    return bootstrap_mean(invalid_N.tolist(), episodes_N.tolist(), ("invalid",))


def score(players: Mapping[str, Mapping[str, Any]]) -> float | None:
    """(regret of random − regret) / (regret of random − regret of the best UCB); None where these are equal.

    0 is random play and 1 the best-tuned UCB.
    """
    regret = {name: float(found["final_regret"]["value"]) for name, found in players.items()}
    best = min((value for name, value in regret.items() if "UCB" in name), default=math.nan)
    room = regret["random"] - best
    return (regret["random"] - regret["agent"]) / room if room > 0 else None


def _final(value_TN: Floats, episodes_N: Ints, name: str) -> Estimate:
    last: Sequence[float] = value_TN[-1].tolist()
    return bootstrap_mean(last, episodes_N.tolist(), ("greediness", name))
