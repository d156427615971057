"""Tree search on tic-tac-toe: a win in one is taken, strength grows with simulations, perfect play draws."""

from typing import Any

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.envs import minimax
from hone.envs.mcts import mcts, noisy_mcts
from hone.envs.tictactoe import TicTacToe, opponent_table


def test_every_board_that_comes_up_has_moves_onto_empty_cells_and_no_other_has_any() -> None:
    table = mcts(20)
    played = table.sum(axis=1) > 0
    assert table.sum(axis=1)[played] == pytest.approx(1.0)
    assert not (table[~minimax.LEGAL] > 0).any()
    # 5,478 positions of which 958 have ended (626 wins of the first, 316 of the second, 16 draws).
    assert played.sum() == 5478 - 958
    for own, other in ((1, 2), (0, 1)):
        assert played[minimax.encode("1" * own + "2" * other + "0" * (9 - own - other))]


def test_reflected_and_rotated_boards_are_searched_as_one() -> None:
    table = mcts(20)
    board = np.array([1, 0, 0, 0, 2, 0, 0, 0, 0]).reshape(3, 3)
    plain = table[int((board.ravel() * minimax.POWERS).sum())].reshape(3, 3)
    for turns in range(4):
        for side in (board, board.T):
            turned = np.rot90(side, turns)
            found = table[int((turned.ravel() * minimax.POWERS).sum())].reshape(3, 3)
            expected = np.rot90(plain if side is board else plain.T, turns)
            assert sorted(found[turned == 0]) == sorted(expected[turned == 0])
            assert found.max() == expected.max()


def test_one_simulation_is_a_random_move() -> None:
    table = mcts(1, searches=1000)
    assert table[0] == pytest.approx([1 / 9] * 9, abs=0.04)


def test_a_win_in_one_is_taken_and_a_loss_in_one_prevented() -> None:
    table = mcts(100)
    assert table[minimax.encode("110220000"), 2] == 1.0
    assert table[minimax.encode("100220010"), 5] == 1.0


def test_strength_grows_with_simulations() -> None:
    returns = [
        [minimax.expected_return(mcts(n), opponent, first=first) for n in (1, 10, 100)]
        for opponent in (minimax.uniform(), minimax.perfect())
        for first in (True, False)
    ]
    assert all(weak < middle < strong for weak, middle, strong in returns)
    assert returns[0][2] > 0.95


def test_a_long_search_draws_against_perfect_play() -> None:
    """With more and more simulations UCT becomes minimax."""
    table, perfect = mcts(1000, searches=1), minimax.perfect()
    assert minimax.expected_return(table, perfect, first=True) == 0.0
    assert -0.1 < minimax.expected_return(table, perfect, first=False) <= 0.0
    code, move = np.nonzero(table)
    value = minimax.minimax()
    kept = -value[minimax.SWAPPED[code + minimax.POWERS[move]]] == value[code]
    assert kept.mean() > 0.98


def test_the_same_seed_gives_the_same_searches() -> None:
    assert (mcts.__wrapped__(10, seed=1) == mcts(10, seed=1)).all()
    assert (mcts(10, seed=1) != mcts(10, seed=2)).any()


def test_the_noisy_search_is_half_random() -> None:
    assert noisy_mcts(0.5, 10) == pytest.approx((mcts(10) + minimax.uniform()) / 2)
    assert opponent_table("noisy_mcts", 0.25, 10) == pytest.approx(0.75 * mcts(10) + 0.25 * minimax.uniform())


def test_games_against_a_search_have_the_exact_mean_return() -> None:
    games = TicTacToe("mcts", 20_000, first=False, simulations=10)
    _, infos = games.reset()
    draw, total = np.random.default_rng(0), np.zeros(20_000)
    while not games.over_N.all():
        moves = (draw.random((20_000, 9)) * infos["action_mask"]).argmax(axis=1)
        _, reward, _, _, infos = games.step(moves)
        total += reward
    exact = minimax.expected_return(minimax.uniform(), mcts(10), first=False)
    assert total.mean() == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"simulations": 0}, "0 simulations"), ({"simulations": 1, "exploration": -1.0}, "exploration -1.0")],
)
def test_faults_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HoneError, match=message):
        mcts(**options)
