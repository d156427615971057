"""Corpora of base models: what their players do, by counts; every line is what a rollout of them would show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.envs import minimax
from hone.envs.acting.env import ActingEnv
from hone.envs.acting.face import Face
from hone.envs.arms import Gaussian
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.envs.tasks.tictactoe import TicTacToe

UNIFORM = Gaussian("uniform01", noise=0.1)
COMPACT = Face("compact")


def players(**shares: float) -> list[str]:
    task = Bandit(gaussian=UNIFORM, face=COMPACT, players=shares, train=64)
    assert {opening for opening, _ in task.corpus(200, 3)} == {"Gj|"}
    return [history for _, history in task.corpus(200, 3)]


def repeats(histories: list[str]) -> float:
    """Share of steps that pull the arm of the step before."""
    return float(np.mean([a == b for text in histories for a, b in zip(text[:-2:2], text[2::2], strict=True)]))


def test_players_do_what_they_are_called() -> None:
    random, sticky, greedy = players(random=1), players(sticky=1), players(greedy=1)
    assert {len(text) for text in random} == {100}
    assert repeats(random) == pytest.approx(0.1, abs=0.01)
    assert repeats(sticky) == pytest.approx(0.9 + 0.1 * 0.1, abs=0.01)
    assert repeats(players(favourite=1)) == pytest.approx(0.73**2 + 9 * 0.03**2, abs=0.02)
    assert repeats(greedy) > 0.9
    assert 0.6 < repeats(players(epsilon_greedy=1)) < repeats(greedy)
    # the arms' letters are fair, and a reward is one digit
    assert np.unique([letter for text in random for letter in text[::2]], return_counts=True)[1].min() > 850
    assert {digit for text in random for digit in text[1::2]} == set("0123456789")


def test_a_greedy_player_leaves_an_arm_only_for_a_better_mean() -> None:
    for text in players(greedy=1):
        paid: dict[str, list[int]] = {}
        for letter, digit in zip(text[::2], text[1::2], strict=True):
            best = max((float(np.mean(seen)) for seen in paid.values()), default=0.0)
            # digits are rounded down, so means of digits are those of rewards within a digit
            assert not paid or letter not in paid or np.mean(paid[letter]) > best - 1
            paid.setdefault(letter, []).append(int(digit))


def test_careless_games_are_games_and_lose_as_their_policy_does() -> None:
    task = TicTacToe(face=COMPACT, careless=0.5, train=64)
    found = []
    for opening, text in task.corpus(3000, 5):
        board = opening.removeprefix("T|")
        assert board == "000000000"
        for at in range(0, len(text), 10):
            cell = "abcdefghi".index(text[at])
            assert board[cell] == "0"
            mine = board[:cell] + "1" + board[cell + 1 :]
            after = text[at + 1 : at + 10]
            if after:
                assert sum(a != b for a, b in zip(mine, after, strict=True)) == 1
            board = after
        found.append(mine)
    # a game of which the last move is shown has been won, drawn, or lost by the opponent's answer, which is not shown
    won = float(np.mean([minimax.RESULT[minimax.encode(board)] > 0 for board in found]))
    assert won == pytest.approx(float(minimax.outcomes(task.habit, minimax.uniform(), first=True)[0]), abs=0.03)


def test_the_worst_policy_is_legal_and_never_better_than_random() -> None:
    legal = minimax.worst().sum(axis=1)
    assert legal[~minimax.OVER] == pytest.approx(1.0)
    for first in (True, False):
        worst, random = (
            minimax.expected_return(policy, minimax.uniform(), first=first)
            for policy in (minimax.worst(), minimax.uniform())
        )
        assert worst < random


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bandit().corpus(1, 0), 'compact form only.*got style = "raw"'),
        (lambda: TicTacToe(face=Face("compact", legal=True)).corpus(1, 0), "legal = true"),
        (lambda: Bandit(face=COMPACT, players={"rando": 1.0}).corpus(1, 0), 'did you mean "random"'),
        (lambda: Bandit(face=COMPACT, players={"random": 0.0}).corpus(1, 0), "have no shares"),
    ],
)
def test_faults_are_named(make: Any, message: str) -> None:
    with pytest.raises(HoneError, match=message):
        make()


def test_a_history_with_users_is_what_a_rollout_shows() -> None:
    task = ContextualBandit(arms=4, rank=2, horizon=6, face=COMPACT, players={"random": 1.0}, train=1)
    (opening, text), *_ = task.corpus(1, 0)
    env = task.env("train")
    assert isinstance(env, ActingEnv)
    assert env.reset(seed=0, options={"episode": 0})[0] == opening
    for at in range(0, 5 * 4, 4):
        assert env.answer(text[at]).observation == text[at + 1 : at + 4]
    assert len(text) == 5 * 4 + 2
    assert env.answer(text[20]).terminated


def test_a_history_is_what_a_rollout_shows() -> None:
    task = Bandit(gaussian=UNIFORM, face=COMPACT, players={"random": 1.0}, train=1)
    (opening, text), *_ = task.corpus(1, 0)
    env = task.env("train")
    assert isinstance(env, ActingEnv)
    said = env.reset(seed=1 << 32, options={"episode": 0})[0]
    assert said == opening
    for at in range(0, len(text) - 2, 2):
        assert env.answer(text[at]).observation == text[at + 1]
