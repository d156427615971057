"""Who is examined: anything that plays bandits, says how probable each arm is to it, and perhaps thinks aloud.

Dimensions: N runs, T steps, K arms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hone.core.streams import Streams, key_array
from hone.envs.acting.rationale import Rationale
from hone.envs.bandit import Bandits
from hone.envs.contextual import ContextualBandits
from hone.tabular.bandits import History
from hone.tabular.bandits.base import Floats, Ints, choose
from hone.tabular.bandits.tallies import Bools, Mind, Tally, tallies


@dataclass(frozen=True, eq=False)
class Played:
    """What somebody did in N episodes of T steps.

    Attributes:
        history: actions, rewards and what they cost.
        invalid_TN: where nothing legal was named, so that chance chose.
        own_TN: where the player was asked: no aid took the step.
        texts_TN: what was written, thoughts included; "" where nothing was.
    """

    history: History
    invalid_TN: Bools
    own_TN: Bools
    texts_TN: tuple[tuple[str, ...], ...] = ()

    @property
    def seen(self) -> Tally:
        """What was seen before each step: [T, N, K]."""
        whole = tallies(self.history.action_TN, self.history.reward_TN, self.history.arms)
        return Tally(whole.count[:-1], whole.mean[:-1])


World = Bandits | ContextualBandits


class Subject(Protocol):
    """Somebody who plays bandits.

    Attributes:
        arms: K.
        horizon: T of an episode.
        rounding: by how much values that are written alike may differ.
        example: a text with bounds, as :meth:`bounds` reads them.
    """

    @property
    def arms(self) -> int: ...  # noqa: D102

    @property
    def horizon(self) -> int: ...  # noqa: D102

    @property
    def rounding(self) -> float: ...  # noqa: D102

    @property
    def example(self) -> str: ...  # noqa: D102

    def bounds(self, text: str) -> list[float]:
        """The bound [K] that a text gives for every arm; infinite where it says "untried", NaN where nothing."""

    def bandits(self, episodes_N: Ints, samples_N: Ints) -> World:
        """The numeric bandits of these episodes: the same arms and the same luck."""

    def play(self, episodes_N: Ints, samples_N: Ints) -> Played:
        """Play the episodes."""

    def probabilities(self, episodes_N: Ints, samples_N: Ints, action_TN: Ints, wanted_SN: Bools) -> Floats:
        """[S, N, K] probability of every arm after the first s of the actions, where it is wanted; else NaN.

        S is T + 1. The actions of a run may end early: −1 stands behind them.
        """


@dataclass(frozen=True, eq=False)
class Scripted:
    """A policy that depends on counts and means alone, as a subject: for tests, and to compare with.

    Attributes:
        mind: the policy.
        world: bandits to take family, arms, horizon, seed and split from.
        seed: of its choices.
        thinks: what it writes before it acts; nothing if None.
    """

    mind: Mind
    world: Bandits
    seed: int = 0
    thinks: Rationale | None = None

    @property
    def arms(self) -> int:
        """As the world's."""
        return self.world.arms

    @property
    def horizon(self) -> int:
        """As the world's."""
        return self.world.horizon

    @property
    def rounding(self) -> float:
        """Of its rationale."""
        return self.thinks.step if self.thinks else 0.0

    @property
    def example(self) -> str:
        """An arm that was tried and one that was not."""
        return self.thinks.write([2.0, *[0.0] * (self.arms - 1)], [0.5] * self.arms) if self.thinks else ""

    def bounds(self, text: str) -> list[float]:
        """By its rationale."""
        return self.thinks.read(text) if self.thinks else [math.nan] * self.arms

    def bandits(self, episodes_N: Ints, samples_N: Ints) -> Bandits:
        """Episodes of the world."""
        own = self.world
        return Bandits(
            own.family, own.arms, episodes_N, horizon=own.horizon, seed=own.seed, split=own.split, sample=samples_N
        )

    def play(self, episodes_N: Ints, samples_N: Ints) -> Played:
        """Draw every arm from the mind's distribution."""
        bandits = self.bandits(episodes_N, samples_N)
        uniform = Streams(key_array((self.seed, "scripted subject"), episodes_N, samples_N))
        runs = len(episodes_N)
        action_TN = np.full((self.horizon, runs), -1, dtype=np.int16)
        reward_TN, gap_TN = np.zeros((2, self.horizon, runs))
        count, total, row = np.zeros((runs, self.arms)), np.zeros((runs, self.arms)), np.arange(runs)
        for t in range(self.horizon):
            with np.errstate(invalid="ignore", divide="ignore"):
                weight_NK = self.mind(Tally(count, total / count))
            actions = choose(np.ascontiguousarray(weight_NK.T), uniform.at(t))
            gap_TN[t] = bandits.best_N - bandits.means_NK[row, actions]
            rewards = bandits.pull(actions)
            action_TN[t], reward_TN[t] = actions, rewards
            count[row, actions] += 1
            total[row, actions] += rewards
        own_TN = np.ones(action_TN.shape, dtype=np.bool_)
        played = Played(History(action_TN, reward_TN, gap_TN, self.arms), ~own_TN, own_TN)
        if self.thinks is None:
            return played
        pairs = zip(played.seen.count.tolist(), np.nan_to_num(played.seen.mean).tolist(), strict=True)
        texts = tuple(tuple(map(self.thinks.write, counts, means)) for counts, means in pairs)
        return replace(played, texts_TN=texts)

    def probabilities(self, episodes_N: Ints, samples_N: Ints, action_TN: Ints, wanted_SN: Bools) -> Floats:
        """Ask the mind after the rewards that the bandits pay."""
        seen = tallies(action_TN, forced_rewards(self.bandits(episodes_N, samples_N), action_TN), self.arms)
        probability = self.mind(seen)
        probability[~wanted_SN] = np.nan
        return probability


def forced_rewards(bandits: World, action_TN: Ints) -> Floats:
    """[T, N] what the arms pay if these are pulled, 0 where none is (−1)."""
    reward_TN = np.zeros(action_TN.shape)
    for t, actions in enumerate(action_TN):
        reward_TN[t] = np.where(actions >= 0, bandits.pull(np.maximum(actions, 0)), 0.0)
    return reward_TN
