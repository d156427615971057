"""Planners against the linear programme, and their bounds against the truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from hone.core.errors import HoneError
from hone.tabular.evaluation import evaluate_exact, evaluate_steps
from hone.tabular.mdp import MDP
from hone.tabular.planning import (
    Solution,
    finite_horizon,
    gauss_seidel,
    linear_programme,
    modified_policy_iteration,
    policy_iteration,
    prioritised,
    value_iteration,
)

PLANNERS: list[Callable[..., Solution]] = [
    value_iteration,
    gauss_seidel,
    prioritised,
    policy_iteration,
    modified_policy_iteration,
]


def random_mdp(seed: int, states: int, actions: int, ends: int, dense: bool, costs: bool) -> MDP:
    """A model with many zero probabilities, some states ending, some actions missing."""
    rng = np.random.default_rng(seed)
    transitions = rng.random((states, actions, states)) * (rng.random((states, actions, states)) < 0.5)
    transitions[..., rng.integers(states)] += 1e-3
    transitions /= transitions.sum(-1, keepdims=True)
    rewards = rng.normal(size=(states, actions)) * 5
    if costs:  # every step costs and may end: all policies are proper
        rewards = -np.abs(rewards) - 0.1
        transitions = 0.9 * transitions
        transitions[..., 0] += 0.1
    terminal = np.arange(states) < ends
    allowed = rng.random((states, actions)) < 0.8
    allowed[np.arange(states), rng.integers(actions, size=states)] = True
    stored = transitions if dense else [sparse.csr_array(transitions[:, a]) for a in range(actions)]
    return MDP.build(stored, rewards, terminal, allowed)


@given(
    seed=st.integers(0, 2**32 - 1),
    states=st.integers(2, 12),
    actions=st.integers(1, 4),
    gamma=st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]),
    ends=st.integers(0, 2),
    dense=st.booleans(),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_planners_agree_with_the_linear_programme(
    seed: int, states: int, actions: int, gamma: float, ends: int, dense: bool
) -> None:
    undiscounted = gamma == 1
    mdp = random_mdp(seed, states, actions, max(ends, int(undiscounted)), dense, undiscounted)
    truth = linear_programme(mdp, gamma)
    for plan in PLANNERS:
        found = plan(mdp, gamma)
        assert found.residual <= 1e-10, plan.__name__
        np.testing.assert_allclose(found.value_S, truth.value_S, atol=1e-6, err_msg=plan.__name__)
        achieved = evaluate_exact(mdp, found.policy_S, gamma).value_S
        np.testing.assert_allclose(achieved, truth.value_S, atol=1e-6, err_msg=plan.__name__)


@pytest.mark.parametrize("plan", [*PLANNERS, linear_programme])
def test_without_discount_the_best_policy_that_ends_is_found(plan: Callable[..., Solution]) -> None:
    """State 0 may wait for nothing or pay 1 to end: 0 is the value of waiting for ever, −1 of the best proper policy.

    State 1 may wait for nothing or win 1: the tied action 0 must not be chosen.
    """
    wait, leave = np.eye(3), np.tile([0.0, 0.0, 1.0], (3, 1))
    rewards = np.array([[0.0, -1.0], [0.0, 1.0], [0.0, 0.0]])
    mdp = MDP.build(np.stack([wait, leave], axis=1), rewards, [False, False, True])
    found = plan(mdp, 1.0)
    np.testing.assert_allclose(found.value_S, [-1.0, 1.0, 0.0], atol=1e-9)
    assert found.policy_S.tolist() == [1, 1, 0]


@pytest.mark.parametrize("plan", [policy_iteration, linear_programme])
def test_an_endless_loop_that_earns_is_refused(plan: Callable[..., Solution]) -> None:
    wait, leave = np.eye(2), np.tile([0.0, 1.0], (2, 1))
    mdp = MDP.build(np.stack([wait, leave], axis=1), np.array([[1.0, 0.0], [0.0, 0.0]]), [False, True])
    with pytest.raises(HoneError, match="endless loop earns reward"):
        plan(mdp, 1.0)
    with pytest.raises(HoneError, match="did not converge"):
        value_iteration(mdp, 1.0, max_sweeps=50)


def test_error_bounds_hold() -> None:
    for seed in range(20):
        mdp = random_mdp(seed, 10, 3, 1, True, False)
        truth = policy_iteration(mdp, 0.9).value_S
        rough = value_iteration(mdp, 0.9, tolerance=0.3)
        assert 1e-10 < rough.residual <= 0.3
        assert np.abs(rough.value_S - truth).max() <= rough.bound + 1e-9
        loss = truth - evaluate_exact(mdp, rough.policy_S, 0.9).value_S
        assert 0 <= loss.max() + 1e-9 <= rough.policy_bound + 2e-9
        assert rough.bound == pytest.approx(10 * rough.residual)


def test_constant_shifts_save_sweeps_where_nothing_ends() -> None:
    """MacQueen's bounds: a well mixing chain converges by its mixing, not by its discount."""
    rng = np.random.default_rng(0)
    dense = rng.random((40, 3, 40))
    mdp = MDP.build(dense / dense.sum(-1, keepdims=True), rng.random((40, 3)))
    found = value_iteration(mdp, 0.999)
    assert found.sweeps < 30  # 0.999^k < 1e-10 takes 23,000
    np.testing.assert_allclose(found.value_S, linear_programme(mdp, 0.999).value_S, atol=1e-6)


def test_gauss_seidel_follows_the_order_and_prioritised_does_less() -> None:
    """A corridor whose end pays: backwards one sweep suffices, forwards it takes one per state."""
    states = 30
    move = np.eye(states, k=1)
    move[-1, -1] = 1
    rewards = np.zeros((states, 1))
    rewards[-2] = 1
    mdp = MDP.build(move[:, None], rewards, np.arange(states) == states - 1)
    ahead = gauss_seidel(mdp, 0.9)
    back = gauss_seidel(mdp, 0.9, order=np.arange(states)[::-1])
    assert (ahead.sweeps, back.sweeps) == (states, 2)
    swept = prioritised(mdp, 0.9)
    assert swept.backups < 0.2 * value_iteration(mdp, 0.9).backups
    np.testing.assert_allclose(swept.value_S[:-1], 0.9 ** np.arange(states - 2, -1, -1))


def test_finite_horizon_equals_brute_force() -> None:
    mdp = random_mdp(3, 4, 2, 1, True, False)
    found = finite_horizon(mdp, 3, 0.9)

    def best(state: int, left: int) -> float:
        if left == 0 or mdp.terminal_S[state]:
            return 0.0
        options: list[float] = []
        for action in np.flatnonzero(mdp.allowed_AS[:, state]):
            row = mdp.transition[action * 4 + state]
            following = sum(p * best(target, left - 1) for target, p in enumerate(row))
            options.append(float(mdp.reward_AS[action, state]) + 0.9 * following)
        return max(options)

    for steps in range(4):
        np.testing.assert_allclose(found.value_HS[3 - steps], [best(s, steps) for s in range(4)], atol=1e-12)
    # The last decision is greedy for the reward alone, and a policy for one step is worth what it gets.
    last = found.policy_HS[2]
    np.testing.assert_allclose(evaluate_steps(mdp, last, 0.9, 1), found.value_HS[2], atol=1e-12)
    with pytest.raises(HoneError, match="horizon"):
        finite_horizon(mdp, -1)


def test_policy_iteration_counts_changes() -> None:
    mdp = MDP.build(np.eye(2)[:, None].repeat(2, axis=1), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert policy_iteration(mdp, 0.5, initial=[0, 0]).changes == (1, 0)
