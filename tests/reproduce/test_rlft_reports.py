"""What the reproductions of agents must show, checked on made-up seeds: scores, coverage, returns, what is missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hone.reproduce import rlft_bandit, rlft_contextual, rlft_tictactoe
from hone.reproduce._agents import Played
from hone.reproduce.base import Reproduction


def player(regret: float, coverage: float = 0.5, steps: int = 50) -> Played:
    return Played(np.linspace(0, regret, steps), np.linspace(0.1, coverage, steps), 30.0, 0.01)


def bandit_seed(rlft: float, bonus: float) -> rlft_bandit.Seed:
    names = {**rlft_bandit.TRAINED, **rlft_bandit.AIDED}
    players = {name: player(19.0, 0.6) for name in names}
    players |= {"rlft": player(rlft, 0.4), "bonus": player(bonus, 0.7)}
    return rlft_bandit.Seed(players | {"random": player(20.0), "greedy": player(19.5), "ucb": player(4.0)})


def values(found: Reproduction) -> dict[str, tuple[Any, bool]]:
    return {check.name: (pytest.approx(check.value), check.holds) for check in found.checks}


def test_scores_are_between_random_and_the_best_ucb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = {0: bandit_seed(8.0, 12.0), 1: bandit_seed(6.0, 10.0)}
    monkeypatch.setattr(rlft_bandit, "_one", lambda _, seed: made[seed])
    found = rlft_bandit.reproduce(tmp_path, [0, 1])
    assert values(found) == {
        "score after RLFT": (0.8125, True),  # (12/16 + 14/16) / 2
        "score of the base": (1 / 16, True),
        "points of coverage that the bonus adds": (30.0, True),
        "score with the bonus, above the base's": (0.5625 - 1 / 16, True),
    }
    assert found.summary["players"]["rlft"]["score"] == pytest.approx([0.75, 0.875])
    assert [picture.title for picture in found.pictures] == ["Regret", "Coverage", "Score"]
    made = {0: bandit_seed(9.5, 19.5)}
    missed = values(rlft_bandit.reproduce(tmp_path, [0]))
    assert [holds for _, holds in missed.values()] == [False, True, True, False]


def test_returns_beside_the_exact_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    numbers = {"base, random": 0.2, "base, noisy": -0.3, "base, invalid": 0.3}
    numbers |= {"PPO, random": 0.84, "PPO, noisy": 0.2, "PPO, invalid": 0.0}
    one: dict[str, Any] = {"numbers": numbers, "curve": [0.3, 0.6, 0.84]}
    monkeypatch.setattr(rlft_tictactoe, "_one", lambda *_: one)
    found = rlft_tictactoe.reproduce(tmp_path, [0])
    assert [holds for _, holds in values(found).values()] == [True, False]
    exact = found.summary["exact"]
    assert exact["random, random"] == pytest.approx(0.2968, abs=1e-4)
    assert exact["best response, random"] == pytest.approx(0.9948, abs=1e-4)
    assert exact["best response, noisy"] == pytest.approx(0.7949, abs=1e-4)


def test_shares_of_the_way_to_linucb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    regret = {"base": 30.0, "rlft": 12.0, "linucb": 10.0, "random": 30.0}
    one = {name: player(value, steps=rlft_contextual.TASK.horizon) for name, value in regret.items()}
    monkeypatch.setattr(rlft_contextual, "_one", lambda *_: one)
    found = values(rlft_contextual.reproduce(tmp_path, [0]))
    assert list(found.values()) == [(0.0, True), (0.9, True)]
