"""SARSA, Q-learning and expected SARSA at the cliff: safe and optimal are not the same.

Sutton and Barto, example 6.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hone.envs.worlds.cliff import Cliff
from hone.report.charts import Series, curve
from hone.report.gridpictures import GridPanel, best_moves, grids
from hone.reproduce._tables import batches, greedy_returns, greedy_walk
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.learning.rules.base import Rule
from hone.tabular.learning.rules.expected_sarsa import ExpectedSarsa
from hone.tabular.learning.rules.q_learning import QLearning
from hone.tabular.learning.rules.sarsa import Sarsa
from hone.tabular.mdp import Floats
from hone.tabular.outcomes import mdp_of
from hone.tabular.planning import value_iteration

RUNS, EPISODES, LAST = 60, 500, 100
STEP_SIZE, EPSILON = 0.5, 0.1
RULES: dict[str, type[Rule]] = {"SARSA": Sarsa, "Q-learning": QLearning, "expected SARSA": ExpectedSarsa}
ONLINE = {"SARSA": (-27.4, 2.0), "Q-learning": (-49.4, 4.0), "expected SARSA": (-20.5, 1.0)}
"""Mean return of the last 100 episodes, and the tolerance that 60 runs allow."""
GREEDY = {"SARSA": -17.0, "Q-learning": -13.0, "expected SARSA": -15.0}
"""Most frequent return of the greedy policy afterwards."""


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """``RUNS`` learners per seed and rule, 500 episodes."""
    world = Cliff()
    best = value_iteration(mdp_of(world), 1.0)
    start = int(np.argmax(world.initial_state_distrib))
    checks = [Check("optimal return", float(best.value_S[start]), -13.0, 1e-4)]
    lines, panels, rows = [], [], []
    for name, rule in RULES.items():
        return_EN, tables = _learn(world, rule, seeds)
        online = float(return_EN[-LAST:].mean())
        greedy = greedy_returns(world, tables)
        ends, counts = np.unique(greedy[np.isfinite(greedy)], return_counts=True)
        usual = float(ends[counts.argmax()])
        checks.append(Check(f"{name}, return while learning, last {LAST}", online, *ONLINE[name]))
        checks.append(Check(f"{name}, usual greedy return", usual, GREEDY[name], 0.0))
        rows.append(
            {
                "rule": name,
                "return while learning": round(online, 2),
                "greedy return": usual,
                "learners with it": f"{counts.max()} of {len(greedy)}",
                "never ending": int(np.isinf(greedy).sum()),
            }
        )
        lines.append(Series(name, list(range(1, EPISODES + 1)), return_EN.mean(axis=1).tolist()))
        typical = tables[int(np.argmax(greedy == usual))]
        panels.append(
            GridPanel(
                name,
                world.layout,
                typical.max(axis=1),
                best_moves(typical, world.layout),
                greedy_walk(world, typical.argmax(axis=1)),
                numbers=False,
            )
        )
    checks.append(
        Check(
            "Q-learning, share of learners whose greedy policy is optimal",
            _share(rows[1]["learners with it"]),
            1.0,
            0.0,
        )
    )
    return Reproduction(
        title="Cliff walking",
        headline="Q-learning learns the shortest way along the edge and falls while it explores; SARSA "
        "learns a detour "
        "and earns more.",
        summary={"runs": RUNS * len(seeds), **{str(row["rule"]): row for row in rows}},
        checks=checks,
        pictures=(
            Picture(
                "While learning",
                curve(
                    lines,
                    title="Return per episode",
                    unit=f"mean of {RUNS * len(seeds)} learners, ε = 0.1",
                    x_label="episode",
                    smooth=True,
                    limits=(-100.0, 0.0),
                    size=(7.2, 3.4),
                ),
                "Thin: the mean itself; thick: its running mean.",
            ),
            Picture(
                "What was learnt",
                grids(panels, per_row=1, cell=0.48),
                "A typical learner of each rule after 500 episodes: values as colour, best moves, the greedy way.",
            ),
        ),
        tables={"Greedy policies": rows},
    )


def _learn(world: Cliff, rule: type[Rule], seeds: Sequence[int]) -> tuple[Floats, Floats]:
    returns, tables = [], []
    for runner, _, learner in batches(
        world,
        lambda environments, rng: OneStep(environments, rule(), 1.0, STEP_SIZE, EpsilonGreedy(EPSILON), rng),
        RUNS,
        seeds,
        f"cliff {rule.__name__}",
    ):
        returns.append(runner.episodes(EPISODES).return_EN)
        tables.append(learner.learnt)
    return np.concatenate(returns, axis=1), np.concatenate(tables)


def _share(text: object) -> float:
    part, _, whole = str(text).partition(" of ")
    return int(part) / int(whole)
