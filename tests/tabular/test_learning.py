"""Learners against slow oracles written one transition at a time, and against exact values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.core.seeding import generator
from hone.envs.worlds.cliff import Cliff
from hone.envs.worlds.gambler import Gambler
from hone.envs.worlds.gridworld import Gridworld
from hone.envs.worlds.random_walk import RandomWalk
from hone.tabular.agents import Settings, learner_names, make_learner
from hone.tabular.evaluation import evaluate_exact
from hone.tabular.learning.base import Transition
from hone.tabular.learning.environments import GymnasiumEnvironments, ModelEnvironments
from hone.tabular.learning.monte_carlo import MonteCarlo
from hone.tabular.learning.n_step import NStep
from hone.tabular.learning.off_policy_monte_carlo import OffPolicyMonteCarlo
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import EpsilonGreedy, Fixed
from hone.tabular.learning.rules.base import Rule
from hone.tabular.learning.rules.double_q_learning import DoubleQLearning
from hone.tabular.learning.rules.expected_sarsa import ExpectedSarsa
from hone.tabular.learning.rules.q_learning import QLearning
from hone.tabular.learning.rules.sarsa import Sarsa
from hone.tabular.learning.rules.state_value import StateValue
from hone.tabular.learning.runner import Runner
from hone.tabular.learning.traces import Traces
from hone.tabular.learning.values import Values
from hone.tabular.mdp import Floats
from hone.tabular.outcomes import Outcomes, mdp_of
from hone.tabular.planning import value_iteration

RULES: list[type[Rule]] = [Sarsa, ExpectedSarsa, QLearning, DoubleQLearning]


class Sizes:
    """Stands for environments where transitions are written by hand."""

    runs, states, actions = 1, 3, 2

    def reset(self, run_K: Any) -> Any:
        raise NotImplementedError

    def step(self, run_K: Any, state_K: Any, action_K: Any) -> Any:
        raise NotImplementedError


def step(state: int, action: int, reward: float, following: int, next_action: int = 0, end: str = "") -> Transition:
    return Transition(
        np.array([0]),
        np.array([state]),
        np.array([action]),
        np.array([reward]),
        np.array([following]),
        np.array([end == "terminated"]),
        np.array([end == "truncated"]),
        np.array([next_action]),
    )


def learner_on(
    world: gymnasium.Env[Any, Any], make: Callable[..., Values], runs: int, seed: int = 0
) -> tuple[Runner, Values]:
    rng = generator(seed, "test")
    environments = ModelEnvironments(Outcomes.of(world), runs, rng)
    learner = make(environments, rng)
    return Runner(environments, learner), learner


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(Sarsa, 4.0), (QLearning, 6.0), (ExpectedSarsa, 0.9 * 6 + 0.1 * 4)],
)
def test_one_step_targets_by_hand(rule: type[Rule], expected: float) -> None:
    learner = OneStep(Sizes(), rule(), 0.5, 0.25, EpsilonGreedy(0.2), generator(0))
    learner.table[0] = [[1.0, 2.0], [6.0, 4.0], [0.0, 0.0]]
    learner.learn(step(0, 1, 3.0, 1, next_action=1))
    assert learner.table[0, 0].tolist() == [1.0, pytest.approx(2 + 0.25 * (3 + 0.5 * expected - 2))]
    learner.learn(step(0, 0, 3.0, 1, end="terminated"))
    assert learner.table[0, 0, 0] == pytest.approx(1 + 0.25 * (3 - 1))
    learner.learn(step(2, 0, 3.0, 1, next_action=1, end="truncated"))  # cut short, not worthless
    assert learner.table[0, 2, 0] == pytest.approx(0.25 * (3 + 0.5 * expected))


def test_double_learning_lets_the_other_table_judge() -> None:
    learner = OneStep(Sizes(), DoubleQLearning(), 1.0, 1.0, EpsilonGreedy(0.1), generator(1))
    learner.table[0, 1], learner.table[1, 1] = [5.0, 1.0], [2.0, 9.0]
    seen = set()
    for _ in range(20):
        learner.table[:, 0] = 0.0
        learner.learn(step(0, 0, 0.0, 1))
        seen.add(tuple(learner.table[:, 0, 0].tolist()))
    assert seen == {(2.0, 0.0), (0.0, 1.0)}
    assert learner.learnt[0, 1].tolist() == [3.5, 5.0]


def test_averaging_step_sizes_give_the_mean() -> None:
    learner = OneStep(Sizes(), StateValue(), 1.0, "average", Fixed.uniform(3, 2), generator(0), initial=7.0)
    for reward in (1.0, 5.0, 9.0):
        learner.learn(step(0, 0, reward, 1, end="terminated"))
    assert learner.table[0, 0, 0] == pytest.approx(5.0)


def test_n_step_returns_by_hand() -> None:
    """Three steps and n = 2: the first is credited with two rewards and a bootstrap, the rest at the end."""
    learner = NStep(Sizes(), StateValue(), 2, 0.5, 1.0, Fixed.uniform(3, 2), generator(0))
    learner.table[0, :, 0] = [0.0, 0.0, 8.0]
    learner.learn(step(0, 0, 1.0, 1))
    assert learner.table[0, 0, 0] == 0
    learner.learn(step(1, 0, 2.0, 2))
    assert learner.table[0, 0, 0] == 1 + 0.5 * 2 + 0.25 * 8
    learner.learn(step(2, 0, 4.0, 0, end="terminated"))
    assert learner.table[0, :, 0].tolist() == [4.0, 2 + 0.5 * 4, 4.0]
    assert learner.filled_N.tolist() == [0]


@pytest.mark.parametrize("rule", [StateValue, *RULES])
def test_one_step_n_one_and_no_trace_are_the_same(rule: type[Rule]) -> None:
    policy: Any = Fixed.uniform(7, 2) if rule is StateValue else EpsilonGreedy(0.3)
    makers: list[Callable[..., Values]] = [
        lambda e, rng: OneStep(e, rule(), 0.9, 0.3, policy, rng),
        lambda e, rng: NStep(e, rule(), 1, 0.9, 0.3, policy, rng),
    ]
    if rule not in (DoubleQLearning, QLearning):  # two tables have no traces; Watkins's take the next action first
        makers.append(lambda e, rng: Traces(e, rule(), 0.0, 0.9, 0.3, policy, rng))
    tables = []
    for make in makers:
        runner, learner = learner_on(RandomWalk(), make, 5)
        runner.episodes(20)
        tables.append(learner.learnt)
    for other in tables[1:]:
        np.testing.assert_allclose(other, tables[0], atol=1e-12)


def n_step_oracle(steps: list[tuple[int, float]], n: int, alpha: float, value: list[float]) -> list[float]:
    """Plain n-step TD of one recorded episode (states with rewards; γ = 1; the episode ends)."""
    value = list(value)
    for now in range(len(steps) + n):
        first = now - n + 1
        if 0 <= first < len(steps):
            total = sum(reward for _, reward in steps[first : first + n])
            if first + n < len(steps):
                total += value[steps[first + n][0]]
            value[steps[first][0]] += alpha * (total - value[steps[first][0]])
    return value


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_n_step_td_equals_a_loop(n: int) -> None:
    rng = np.random.default_rng(n)
    value = rng.random(7).tolist()
    learner = NStep(Bigger(), StateValue(), n, 1.0, 0.2, Fixed.uniform(7, 2), generator(0))
    learner.table[0, :, 0] = value
    for _ in range(5):
        steps = [(int(rng.integers(7)), float(rng.normal())) for _ in range(int(rng.integers(1, 12)))]
        value = n_step_oracle(steps, n, 0.2, value)
        for index, (state, reward) in enumerate(steps):
            last = index == len(steps) - 1
            learner.learn(step(state, 0, reward, 0 if last else steps[index + 1][0], end="terminated" if last else ""))
        np.testing.assert_allclose(learner.table[0, :, 0], value, atol=1e-12)


class Bigger(Sizes):
    """Seven states."""

    states = 7


@pytest.mark.parametrize("kind", ["accumulating", "replacing"])
def test_td_lambda_equals_a_loop(kind: Any) -> None:
    rng = np.random.default_rng(0)
    trace, gamma, alpha = 0.8, 0.9, 0.1
    learner = Traces(Bigger(), StateValue(), trace, gamma, alpha, Fixed.uniform(7, 2), generator(0), kind=kind)
    value, eligibility = np.zeros(7), np.zeros(7)
    for index in range(60):
        state, following, reward = int(rng.integers(7)), int(rng.integers(7)), float(rng.normal())
        end = index % 13 == 12
        error = reward + (0 if end else gamma * value[following]) - value[state]
        for x in range(7):
            eligibility[x] *= gamma * trace
        eligibility[state] = eligibility[state] + 1 if kind == "accumulating" else 1
        for x in range(7):
            value[x] += alpha * error * eligibility[x]
        if end:
            eligibility[:] = 0
        learner.learn(step(state, 0, reward, following, end="terminated" if end else ""))
        np.testing.assert_allclose(learner.table[0, :, 0], value, atol=1e-12)


def test_watkins_traces_are_cut_by_exploration() -> None:
    learner = Traces(Sizes(), QLearning(), 0.5, 1.0, 0.1, EpsilonGreedy(0.1), generator(0))
    assert learner.on_policy
    learner.table[0, 1] = [3.0, 0.0]
    learner.learn(step(0, 0, 0.0, 1, next_action=0))
    assert learner.eligibility_NX.any()
    learner.learn(step(0, 0, 0.0, 1, next_action=1))
    assert not learner.eligibility_NX.any()
    with pytest.raises(HoneError, match="traces need one table"):
        Traces(Sizes(), DoubleQLearning(), 0.5, 1.0, 0.1, EpsilonGreedy(0.1), generator(0))


@pytest.mark.parametrize(("first_visit", "expected"), [(True, [9.0, 5.0]), (False, [(9 + 5) / 2, (5 + 5) / 2])])
def test_monte_carlo_visits_by_hand(first_visit: bool, expected: list[float]) -> None:
    """The episode 0, 1, 0, 1 with rewards 4, 0, 0, 5: returns 9, 5, 5, 5."""
    learner = MonteCarlo(Sizes(), 1.0, "average", Fixed.uniform(3, 2), generator(0), False, first_visit)
    for state, reward, end in ((0, 4.0, ""), (1, 0.0, ""), (0, 0.0, ""), (1, 5.0, "terminated")):
        learner.learn(step(state, 0, reward, 1 - state, end=end))
    learner.end_episodes()
    assert learner.table[0, :2, 0].tolist() == expected
    assert learner.learnt[0, 2, 0] == 0


@pytest.mark.parametrize("weighting", ["ordinary", "weighted"])
@pytest.mark.parametrize("first_visit", [True, False])
def test_importance_sampling_by_hand(weighting: Any, first_visit: bool) -> None:
    """Behaviour 1/2, target takes action 0 with 3/4: states' weights 3/2 · 1/2 = 3/4 and 1/2."""
    target = Fixed([[0.75, 0.25]] * 3)
    made = OffPolicyMonteCarlo(
        Sizes(), 1.0, Fixed.uniform(3, 2), target, generator(0), weighting, False, first_visit, initial=0.0
    )
    made.learn(step(0, 0, 2.0, 1))
    made.learn(step(1, 1, 4.0, 2, end="terminated"))
    made.end_episodes()
    if weighting == "ordinary":
        assert made.table[0, :2, 0].tolist() == [0.75 * 6, 0.5 * 4]
    else:
        assert made.table[0, :2, 0].tolist() == [6.0, 4.0]  # one sample: its own weighted mean
    # The value of an action does not count its own ratio.
    actions = OffPolicyMonteCarlo(Sizes(), 1.0, Fixed.uniform(3, 2), target, generator(0), "ordinary")
    actions.learn(step(0, 0, 2.0, 1))
    actions.learn(step(1, 1, 4.0, 2, end="terminated"))
    actions.end_episodes()
    assert (actions.table[0, 0, 0], actions.table[0, 1, 1]) == (0.5 * 6, 4.0)


@pytest.mark.parametrize("weighting", ["ordinary", "weighted"])
def test_importance_sampling_finds_the_target_policys_values(weighting: Any) -> None:
    world = RandomWalk()
    target = np.tile([0.4, 0.6], (7, 1))
    truth = evaluate_exact(mdp_of(world), target, 1.0).value_S
    runner, learner = learner_on(
        world,
        lambda e, rng: OffPolicyMonteCarlo(e, 1.0, Fixed.uniform(7, 2), Fixed(target), rng, weighting, False),
        200,
    )
    runner.episodes(150)
    np.testing.assert_allclose(learner.learnt.mean(0)[1:6, 0], truth[1:6], atol=0.03)


def test_prediction_finds_the_values_of_a_policy() -> None:
    world = Gridworld()
    truth = evaluate_exact(mdp_of(world), np.full((16, 4), 0.25), 0.9).value_S
    policy = Fixed.uniform(16, 4)
    makers: list[Callable[..., Values]] = [
        lambda e, rng: OneStep(e, StateValue(), 0.9, 0.1, policy, rng),
        lambda e, rng: NStep(e, StateValue(), 4, 0.9, 0.05, policy, rng),
        lambda e, rng: Traces(e, StateValue(), 0.7, 0.9, 0.05, policy, rng),
        lambda e, rng: MonteCarlo(e, 0.9, "average", policy, rng, False),
        lambda e, rng: MonteCarlo(e, 0.9, "average", policy, rng, False, first_visit=True),
    ]
    for make in makers:
        runner, learner = learner_on(world, make, 150)
        if learner.lock_step:
            runner.episodes(100)
        else:  # not at an episode's end: the last update of a state beside the end would always be its best
            runner.steps(4_000)
        np.testing.assert_allclose(learner.learnt.mean(0)[1:15, 0], truth[1:15], atol=0.25)


def _settings(name: str) -> Settings:
    """Monte Carlo averages; off-policy it must start below all values, or nothing behind the last step is learnt."""
    if "monte_carlo" in name:
        return Settings(gamma=0.9, epsilon=0.2, initial=-20.0 if name.startswith("off") else 0.0)
    return Settings(gamma=0.9, epsilon=0.2, step_size=0.2)


@pytest.mark.parametrize("name", learner_names())
def test_every_learner_finds_the_way_in_a_small_grid(name: str) -> None:
    world = Gridworld()
    best = value_iteration(mdp_of(world), 0.9).value_S
    rng = generator(0, name)
    environments = ModelEnvironments(Outcomes.of(world), 20, rng, limit=200)
    learner = make_learner(name, environments, _settings(name), rng)
    Runner(environments, learner).episodes(500)
    policy_NS = learner.learnt.argmax(axis=2)
    lost = [best - evaluate_exact(mdp_of(world), policy, 0.9).value_S for policy in policy_NS]
    assert np.mean(lost) < 0.15  # over learners and states; the random policy loses 4.1
    if name in ("q_learning", "dyna_q", "prioritised_sweeping"):
        np.testing.assert_allclose(learner.learnt.max(axis=2), np.tile(best, (20, 1)), atol=0.2)


def test_names_and_options_are_checked() -> None:
    rng = generator(0)
    with pytest.raises(HoneError, match='did you mean "q_learning"'):
        make_learner("q_lerning", Sizes(), Settings(), rng)
    for name, wrong in (
        ("sarsa", Settings(planning=3)),
        ("monte_carlo", Settings(n=3)),
        ("prioritised_sweeping", Settings(bonus=0.1)),
        ("sarsa", Settings(n=2, trace=0.5)),
    ):
        with pytest.raises(HoneError, match=f"{name} ignores"):
            make_learner(name, Sizes(), wrong, rng)
    for broken in (Settings(gamma=2), Settings(step_size=0), Settings(epsilon=-1), Settings(trace=3), Settings(n=0)):
        with pytest.raises(HoneError, match=r"out of range|at least one step"):
            make_learner("sarsa", Sizes(), broken, rng)
    with pytest.raises(HoneError, match="not a distribution; at state 1"):
        Fixed([[0.5, 0.5], [0.5, 0.6]])


def test_epsilon_greedy_probabilities_match_its_draws() -> None:
    q = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 0.0, 0.0, 0.0]])
    for ties, expected in ((True, [[0.1, 0.4, 0.4, 0.1], [0.7, 0.1, 0.1, 0.1]]), (False, None)):
        policy = EpsilonGreedy(0.4, random_ties=ties)
        chances = policy.probabilities(q, np.zeros(2, dtype=int))
        if expected is not None:
            np.testing.assert_allclose(chances, expected)
        draws = policy.act(q.repeat(20_000, axis=0), np.zeros(40_000, dtype=int), generator(ties, "draws"))
        for row in range(2):
            counted = np.bincount(draws[row * 20_000 : (row + 1) * 20_000], minlength=4) / 20_000
            np.testing.assert_allclose(counted, chances[row], atol=0.015)


def test_the_runner_keeps_count() -> None:
    world = Cliff()
    down: NDArray[np.float64] = np.zeros((48, 4))
    down[:, 1] = 1  # right for ever: off the cliff each time, from the start
    runner, learner = learner_on(world, lambda e, rng: OneStep(e, Sarsa(), 1.0, 0.5, Fixed(down), rng), 3)
    history = runner.steps(7)
    assert (history.reward_TN == -100).all() and not history.ended_TN.any()
    right: Floats = np.zeros((7, 2))
    right[:, 1] = 1
    runner, learner = learner_on(RandomWalk(), lambda e, rng: OneStep(e, Sarsa(), 1.0, 0.5, Fixed(right), rng), 4)
    counted = runner.episodes(3)
    assert counted.length_EN.tolist() == [[3] * 4] * 3 and (counted.return_EN == 1).all()
    assert learner.learnt[0, 5, 1] == 1 - 0.5**3
    whole, halves = (learner_on(Gambler(), lambda e, rng: OneStep(e, QLearning(), 1.0, 0.5, EpsilonGreedy(0.1), rng), 4)
                     for _ in range(2))  # fmt: skip
    together = whole[0].steps(200)
    parts = [halves[0].steps(100) for _ in range(2)]
    assert np.array_equal(together.reward_TN, np.concatenate([p.reward_TN for p in parts]))
    assert np.array_equal(whole[1].table, halves[1].table)


def test_limits_truncate_and_bootstrap() -> None:
    rng = generator(0)
    environments = ModelEnvironments(Outcomes.of(Cliff()), 2, rng, limit=5)
    up = np.zeros((48, 4))
    up[:, 0] = 1
    learner = OneStep(environments, StateValue(), 1.0, 1.0, Fixed(up), rng, initial=-7.0)
    assert Runner(environments, learner).episodes(2).length_EN.tolist() == [[5, 5], [5, 5]]
    assert learner.learnt.min() < -8  # a truncated step still looks at the next state


def test_gymnasium_environments_give_what_their_tables_give() -> None:
    """Non-slippery Frozen Lake, stepped by Gymnasium, teaches the exact values."""
    environments = GymnasiumEnvironments(lambda: gymnasium.make("FrozenLake-v1", is_slippery=False), 4, seed=1)
    rng = generator(2)
    learner = make_learner("q_learning", environments, Settings(gamma=0.9, epsilon=0.5), rng)
    Runner(environments, learner).episodes(600)
    best = value_iteration(mdp_of(gymnasium.make("FrozenLake-v1", is_slippery=False)), 0.9).value_S
    np.testing.assert_allclose(learner.learnt.max(axis=2)[:, 0], best[0], atol=1e-6)
    with pytest.raises(HoneError, match="tables need discrete"):
        GymnasiumEnvironments(lambda: gymnasium.make("CartPole-v1"), 1)
