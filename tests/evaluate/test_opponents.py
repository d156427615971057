"""Tic-tac-toe against every opponent: measured returns of known policies beside exact ones."""

import numpy as np
import pytest

from hone.engines.base import Request, Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs import minimax
from hone.envs.acting.face import Face
from hone.envs.tasks.tictactoe import TicTacToe
from hone.evaluate.diagnostics.opponents import Opponents
from hone.evaluate.gamers import ByTable, ModelGamer
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer

TASK = TicTacToe(face=Face("compact"), simulations=10)


def test_known_policies_have_their_exact_returns() -> None:
    for name, table in (("random", minimax.uniform()), ("perfect", minimax.perfect())):
        found = Opponents(games=1500, opponents=("random", "noisy", "perfect")).examine(ByTable(table), TASK)
        assert found["invalid"]["value"] == 0.0
        for who, games in found["opponents"].items():
            assert games["return"]["value"] == pytest.approx(games[name], abs=0.07), (name, who)
            assert games["won"]["value"] - games["lost"]["value"] == pytest.approx(games["return"]["value"])
    assert found["opponents"]["random, first"]["best_response"] == pytest.approx(0.9948, abs=5e-5)
    assert found["opponents"]["perfect, second"]["return"]["value"] == 0.0


def test_a_model_that_plays_the_first_empty_cell() -> None:
    """Every third move it names no cell: counted, and another is made for it."""
    policy = create_tiny(TinyConfig(width=16, layers=1, heads=2), char_tokenizer(["T|abcdefghi012?"]), 0)
    gamer = ModelGamer(policy, Sampling(max_tokens=1))
    asked = {"n": 0}

    def script(request: Request) -> str:
        asked["n"] += 1
        board = policy.tokenizer.decode(request.prompt)[-9:]
        return "?" if asked["n"] % 3 == 0 else "abcdefghi"[board.index("0")]

    gamer.engine = ScriptedEngine(script, encode=lambda text: policy.tokenizer(text)["input_ids"], batch=1)
    found = Opponents(games=60, opponents=("random",)).examine(gamer, TASK)
    assert found["invalid"]["value"] == pytest.approx(1 / 3, abs=0.01)
    assert found["invalid"]["count"] == asked["n"]
    first = np.zeros((minimax.CODES, 9))
    codes = np.flatnonzero(~minimax.OVER)
    first[codes, minimax.LEGAL[codes].argmax(axis=1)] = 1.0
    mixed = 2 / 3 * first + 1 / 3 * minimax.uniform()
    for who, begins in (("first", True), ("second", False)):
        exact = minimax.expected_return(mixed, minimax.uniform(), first=begins)
        assert found["opponents"][f"random, {who}"]["return"]["value"] == pytest.approx(exact, abs=0.35)
