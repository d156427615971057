"""The classical worlds: Gymnasium's checker, their rules by hand, their tables against what they do."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import hone.envs.worlds
from hone.core.errors import HoneError
from hone.core.resolve import names
from hone.envs.worlds.base import World
from hone.envs.worlds.blocking_maze import BlockingMaze
from hone.envs.worlds.cliff import Cliff
from hone.envs.worlds.dyna_maze import DynaMaze
from hone.envs.worlds.gambler import Gambler
from hone.envs.worlds.jacks_car_rental import JacksCarRental
from hone.envs.worlds.random_walk import RandomWalk
from hone.envs.worlds.teleport_grid import TeleportGrid
from hone.envs.worlds.windy import Windy

WORLDS = ["".join(part.capitalize() for part in name.split("_")) for name in names(hone.envs.worlds.__name__)]


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_gymnasiums_checker_passes(name: str, mode: str) -> None:
    env = gymnasium.make(f"hone/{name}-v0", render_mode=mode).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)


@pytest.mark.parametrize("order", ["import hone.envs, gymnasium", "import gymnasium, hone.envs"])
def test_importing_the_package_registers_the_worlds(order: str) -> None:
    program = f"""{order}, sys
print(gymnasium.make("hone/Cliff-v0").reset(seed=0)[0])
print({{"torch", "scipy", "transformers", "matplotlib"}} & {{*sys.modules}})"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout == "36\nset()\n"


@pytest.mark.parametrize("name", WORLDS)
def test_seeds_fix_what_happens(name: str) -> None:
    traces = []
    for _ in range(2):
        env = gymnasium.make(f"hone/{name}-v0").unwrapped
        assert isinstance(env, World)
        state, _ = env.reset(seed=3)
        env.action_space.seed(3)
        trace: list[float] = [state]
        for _ in range(50):
            following, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert not truncated
            trace += [following, reward]
            if terminated:
                trace.append(env.reset()[0])
        traces.append(trace)
    assert traces[0] == traces[1]


def test_the_cliff_throws_back_without_ending() -> None:
    env = Cliff(render_mode="ansi")
    assert env.reset(seed=0)[0] == 36
    assert env.step(1) == (36, -100.0, False, False, {})
    assert env.step(0)[0] == 24
    assert env.render() == "............\n............\n@...........\nSCCCCCCCCCCG\n"
    for _ in range(11):
        env.step(1)
    assert env.step(2) == (47, -1.0, True, False, {})


def test_wind_and_walls_move_as_drawn() -> None:
    windy = Windy()
    cell = windy.index((3, 6))  # wind 2 in this column
    assert windy.P[cell][1] == [(1.0, windy.index((1, 7)), -1.0, False)]
    assert windy.P[windy.index((5, 6))][1] == [(1.0, windy.index((3, 7)), -1.0, True)]
    assert windy.P[windy.index((0, 7))][3] == [(1.0, windy.index((0, 6)), -1.0, False)]  # held at the top
    maze = DynaMaze()
    assert maze.cell(int(np.argmax(maze.initial_state_distrib))) == (2, 0)
    assert sorted(maze.find("#")) == [(0, 7), (1, 2), (1, 7), (2, 2), (2, 7), (3, 2), (4, 5)]
    assert maze.P[maze.index((2, 1))][1] == [(1.0, maze.index((2, 1)), 0.0, False)]
    assert maze.P[maze.index((1, 8))][0] == [(1.0, maze.index((0, 8)), 1.0, True)]
    leap = TeleportGrid()
    assert leap.P[1][2] == [(1.0, 21, 10.0, False)] and leap.P[3][0] == [(1.0, 13, 5.0, False)]
    assert leap.P[0][0] == [(1.0, 0, -1.0, False)] and leap.P[7][0] == [(1.0, 2, 0.0, False)]


def test_a_changing_maze_changes_once_and_a_seed_restores_it() -> None:
    env = BlockingMaze(switch=3)
    env.reset(seed=0)
    gap = env.index((4, 8))
    for _ in range(3):
        assert env.P[gap][0][0][1] == env.index((3, 8))
        env.step(2)
    env.reset()
    env.step(2)
    assert env.P[gap][0][0][1] == gap
    assert env.layout[3] == ".########"
    env.reset(seed=0)
    assert env.layout[3] == "########."


def test_the_gambler_stakes_no_more_than_there_is_or_is_needed() -> None:
    env = Gambler(0.3)
    assert env.P[7][49] == [(0.3, 14, 0.0, False), (0.7, 0, 0.0, True)]
    assert env.P[95][49] == [(0.3, 100, 1.0, True), (0.7, 90, 0.0, False)]
    assert env.P[0][0] == [(1.0, 0, 0.0, True)]
    with pytest.raises(HoneError, match=r"not a coin; got heads = 1\.0"):
        Gambler(1.0)


def test_the_random_walk_pays_on_the_right_only() -> None:
    env = RandomWalk(3)
    assert int(np.argmax(env.initial_state_distrib)) == 2
    assert env.P[3][1] == [(1.0, 4, 1.0, True)] and env.P[1][0] == [(1.0, 0, 0.0, True)]


def test_jacks_days_are_distributed_as_his_table_says() -> None:
    """40,000 sampled days from (12, 3), three cars moved, against the exact row."""
    env = JacksCarRental()
    np.testing.assert_allclose(env.transition_SAS.sum(-1), 1.0, atol=1e-12)
    env.reset(seed=0)
    state, action = 12 * 21 + 3, 5 + 3
    days = [env.advance(state, action) for _ in range(40_000)]
    counted = np.bincount([day[0] for day in days], minlength=441) / len(days)
    assert np.abs(counted - env.transition_SAS[state, action]).sum() / 2 < 0.05
    assert np.mean([day[1] for day in days]) == pytest.approx(env.reward_SA[state, action], abs=0.5)
    # 9 cars for Poisson(3): E[min] = 2.9974...; 6 for Poisson(4): 3.7975...; three moves cost 6.
    first = sum(min(k, 9) * np.exp(-3.0) * 3.0**k / float(_factorial(k)) for k in range(60))
    second = sum(min(k, 6) * np.exp(-4.0) * 4.0**k / float(_factorial(k)) for k in range(60))
    assert env.reward_SA[state, action] == pytest.approx(10 * (first + second) - 6, abs=1e-9)
    assert env.allowed_SA[state].tolist() == [False, False, *[True] * 9]


def _factorial(k: int) -> int:
    return 1 if k < 2 else k * _factorial(k - 1)


def test_pictures_show_walls_goal_and_agent() -> None:
    env = DynaMaze(render_mode="rgb_array")
    env.reset(seed=0)
    image = env.render()
    assert image.shape == (6 * 48, 9 * 48, 3) and image.dtype == np.uint8
    assert image[24 + 48, 24 + 2 * 48].tolist() == [64, 71, 84]
    assert image[24, 24 + 8 * 48].tolist() == [126, 196, 140]
    assert image[24 + 2 * 48, 24].tolist() == [238, 146, 42]
    with pytest.raises(HoneError, match='unknown render mode; got "human"'):
        DynaMaze(render_mode="human")
    with pytest.raises(HoneError, match="unknown action; got 4"):
        env.step(4)
    assert Cliff().render() is None
