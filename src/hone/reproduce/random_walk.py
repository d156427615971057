"""Temporal differences against Monte Carlo on the random walk (Sutton and Barto, examples 6.2 and 6.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hone.envs.worlds.random_walk import RandomWalk
from hone.report.charts import Series, curve
from hone.reproduce._tables import batches
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.learning.monte_carlo import MonteCarlo
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import Fixed
from hone.tabular.learning.rules.state_value import StateValue
from hone.tabular.mdp import Floats

RUNS, EPISODES, BATCH_RUNS = 300, 100, 100
TRUE = np.arange(1, 6) / 6
TD = {0.05: 0.037, 0.1: 0.057, 0.15: 0.072}
MONTE_CARLO = {0.01: 0.096, 0.02: 0.080, 0.03: 0.092, 0.04: 0.106}
"""Root mean squared error after 100 episodes by step size."""
BATCH = {10: (0.129, 0.183), 25: (0.084, 0.123), 50: (0.054, 0.080), 100: (0.040, 0.057)}
"""Errors of batch TD and batch Monte Carlo by number of episodes."""


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """``RUNS`` learners per seed and step size."""
    td = {alpha: _errors("td", alpha, seeds) for alpha in TD}
    mc = {alpha: _errors("mc", alpha, seeds) for alpha in MONTE_CARLO}
    batch = _batch_errors(seeds)
    checks = [Check("error of the initial values", float(td[0.1][0]), 0.2357, 1e-4)]
    checks += [Check(f"TD, step size {a:g}, after 100 episodes", float(td[a][-1]), v, 0.004) for a, v in TD.items()]
    checks += [
        Check(f"MC, step size {a:g}, after 100 episodes", float(mc[a][-1]), v, 0.008) for a, v in MONTE_CARLO.items()
    ]
    fast = td[0.1]
    checks += [
        Check("TD, step size 0.1, smallest error", float(fast.min()), 0.0485, 0.004),
        Check("TD, step size 0.1, episode of the smallest error", float(fast.argmin()), 41.0, 12.0),
        Check(
            "TD 0.1 ahead of TD 0.05 after 20 episodes",
            float(td[0.05][20] - fast[20]),
            0.0,
            0.0,
            at_least=True,
        ),
        Check(
            "TD 0.05 ahead of TD 0.1 after 100 episodes",
            float(fast[-1] - td[0.05][-1]),
            0.0,
            0.0,
            at_least=True,
        ),
    ]
    for episodes, targets in BATCH.items():
        for method, value, target in zip(("TD", "MC"), batch[:, episodes - 1], targets, strict=True):
            checks.append(Check(f"batch {method}, {episodes} episodes", float(value), target, 0.012))
    ahead = float((batch[1, 1:] - batch[0, 1:]).min())
    checks.append(Check("batch TD ahead of batch MC at every size from 2", ahead, 0.0, 0.0, at_least=True))
    return Reproduction(
        title="Random walk",
        headline=f"After 100 walks TD(0) is within {td[0.05][-1]:.3f} of the true values, Monte Carlo within "
        f"{min(e[-1] for e in mc.values()):.3f}; on the same batches TD is better at every size.",
        summary={
            "runs": RUNS * len(seeds),
            "td": {f"{a:g}": e.tolist() for a, e in td.items()},
            "monte carlo": {f"{a:g}": e.tolist() for a, e in mc.items()},
            "batch": {"td": batch[0].tolist(), "monte carlo": batch[1].tolist()},
        },
        checks=checks,
        pictures=(_online(td, mc), _batched(batch)),
        notes=(
            "Five states, true values 1/6 to 5/6, estimates start at 1/2. Batch values are those to which "
            "repeated small updates on the same episodes converge, computed exactly: for TD the values "
            "of the most likely model of the data, for Monte Carlo the mean return after each visit.",
        ),
    )


def _errors(method: str, alpha: float, seeds: Sequence[int]) -> Floats:
    """[episodes + 1] error over states (root mean square), then mean over learners, from the initial values
    on.
    """
    policy = Fixed.uniform(7, 2)

    def make(environments: Any, rng: np.random.Generator) -> OneStep | MonteCarlo:
        if method == "td":
            return OneStep(environments, StateValue(), 1.0, alpha, policy, rng, initial=0.5)
        return MonteCarlo(environments, 1.0, alpha, policy, rng, over_actions=False, initial=0.5)

    found = []
    for runner, _, learner in batches(RandomWalk(), make, RUNS, seeds, f"random walk {method} {alpha}"):
        errors = [_distance(learner.learnt[:, 1:6, 0])]
        for _ in range(EPISODES):
            runner.episodes(1)
            errors.append(_distance(learner.learnt[:, 1:6, 0]))
        found.append(np.array(errors))
    return np.asarray(np.concatenate(found, axis=1).mean(axis=1))


def _distance(value_NS: Floats) -> Floats:
    return np.asarray(np.sqrt(((value_NS - TRUE) ** 2).mean(axis=1)))


def _batch_errors(seeds: Sequence[int]) -> Floats:
    """[2, episodes] errors of batch TD and batch Monte Carlo after each number of episodes."""
    policy = Fixed.uniform(7, 2)
    found = []
    for runner, _, learner in batches(
        RandomWalk(),
        lambda e, rng: _Recorder(e, 1.0, 1.0, policy, rng, False, initial=0.5),
        BATCH_RUNS,
        seeds,
        "batch",
    ):
        assert isinstance(learner, _Recorder)
        errors = np.zeros((2, EPISODES))
        for episode in range(EPISODES):
            runner.episodes(1)
            errors[0, episode] = _distance(learner.td()).mean()
            errors[1, episode] = _distance(learner.monte_carlo()).mean()
        found.append(errors)
    return np.asarray(np.mean(found, axis=0))


class _Recorder(MonteCarlo):
    """Counts transitions and adds up returns; learns nothing by itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.moves = np.zeros((self.runs, 7, 7))
        self.visits, self.returns = np.zeros((self.runs, 7)), np.zeros((self.runs, 7))

    def end_episodes(self) -> None:
        """Without discounting, and with a reward at the end only, every visit's return is the last reward."""
        last = np.zeros(self.runs)
        for step in self.steps:
            last[step.run] = step.reward
        for step in self.steps:
            self.moves[step.run, step.state, step.next_state] += 1
            self.visits[step.run, step.state] += 1
            self.returns[step.run, step.state] += last[step.run]
        self.steps.clear()

    def monte_carlo(self) -> Floats:
        """[N, 5] mean returns; 1/2 where nothing was seen."""
        seen = self.visits[:, 1:6]
        return np.where(seen > 0, self.returns[:, 1:6] / np.maximum(seen, 1), 0.5)

    def td(self) -> Floats:
        """[N, 5] fixed point of batch TD(0): ``visits·v(s) = Σ moves·v(s') + arrivals at the right end``."""
        inner = self.moves[:, 1:6, 1:6]
        seen = self.visits[:, 1:6]
        system = np.eye(5) * np.where(seen > 0, seen, 1.0)[:, :, None] - inner
        right = np.where(seen > 0, self.moves[:, 1:6, 6], 0.5)
        return np.asarray(np.linalg.solve(system, right[:, :, None])[:, :, 0])


def _online(td: dict[float, Floats], mc: dict[float, Floats]) -> Picture:
    episodes = list(range(EPISODES + 1))
    lines = [Series(f"TD {a:g}", episodes, e.tolist()) for a, e in td.items()]
    lines += [Series(f"MC {a:g}", episodes, e.tolist()) for a, e in mc.items()]
    figure = curve(
        lines,
        title="Error of the values",
        unit="root mean square over states, mean over learners; step sizes as named",
        x_label="episodes",
        limits=(0.0, 0.25),
        size=(7.2, 3.8),
    )
    return Picture("Online", figure, "A large step learns fast and stays noisy; TD is below Monte Carlo.")


def _batched(batch: Floats) -> Picture:
    episodes = list(range(1, EPISODES + 1))
    figure = curve(
        [Series(name, episodes, row.tolist()) for name, row in zip(("TD", "MC"), batch, strict=True)],
        title="Error of batch training",
        unit="root mean square over states, mean over data sets",
        x_label="episodes in the batch",
        limits=(0.0, 0.35),
        size=(6.4, 3.2),
    )
    return Picture("Batches", figure, "The same data, both methods run to convergence.")
