"""Tic-tac-toe: exact values against a recursive oracle and known numbers, and the games that are played."""

import warnings
from functools import cache

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from hone.core.errors import HoneError
from hone.envs import minimax
from hone.envs.tictactoe import TicTacToe, TicTacToeEnv

LINES = [set(line) for line in ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))]


@cache
def negamax(own: frozenset[int], other: frozenset[int]) -> int:
    """The oracle: plain recursion over sets of cells."""
    if any(line <= other for line in LINES):
        return -1
    free = set(range(9)) - own - other
    return max((-negamax(other, own | {move}) for move in free), default=0)


def reachable() -> list[tuple[frozenset[int], frozenset[int]]]:
    negamax.cache_clear()
    negamax(frozenset(), frozenset())
    found, stack = set(), [(frozenset[int](), frozenset[int]())]
    while stack:
        own, other = stack.pop()
        if (own, other) in found or any(line <= other for line in LINES):
            continue
        found.add((own, other))
        stack += [(other, own | {move}) for move in set(range(9)) - own - other]
    return sorted(found, key=lambda pair: (sorted(pair[0]), sorted(pair[1])))


def test_minimax_equals_plain_recursion_on_every_reachable_position() -> None:
    positions = reachable()
    assert len(positions) == 4536  # 5,478 legal positions, less the 942 that somebody has won
    value, table = minimax.minimax(), minimax.perfect()
    for own, other in positions:
        board = "".join("1" if cell in own else "2" if cell in other else "0" for cell in range(9))
        code = minimax.encode(board)
        assert minimax.decode(code) == board
        assert value[code] == negamax(own, other)
        free = [cell for cell in range(9) if cell not in own | other]
        best = [move for move in free if -negamax(other, own | {move}) == negamax(own, other)]
        assert np.flatnonzero(table[code]).tolist() == best
        if free:
            assert table[code, best] == pytest.approx(1 / len(best))


RANDOM, PERFECT, NOISY = minimax.uniform(), minimax.perfect(), minimax.noisy(0.5)


def test_random_play_wins_draws_and_loses_as_is_known() -> None:
    assert minimax.outcomes(RANDOM, RANDOM, first=True) == pytest.approx([0.5849, 0.1270, 0.2881], abs=5e-5)
    assert minimax.outcomes(RANDOM, RANDOM, first=False) == pytest.approx([0.2881, 0.1270, 0.5849], abs=5e-5)


@pytest.mark.parametrize(
    ("policy", "opponent", "first", "second"),
    [
        (RANDOM, RANDOM, 0.2968, -0.2968),
        (RANDOM, PERFECT, -0.7775, -0.9678),
        (RANDOM, NOISY, -0.2173, -0.6569),
        (PERFECT, RANDOM, 0.9678, 0.7775),
        (PERFECT, NOISY, 0.7314, 0.4660),
        (PERFECT, PERFECT, 0.0, 0.0),
    ],
)
def test_exact_returns(policy: minimax.Floats, opponent: minimax.Floats, first: float, second: float) -> None:
    assert minimax.expected_return(policy, opponent, first=True) == pytest.approx(first, abs=5e-5)
    assert minimax.expected_return(policy, opponent, first=False) == pytest.approx(second, abs=5e-5)


@pytest.mark.parametrize(
    ("opponent", "first", "second"), [(RANDOM, 0.9948, 0.9249), (NOISY, 0.7949, 0.5921), (PERFECT, 0.0, 0.0)]
)
def test_best_responses(opponent: minimax.Floats, first: float, second: float) -> None:
    assert minimax.best_response(opponent, first=True) == pytest.approx(first, abs=5e-5)
    assert minimax.best_response(opponent, first=False) == pytest.approx(second, abs=5e-5)


@pytest.mark.parametrize(
    ("opponent", "first"), [("random", True), ("random", False), ("noisy", True), ("perfect", False)]
)
def test_games_played_have_the_exact_mean_return(opponent: str, first: bool) -> None:
    games = TicTacToe(opponent, 20_000, first=first)  # type: ignore[arg-type]
    _, infos = games.reset()
    draw = np.random.default_rng(0)
    total = np.zeros(20_000)
    while not games.over_N.all():
        moves = (draw.random((20_000, 9)) * infos["action_mask"]).argmax(axis=1)
        _, reward, _, _, infos = games.step(moves)
        total += reward
    tables = {"random": RANDOM, "noisy": NOISY, "perfect": PERFECT}
    assert set(total.tolist()) <= {-1.0, 0.0, 1.0}
    assert total.mean() == pytest.approx(minimax.expected_return(RANDOM, tables[opponent], first=first), abs=0.02)


def test_a_game_is_the_same_in_any_company() -> None:
    together, alone = TicTacToe(episodes=6, first=[True, False] * 3), TicTacToe(episodes=[3], first=False)
    for move in range(9):
        together.step(np.full(6, move))
        alone.step([move])
        assert together.codes_N[3] == alone.codes_N[0]


def test_the_perfect_opponent_takes_its_win() -> None:
    env = TicTacToeEnv("perfect")
    env.reset()
    env.games.codes_N[0] = minimax.encode("110220000")
    _, reward, over, _, info = env.step(6)  # 2 would have won; now only 5 wins for the opponent
    assert (reward, over, info["state"]) == (-1.0, True, "110222100")


def test_winning_move_ends_the_game_without_an_answer() -> None:
    env = TicTacToeEnv(render_mode="ansi")
    env.reset()
    env.games.codes_N[0] = minimax.encode("110220000")
    _, reward, over, _, info = env.step(2)
    assert (reward, over, info["state"], info["illegal"]) == (1.0, True, "111220000", False)
    assert info["action_mask"].tolist() == [0] * 9
    assert env.render() == "XXX\nOO.\n...\n"


def test_an_illegal_move_loses_and_leaves_the_board() -> None:
    games = TicTacToe(episodes=2)
    games.codes_N[:] = minimax.encode("120000000")
    codes, reward, over, _, infos = games.step([1, 4])
    assert (reward[0], bool(over[0]), infos["illegal"].tolist()) == (-1.0, True, [True, False])
    assert minimax.decode(int(codes[0])) == "120000000"
    assert games.step([2, 0])[1][0] == 0.0  # over: no second penalty


def test_opponent_opens_where_it_is_first() -> None:
    games = TicTacToe(episodes=9000, first=False)
    opening = np.bincount([minimax.decode(int(code)).index("2") for code in games.codes_N]) / 9000
    assert opening == pytest.approx([1 / 9] * 9, abs=0.015)


@pytest.mark.parametrize("opponent", ["random", "noisy", "perfect"])
def test_single_game_passes_gymnasiums_checker(opponent: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(TicTacToeEnv(opponent, first=False), skip_render_check=True)  # type: ignore[arg-type]


def test_named_game_is_played_again() -> None:
    env = TicTacToeEnv(first=False)
    states = [env.reset(options={"episode": e, "first": f})[1]["state"] for e, f in ((5, False), (5, True), (5, False))]
    assert states[0] == states[2] != states[1] == "000000000"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TicTacToe("perfct"), 'did you mean "perfect"'),  # type: ignore[arg-type]
        (lambda: TicTacToe("noisy", noise=1.5), "not a probability.*got 1.5"),
        (lambda: TicTacToe(episodes=2).step([0, 9]), "row 1 of the actions; got 9; expected 0 to 8"),
        (lambda: TicTacToe(episodes=2, first=[True]), "first does not fit"),
        (lambda: minimax.encode("01201201"), "not a tic-tac-toe board"),
        (lambda: minimax.encode("012012013"), "not a tic-tac-toe board"),
    ],
)
def test_faults_are_named(make: object, message: str) -> None:
    with pytest.raises(HoneError, match=message):
        make()  # type: ignore[operator]
