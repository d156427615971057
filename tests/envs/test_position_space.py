"""Tic-tac-toe positions as a decision process: planners find the best response, games follow its transitions."""

from __future__ import annotations

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.envs import minimax
from hone.envs.position_space import PositionSpace, position_space
from hone.envs.tictactoe import TicTacToe, opponent_table
from hone.tabular.mdp import MDP
from hone.tabular.planning import policy_iteration, value_iteration


def model(space: PositionSpace) -> MDP:
    return MDP.build(space.transitions, space.reward_SA, space.terminal_S, space.allowed_SA)


@pytest.mark.parametrize("opponent", ["random", "noisy", "perfect"])
@pytest.mark.parametrize("first", [True, False])
def test_value_iteration_is_the_exact_best_response(opponent: str, first: bool) -> None:
    known = {"random": (0.9948, 0.9249), "noisy": (0.7949, 0.5921), "perfect": (0.0, 0.0)}[opponent][not first]
    table = opponent_table(opponent)
    space = position_space(table, first=first)
    found = value_iteration(model(space), 1.0)
    value = float(space.start_S @ found.value_S)
    assert value == pytest.approx(known, abs=5e-5)
    assert value == pytest.approx(minimax.best_response(table, first=first), abs=1e-12)
    assert found.residual <= 1e-10
    # The policy that was found earns this value, by the backward induction over all boards.
    policy = np.zeros((minimax.CODES, 9))
    policy[space.codes_S, found.policy_S] = 1.0
    policy[minimax.OVER] = 0.0
    assert minimax.expected_return(policy, table, first=first) == pytest.approx(value, abs=1e-12)


def test_positions_are_those_that_come_up() -> None:
    space = position_space(minimax.uniform(), first=True)
    # Boards with as many crosses as noughts that nobody has won (2,423), and the 958 ends.
    assert (len(space.codes_S), int(space.terminal_S.sum())) == (2423 + 958, 958)
    assert space.start_S[0] == 1.0 and space.codes_S[0] == 0
    second = position_space(minimax.uniform(), first=False)
    assert np.count_nonzero(second.start_S) == 9 and second.start_S.sum() == pytest.approx(1.0)
    assert set(position_space(minimax.perfect(), first=True).codes_S) < set(space.codes_S)
    assert policy_iteration(model(space), 1.0).value_S[0] == pytest.approx(0.9948, abs=5e-5)


def test_one_row_by_hand() -> None:
    """Crosses 0 and 1, noughts 3 and 4: 2 wins; 5 blocks, after which the opponent has four cells to choose from."""
    space = position_space(minimax.uniform(), first=True)
    state = int(np.searchsorted(space.codes_S, minimax.encode("110220000")))
    assert space.allowed_SA[state].tolist() == [False, False, True, False, False, True, True, True, True]
    boards = [
        {minimax.decode(int(space.codes_S[t])): float(row[0, t]) for t in row.nonzero()[1]}
        for row in (space.transitions[move][[state]] for move in range(9))
    ]
    assert boards[0] == {} and boards[2] == {"111220000": 1.0}
    blocked = ("112221000", "110221200", "110221020", "110221002")
    assert boards[5] == {board: pytest.approx(0.25) for board in blocked}
    assert space.reward_SA[state].tolist() == [0, 0, 1, 0, 0, 0, -0.25, -0.25, -0.25]


def test_games_follow_the_transitions() -> None:
    space = position_space(opponent_table("noisy"), first=True)
    games = TicTacToe("noisy", 4000)
    games.step(np.full(4000, 4))
    seen = np.bincount(np.searchsorted(space.codes_S, games.codes_N), minlength=len(space.codes_S)) / 4000
    np.testing.assert_allclose(seen, space.transitions[4][[0]].toarray()[0], atol=0.025)


def test_faulty_tables_are_refused() -> None:
    with pytest.raises(HoneError, match=r"not a table of moves; got \(9,\)"):
        position_space(np.ones(9), first=True)
    table = minimax.uniform().copy()
    table[minimax.encode("200000000")] *= 0.5
    with pytest.raises(HoneError, match='no distribution over the empty cells; at board "200000000"'):
        position_space(table, first=True)
    table = minimax.uniform().copy()
    table[0] = np.eye(9)[0] * 2 - np.eye(9)[1]
    with pytest.raises(HoneError, match='board "000000000"'):
        position_space(table, first=False)
