"""A careless player of tic-tac-toe learns to win against a random one: PPO with a value head, GAE on the turn clock.

Games end after three to five moves of the agent, so a step means something else in every game and a critic takes the
place of the mean over parallel episodes. Returns stand beside the exact ones: of the corpus's player, of a random one,
and of the best response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hone.algorithms.ppo import PPO
from hone.core.files import write_json
from hone.envs import minimax
from hone.envs.acting.face import Face
from hone.envs.tasks.tictactoe import TicTacToe
from hone.models.policy import Policy
from hone.report.charts import Series, curve, over_seeds
from hone.reproduce._agents import base_model, mean_of, mean_over, played, tuned
from hone.reproduce.base import Check, Picture, Reproduction
from hone.reproduce.stages import policy_of, seed_folder, seed_table
from hone.training.recipe import BatchConfig, OptimiserConfig
from hone.training.run import Run

TASK = TicTacToe(face=Face("compact"), invalid=-1.0, train=4096, test=512)
AGAINST = {"random": TASK, "noisy": TicTacToe("noisy", face=Face("compact"), test=256)}
BASE_STEPS, STEPS, GAMES, UPDATES = 200, 100, 192, 6
WINDOW = 5

NOTES = (
    "The base model has read games in which three moves in ten are the worst there is and the others random. An answer "
    "that names a taken cell costs 1 and a random legal move is made for it; the returns here are those of the games. "
    "The tiny base names taken cells often, so chance plays a part of its games.",
    "The best response to a random player wins or draws all but a few games; no policy can do better than it. The "
    "paper's model went from 0.15 to 0.75 against a random opponent.",
    "The noisy opponent, which plays perfectly half of the time, was met by no training game.",
)


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Pretrain on careless games, fine-tune by PPO, and play held-out games, once per seed.

    Args:
        out: folder for the runs.
        seeds: roots of all randomness.
    """
    found = [_one(seed_folder(out, seed), seed) for seed in seeds]
    numbers = [one["numbers"] for one in found]
    mean = {name: mean_over(numbers, name) for name in numbers[0]}
    best = {name: minimax.best_response(task.table, first=True) for name, task in AGAINST.items()}
    return Reproduction(
        title="Tic-tac-toe against a random player",
        headline=(
            f"The mean return against a random player is {mean['base, random']:.2f} before PPO and "
            f"{mean['PPO, random']:.2f} after; the best response has {best['random']:.3f}."
        ),
        summary={
            "seeds": list(seeds),
            "games": {name: task.test for name, task in AGAINST.items()},
            "numbers": {name: [each[name] for each in numbers] for name in numbers[0]},
            "exact": _exact() | {f"best response, {name}": value for name, value in best.items()},
        },
        checks=[
            Check("return of the base against random", mean["base, random"], 0.3, 0.0, at_most=True),
            Check("return after PPO against random", mean["PPO, random"], 0.85, 0.0, at_least=True),
        ],
        pictures=_pictures(found, best["random"]),
        notes=NOTES,
        tables={
            "Mean return by seed": seed_table(seeds, {name: [each[name] for each in numbers] for name in numbers[0]}),
            "Exact returns, moving first": [
                {"player": name, "return": f"{value:+.4f}"}
                for name, value in (_exact() | {f"best response, {n}": v for n, v in best.items()}).items()
            ],
        },
    )


def _exact() -> dict[str, float]:
    return {
        f"{name}, {opponent}": minimax.expected_return(table, task.table, first=True)
        for opponent, task in AGAINST.items()
        for name, table in (
            ("the corpus's player", TASK.habit),
            ("random", minimax.uniform()),
            ("perfect", minimax.perfect()),
        )
    }


def _one(out: Path, seed: int) -> dict[str, Any]:
    base = base_model(TASK, out, seed, steps=BASE_STEPS, layers=2)
    ppo = tuned(
        base,
        TASK,
        PPO(clock="turn", value_weight=0.5, entropy_weight=0.01),
        out / "ppo",
        seed,
        steps=STEPS,
        batch=BatchConfig(prompts=GAMES, samples=1, updates=UPDATES),
        optimiser=OptimiserConfig(lr=1e-3, schedule="linear", final=0.1),
    )
    numbers = {
        f"{name}, {what}": value
        for name, run in (("base", base), ("PPO", ppo))
        for what, value in _measured(policy_of(run)).items()
    }
    write_json(out / "numbers.json", numbers)
    return {"numbers": numbers, "curve": _curve(ppo)}


def _measured(policy: Policy) -> dict[str, float]:
    """Mean return against every opponent, and the share of answers that name a taken cell."""
    games = {name: played(policy, task, episodes=task.test) for name, task in AGAINST.items()}
    returns = {name: mean_of(trajectories, "return") for name, trajectories in games.items()}
    return returns | {"invalid": mean_of(games["random"], "invalid")}


def _curve(run: Run) -> list[float]:
    """Mean return of the rollouts in windows of steps."""
    returns = [row["environment/return"] for row in run.metrics]
    return [float(np.mean(returns[i : i + WINDOW])) for i in range(0, len(returns), WINDOW)]


def _pictures(found: Sequence[Mapping[str, Any]], best: float) -> list[Picture]:
    steps = [WINDOW * (i + 1) for i in range(len(found[0]["curve"]))]
    level = Series("best response", steps, [best] * len(steps))
    chance = minimax.expected_return(minimax.uniform(), minimax.uniform(), first=True)
    return [
        Picture(
            "Learning to win",
            curve(
                [
                    over_seeds("PPO", steps, [one["curve"] for one in found]),
                    level,
                    Series("random play", steps, [chance] * len(steps)),
                ],
                title="Return while PPO runs",
                unit=f"mean against a random player, windows of {WINDOW} steps",
            ),
            "Where the model names a taken cell chance moves for it. The line of the best response is exact.",
        )
    ]
