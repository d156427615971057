"""The explicit model: what it refuses, and what it makes of Gymnasium's tables."""

from __future__ import annotations

import re

import gymnasium
import numpy as np
import pytest
from scipy import sparse

from hone.core.errors import HoneError
from hone.tabular.evaluation import evaluate_exact, evaluate_iterative, evaluate_steps, random_policy
from hone.tabular.mdp import MDP
from hone.tabular.outcomes import Outcomes, mdp_of
from hone.tabular.planning import value_iteration

# Two states and an end; action 0 stays, action 1 moves on (state 1's move ends the episode).
CHAIN = np.zeros((3, 2, 3))
CHAIN[0, 0, 0] = CHAIN[1, 0, 1] = CHAIN[0, 1, 1] = CHAIN[1, 1, 2] = CHAIN[2, :, 2] = 1
REWARD = np.array([[-1.0, -2.0], [-1.0, -3.0], [7.0, 7.0]])
END = np.array([False, False, True])


@pytest.mark.parametrize("as_sparse", [False, True])
def test_values_of_a_chain_by_hand(as_sparse: bool) -> None:
    transitions = [sparse.csr_array(CHAIN[:, a]) for a in range(2)] if as_sparse else CHAIN
    mdp = MDP.build(transitions, REWARD, END)
    assert value_iteration(mdp, 1.0).value_S.tolist() == [-5.0, -3.0, 0.0]
    # The terminal state's rewards and rows are ignored, whatever they hold.
    np.testing.assert_allclose(mdp.q_values([-5.0, -3.0, 0.0], 0.5), [[-3.5, -3.5], [-2.5, -3.0], [0.0, 0.0]])
    half = np.full((3, 2), 0.5)
    # v1 = -2 + v1/2 = -4;  v0 = -1.5 + (v0 + v1)/2 = -7
    for evaluated in (evaluate_exact(mdp, half, 1.0), evaluate_iterative(mdp, half, 1.0)):
        np.testing.assert_allclose(evaluated.value_S, [-7.0, -4.0, 0.0], atol=1e-8)
        assert evaluated.residual <= 1e-10
    np.testing.assert_allclose(evaluate_steps(mdp, half, 1.0, 2), [-1.5 + (-1.5 - 2) / 2, -2 - 1, 0.0])
    np.testing.assert_allclose(evaluate_steps(mdp, np.array([0, 0, 0]), 1.0, 10), [-10.0, -10.0, 0.0])


def test_rewards_per_next_state_are_averaged() -> None:
    transitions = np.array([[[0.25, 0.75]], [[0.0, 1.0]]])
    mdp = MDP.build(transitions, np.array([[[4.0, 8.0]], [[1.0, 2.0]]]), [False, True])
    assert mdp.reward_AS.tolist() == [[7.0, 0.0]]


def test_an_action_that_is_not_allowed_is_never_taken() -> None:
    allowed = [[True, True], [False, True], [True, True]]
    mdp = MDP.build(CHAIN, np.where(REWARD == -1, 5.0, REWARD), END, allowed)
    assert value_iteration(mdp, 0.5).policy_S[1] == 1
    assert mdp.q_values(np.zeros(3), 0.5)[1, 0] == -np.inf
    np.testing.assert_allclose(random_policy(mdp), [[0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])
    with pytest.raises(HoneError, match="not allowed; at state 1"):
        evaluate_exact(mdp, np.array([1, 0, 0]), 0.5)
    # A row that is not used need not be a distribution.
    broken = CHAIN.copy()
    broken[1, 0] = 9.0
    assert MDP.build(broken, REWARD, END, allowed).transition[1].sum() == 0


@pytest.mark.parametrize("as_sparse", [False, True])
def test_a_row_that_does_not_sum_to_one_is_named(as_sparse: bool) -> None:
    wrong = CHAIN.copy()
    wrong[1, 1, 2] = 0.875
    given = [sparse.csr_array(wrong[:, a]) for a in range(2)] if as_sparse else wrong
    with pytest.raises(HoneError, match=re.escape("do not sum to 1; at state 1, action 1; got 0.875; expected 1")):
        MDP.build(given, REWARD, END)


def test_other_faults_of_a_model_are_named() -> None:
    negative = CHAIN.copy()
    negative[0, 1] = [-0.5, 1.5, 0.0]
    with pytest.raises(HoneError, match=re.escape("between 0 and 1; at state 0, action 1; got -0.5")):
        MDP.build(negative, REWARD, END)
    with pytest.raises(HoneError, match="not finite; at state 1, action 0; got nan"):
        MDP.build(CHAIN, np.where(np.arange(6).reshape(3, 2) == 2, np.nan, REWARD), END)
    with pytest.raises(HoneError, match="has no action; at state 0"):
        MDP.build(CHAIN, REWARD, END, [[False, False], [True, True], [True, True]])
    with pytest.raises(HoneError, match="wrong shape"):
        MDP.build(np.ones((2, 3)), REWARD)
    with pytest.raises(HoneError, match=r"rewards do not fit.*got \(2, 2\)"):
        MDP.build(CHAIN, np.zeros((2, 2)), END)
    with pytest.raises(HoneError, match="differ in shape"):
        MDP.build([sparse.eye_array(3), sparse.eye_array(4)], REWARD)
    mdp = MDP.build(CHAIN, REWARD, END)
    with pytest.raises(HoneError, match="not a distribution; at state 1"):
        evaluate_exact(mdp, [[0.5, 0.5], [0.5, 0.6], [1.0, 0.0]], 0.9)
    with pytest.raises(HoneError, match="unknown action"):
        evaluate_exact(mdp, np.array([0, 2, 0]), 0.9)


def test_no_discount_needs_an_end() -> None:
    mdp = MDP.build(CHAIN, REWARD, END)
    with pytest.raises(HoneError, match="the policy never ends from one of them; at state 0"):
        evaluate_exact(mdp, np.array([0, 1, 0]), 1.0)
    endless = MDP.build(CHAIN, REWARD)
    with pytest.raises(HoneError, match="every state must be able to end, and no policy ends"):
        value_iteration(endless, 1.0)
    assert value_iteration(endless, 0.0).value_S.tolist() == [-1.0, -1.0, 7.0]
    with pytest.raises(HoneError, match="out of range"):
        value_iteration(endless, 1.5)
    with pytest.raises(HoneError, match="did not converge"):
        evaluate_iterative(endless, random_policy(endless), 0.9, max_sweeps=3)


def test_gymnasium_tables_become_models() -> None:
    lake = mdp_of(gymnasium.make("FrozenLake-v1"))
    assert (lake.states, np.flatnonzero(lake.terminal_S).tolist()) == (16, [5, 7, 11, 12, 15])
    # Taxi's last drop-off leads to a state that is also passed without an end: one more state takes the ends.
    taxi = mdp_of(gymnasium.make("Taxi-v4"))
    assert (taxi.states, np.flatnonzero(taxi.terminal_S).tolist()) == (501, [500])
    cliff = mdp_of(gymnasium.make("CliffWalking-v1"))
    assert (cliff.states, np.flatnonzero(cliff.terminal_S).tolist()) == (48, [47])


def test_continuous_spaces_and_environments_without_a_table_are_refused() -> None:
    with pytest.raises(HoneError, match=r"tables need discrete.*MountainCarEnv.*Box.*expected Discrete"):
        mdp_of(gymnasium.make("MountainCar-v0"))
    bare = gymnasium.Env[int, int]()
    bare.observation_space = bare.action_space = gymnasium.spaces.Discrete(2)  # type: ignore[assignment]
    with pytest.raises(HoneError, match="shows no table"):
        mdp_of(bare)


def test_outcomes_and_models_agree_both_ways() -> None:
    lake = gymnasium.make("FrozenLake-v1")
    mdp = mdp_of(lake)
    back = Outcomes.from_mdp(mdp).mdp()
    best, again = (value_iteration(m, 0.9).value_S for m in (mdp, back))
    np.testing.assert_allclose(again, best, atol=1e-9)


def test_rows_of_a_table_are_checked() -> None:
    def table(probability: float, target: int) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
        good = [(1.0, 1, 0.0, True)]
        return {0: {0: good, 1: [(probability, target, 1.0, True)]}, 1: {0: good, 1: good}}

    assert Outcomes.from_table(table(1.0, 1)).states == 2
    with pytest.raises(HoneError, match=r"do not sum to 1; at state 0, action 1; got 0.7"):
        Outcomes.from_table(table(0.7, 1))
    with pytest.raises(HoneError, match="between 0 and 1; at state 0, action 1; got -1"):
        Outcomes.from_table(table(-1.0, 1))
    with pytest.raises(HoneError, match="next state does not exist; at state 0, action 1; got 2"):
        Outcomes.from_table(table(1.0, 2))


def test_zero_probabilities_do_not_make_an_end_reachable() -> None:
    never = CHAIN.copy()
    stored = [sparse.csr_array(never[:, a]) for a in range(2)]
    stored[1].data[:] = 0.0
    stored[1] = stored[1] + sparse.eye_array(3)
    with pytest.raises(HoneError, match="every state must be able to end"):
        value_iteration(MDP.build(stored, REWARD, END), 1.0)
