"""Dyna-Q, Dyna-Q+ and prioritised sweeping: the model by hand, planning against exact values."""

from __future__ import annotations

import numpy as np
import pytest

from hone.core.seeding import generator
from hone.envs.worlds.dyna_maze import DynaMaze
from hone.tabular.learning.base import Transition
from hone.tabular.learning.dyna_q import DynaQ
from hone.tabular.learning.environments import ModelEnvironments
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.learning.prioritised_sweeping import PrioritisedSweeping
from hone.tabular.learning.runner import Runner
from hone.tabular.outcomes import Outcomes, mdp_of
from hone.tabular.planning import value_iteration

CHAIN = Outcomes.from_table(
    {s: {a: [(1.0, min(s + 1, 4), float(s == 3), s == 3)] for a in range(2)} for s in range(5)}, [1, 0, 0, 0, 0]
)


def step(state: int, action: int, reward: float, following: int, terminated: bool = False) -> Transition:
    return Transition(
        np.array([0]), np.array([state]), np.array([action]), np.array([reward]), np.array([following]),
        np.array([terminated]), np.array([False]), np.array([0]),
    )  # fmt: skip


def environments(runs: int = 1) -> ModelEnvironments:
    return ModelEnvironments(CHAIN, runs, generator(0))


def test_planning_spreads_one_reward_over_the_whole_chain() -> None:
    """After one walk along the chain Q-learning knows one value, planning and sweeping know all."""
    known = {}
    for name, made in {
        "q": DynaQ(environments(), 0.5, 1.0, EpsilonGreedy(0.0), generator(1), planning=0),
        "dyna": DynaQ(environments(), 0.5, 1.0, EpsilonGreedy(0.0), generator(1), planning=60),
        "swept": PrioritisedSweeping(environments(), 0.5, 1.0, EpsilonGreedy(0.0), generator(1), planning=4),
    }.items():
        for state in range(4):
            made.learn(step(state, 0, float(state == 3), state + 1, state == 3))
        known[name] = made.table[0, :4, 0].tolist()
    assert known["q"] == [0, 0, 0, 1]
    assert known["dyna"] == known["swept"] == [0.125, 0.25, 0.5, 1.0]


def test_sweeping_stops_when_nothing_is_due() -> None:
    made = PrioritisedSweeping(environments(), 0.5, 1.0, EpsilonGreedy(0.0), generator(1), planning=2)
    for state in range(4):
        made.learn(step(state, 0, float(state == 3), state + 1, state == 3))
    assert made.table[0, :4, 0].tolist() == [0, 0, 0.5, 1.0]  # two updates, the largest errors first
    assert made.priority_NX[0, 2 * 1] == 0.25  # the rest waits in the queue
    made.learn(step(0, 1, 0.0, 1))
    assert made.table[0, :2, 0].tolist() == [0.125, 0.25]
    assert made.priority_NX[0].tolist() == [0.0, 0.125, *[0.0] * 8]  # the new way to state 1 is due next


def test_the_bonus_grows_with_the_root_of_time_for_untried_actions_too() -> None:
    made = DynaQ(environments(), 0.0, 1.0, EpsilonGreedy(0.0), generator(1), planning=200, bonus=0.5)
    made.learn(step(0, 0, 0.0, 0))
    assert made.table[0, 0].tolist() == [0.0, 0.5]  # tried just now; untried for one step
    for _ in range(3):
        made.learn(step(0, 0, 0.0, 0))
    assert made.table[0, 0].tolist() == [0.0, 0.5 * 4**0.5]
    assert made.count_N.tolist() == [2]  # both actions of the one state that was visited
    plain = DynaQ(environments(), 0.0, 1.0, EpsilonGreedy(0.0), generator(1), planning=1)
    plain.learn(step(0, 0, 0.0, 0))
    assert plain.count_N.tolist() == [1]


@pytest.mark.parametrize("kind", [DynaQ, PrioritisedSweeping])
def test_the_maze_is_solved_exactly(kind: type[DynaQ]) -> None:
    world = DynaMaze()
    rng = generator(0, kind.__name__)
    envs = ModelEnvironments(Outcomes.of(world), 5, rng)
    learner = kind(envs, 0.95, 0.5, EpsilonGreedy(0.1), rng, planning=20)
    Runner(envs, learner).episodes(40)
    start = int(np.argmax(world.initial_state_distrib))
    best = value_iteration(mdp_of(world), 0.95).value_S[start]
    assert best == pytest.approx(0.95**13)
    found = np.log(learner.learnt[:, start].max(axis=1)) / np.log(0.95) + 1
    # Every learner values a way of 14 steps, or one of 16 that little exploration never left.
    np.testing.assert_allclose(found, 2 * np.round(found / 2), atol=0.5)
    assert (found < 16.5).all() and (found < 14.5).sum() >= 2
