"""Playing a bandit over many runs at once, and what is measured: reward, regret, optimal share, coverage.

Dimensions: T steps, N parallel runs, K arms, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.core.streams import key_array
from hone.tabular.bandits.base import Agent, Floats, Ints
from hone.tabular.bandits.linucb import ContextualAgent


class Pullable(Protocol):
    """N bandits in progress, as :class:`hone.envs.bandit.Bandits` provides them.

    Attributes:
        means_NK: expected reward of every arm (contextual bandits: in the present context).
        episodes_N, samples_N: what the runs' randomness is keyed by.
    """

    means_NK: Floats
    episodes_N: Ints
    samples_N: Ints

    def pull(self, actions: Ints) -> Floats:
        """Rewards [N] of one pull each; goes on to the next step."""


class ContextualPullable(Pullable, Protocol):
    """N contextual bandits in progress, as :class:`hone.envs.contextual.ContextualBandits` provides them."""

    context_ND: Floats


@dataclass(frozen=True)
class History:
    """Everything that happened, and the measures over it.

    Attributes:
        action_TN: the arms pulled.
        reward_TN: what they paid.
        gap_TN: what each choice cost in expectation, max_k μ_k − μ_a.
        arms: K.
    """

    action_TN: NDArray[np.int16]
    reward_TN: Floats
    gap_TN: Floats
    arms: int

    @property
    def mean_reward(self) -> Floats:
        """[T] mean reward of each step."""
        mean_T: Floats = self.reward_TN.mean(axis=1)
        return mean_T

    @property
    def regret(self) -> Floats:
        """[T] mean cumulative (pseudo-)regret Σ_{s≤t} (μ* − μ_{a_s}) after each step."""
        regret_T: Floats = self.gap_TN.mean(axis=1).cumsum()
        return regret_T

    @property
    def final_regret(self) -> Floats:
        """[N] each run's cumulative regret at the end."""
        regret_N: Floats = self.gap_TN.sum(axis=0)
        return regret_N

    @property
    def optimal_share(self) -> Floats:
        """[T] share of runs that pull a best arm, at each step."""
        share_T: Floats = (self.gap_TN == 0).mean(axis=1)
        return share_T

    @property
    def coverage(self) -> Floats:
        """[T] mean share of the arms tried at least once after each step: |{a: N_t(a) > 0}| / K."""
        steps, runs = self.action_TN.shape
        first_NK = np.full((runs, self.arms), steps)
        row = np.arange(runs)
        for t in range(steps - 1, -1, -1):  # backwards, so that the earliest pull is what stays
            first_NK[row, self.action_TN[t]] = t
        new_T = np.bincount(first_NK.ravel(), minlength=steps + 1)[:steps]
        coverage_T: Floats = new_T.cumsum() / (runs * self.arms)
        return coverage_T


def play(agent: Agent, bandits: Pullable, steps: int, seed: int = 0) -> History:
    """Let an agent play every bandit for some steps.

    Args:
        seed: seed of the agent; with an episode's number it keys the agent's choices in that episode.

    Raises:
        HoneError: no steps.
    """
    means_NK = bandits.means_NK
    runs, arms = means_NK.shape
    action_TN, reward_TN = _empty(steps, runs)
    player = agent.begin(arms, _keys(bandits, seed))
    for t in range(steps):
        actions = player.act()
        rewards = bandits.pull(actions)
        player.learn(actions, rewards)
        action_TN[t] = actions
        reward_TN[t] = rewards
    gap_NK = means_NK.max(axis=1, keepdims=True) - means_NK
    return History(action_TN, reward_TN, gap_NK.ravel().take(action_TN + np.arange(runs) * arms), arms)


def play_contextual(agent: ContextualAgent, bandits: ContextualPullable, steps: int, seed: int = 0) -> History:
    """As :func:`play`, in a contextual bandit: the best arm is that of each step's context."""
    runs, arms = bandits.means_NK.shape
    action_TN, reward_TN = _empty(steps, runs)
    gap_TN = np.empty((steps, runs))
    row = np.arange(runs)
    player = agent.begin(arms, bandits.context_ND.shape[1], _keys(bandits, seed))
    for t in range(steps):
        context_ND, means_NK = bandits.context_ND, bandits.means_NK
        actions = player.act(context_ND)
        rewards = bandits.pull(actions)
        player.learn(context_ND, actions, rewards)
        action_TN[t] = actions
        reward_TN[t] = rewards
        gap_TN[t] = means_NK.max(axis=1) - means_NK[row, actions]
    return History(action_TN, reward_TN, gap_TN, arms)


def _keys(bandits: Pullable, seed: int) -> NDArray[np.uint64]:
    return key_array((seed, "bandit agent"), bandits.episodes_N, bandits.samples_N)


def _empty(steps: int, runs: int) -> tuple[NDArray[np.int16], Floats]:
    if steps < 1:
        raise HoneError("a bandit is played for at least one step", got=str(steps))
    return np.empty((steps, runs), dtype=np.int16), np.empty((steps, runs))
