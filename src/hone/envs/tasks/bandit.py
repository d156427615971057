"""Multi-armed bandits in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from hone.core.seeding import generator, stream
from hone.envs.acting.base import Moved, Scene
from hone.envs.acting.corpus import PLAYERS, histories, written
from hone.envs.acting.names import action_names
from hone.envs.acting.task import ActingTask
from hone.envs.arms import Bernoulli, Family, Floats, Gaussian
from hone.envs.bandit import Bandits, Ints, draw_means, luck_keys

Scenario = Literal["continuous", "button", "plain"]

_INTRODUCTIONS = {
    "continuous": "You are a decision-making agent in front of a machine with {arms} levers, numbered {names}.",
    "button": "You are a decision-making agent in a room with {arms} buttons of different colours: {names}.",
    "plain": "You are a bandit algorithm with {arms} arms: {names}.",
}


@dataclass(frozen=True)
class Bandit(ActingTask):
    """A Gaussian or Bernoulli bandit: each action pays by chance, and which pays best has to be found out.

    An episode is one bandit; rollouts of a group play the same one with their own luck. Bandits of the two splits are
    drawn apart. (Where the means are given, or differ only in which arm is best, there are not enough bandits to keep
    apart: then only the luck is new.)

    Attributes:
        arms: K.
        scenario: "continuous": numbers; "button": colours in BanditBench's order, of which there are 20; "plain":
            letters, 26.
        family: how arms pay, with the options of the table of that name.
        gaussian: means and noise of Gaussian arms, see :mod:`hone.envs.arms`.
        bernoulli: probabilities of Bernoulli arms.
        horizon: T, pulls per episode.
        players: shares of the players whose histories the corpus holds (:mod:`hone.envs.acting.corpus`).
    """

    arms: int = 10
    scenario: Scenario = "button"
    family: Literal["gaussian", "bernoulli"] = "gaussian"
    gaussian: Gaussian = field(default_factory=Gaussian)
    bernoulli: Bernoulli = field(default_factory=Bernoulli)
    horizon: int = 50
    players: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(PLAYERS, 1.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.arms < 2 or self.horizon < 1:
            raise ValueError(f"a bandit needs two arms and a step, not {self.arms} and {self.horizon}")
        if self.aids.try_all and self.horizon <= self.arms:
            raise ValueError(f"aids.try_all takes {self.arms} steps, and there are only {self.horizon}: none are left")
        unused, default = ("bernoulli", Bernoulli()) if self.family == "gaussian" else ("gaussian", Gaussian())
        if getattr(self, unused) != default:
            raise ValueError(f'{unused} has no effect on family "{self.family}"')
        action_names(self.scenario, self.arms)

    @property
    def payoff(self) -> Family:
        """How arms are drawn and pay."""
        return self.gaussian if self.family == "gaussian" else self.bernoulli

    @cached_property
    def scene(self) -> Scene:
        """Role, arms and aim."""
        names = action_names(self.scenario, self.arms)
        introduction = _INTRODUCTIONS[self.scenario].format(arms=self.arms, names=", ".join(names))
        kind = "" if self.family == "gaussian" else " It is either 1 or 0."
        instruction = (
            f"{introduction} Each has an unknown mean reward, which is the same throughout.{kind} "
            f"You choose {self.horizon} times, and your goal is to maximise the total reward."
        )
        letter = chr(ord("a") + self.arms - 1) if self.arms <= 26 else str(self.arms)
        return Scene(instruction, names, f"{self.family[0].upper()}{letter}|", self._digits)

    @property
    def turns(self) -> int:
        """The horizon."""
        return self.horizon

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Of a random arm's reward, over the training bandits."""
        mean_NK = self._means("train")
        variance = mean_NK.var()
        if self.family == "gaussian":
            variance += self.gaussian.noise**2
        else:
            variance += (mean_NK * (1 - mean_NK)).mean()
        return float(mean_NK.mean()), float(np.sqrt(variance))

    def bandits(
        self, split: str, episodes: Sequence[int] | Ints | int, sample: int | Sequence[int] | Ints = 0
    ) -> Bandits:
        """The same bandits side by side for numeric agents; ``sample`` is the seed of the text environment's reset."""
        return Bandits(
            self.payoff, self.arms, episodes, horizon=self.horizon, seed=self.seed, split=split, sample=sample
        )

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` histories of simple players of the training bandits, as (opening, the rest), in the compact form."""
        rng = generator(seed, "bandit corpus")
        bandits = self.bandits("train", rng.integers(self.train, size=n), sample=np.arange(n) + (1 << 32))
        mean, deviation = self.moments
        return written(self.face, self.scene, *histories(bandits, self.horizon, self.players, mean - deviation, rng))

    def begin(self, split: str, episode: int, sample: int) -> Pulls:
        """A bandit before its first pull."""
        luck_T = self.payoff.luck(stream(luck_keys(self.seed, split, [episode], [sample])[0], self.horizon))
        return Pulls(self.payoff, self._rows(split)[episode], luck_T.tolist())

    @property
    def _digits(self) -> tuple[float, float]:
        """Rewards 0 to 1, or two deviations around the mean of the means."""
        g = self.gaussian
        if self.family == "bernoulli" or g.means_from == "uniform01":
            return 0.0, 1.0
        if isinstance(g.means_from, tuple):
            return min(g.means_from) - 2 * g.noise, max(g.means_from) + 2 * g.noise or 1.0
        reach = 2 * float(np.hypot(g.spread, g.noise)) or 1.0
        return g.centre - reach, g.centre + reach

    def _means(self, split: str) -> Floats:
        return draw_means(self.payoff, self.arms, self.seed, split, np.arange(self.size(split)))

    def _rows(self, split: str) -> list[list[float]]:
        if split not in self._drawn:
            self._drawn[split] = self._means(split).tolist()
        return self._drawn[split]

    @cached_property
    def _drawn(self) -> dict[str, list[list[float]]]:
        return {}


class Pulls:
    """One bandit in progress; rewards are those of :class:`hone.envs.bandit.Bandits`, in plain numbers."""

    __slots__ = ("_best", "_luck", "_means", "_pays", "_time", "legal")
    state = compact = ""

    def __init__(self, family: Family, means: list[float], luck: list[float]) -> None:
        self.legal = range(len(means))
        self._means, self._luck, self._best = means, luck, max(means)
        self._pays = isinstance(family, Bernoulli)
        self._time = 0

    def act(self, action: int) -> Moved:
        """One pull."""
        mean, luck = self._means[action], self._luck[self._time]
        self._time += 1
        reward = float(luck < mean) if self._pays else mean + luck
        return Moved(reward, self._time == len(self._luck), False, self._best - mean)
