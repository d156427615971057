"""Q-learning steps per second: hone's learners, many at once, beside a plain Python loop, in one sitting.

    python benchmarks/tabular/learning.py [--repeats 5] [--json FILE]

Both learn cliff walking (step size 0.5, epsilon 0.1, first best action) from the same table of transitions. The loop
is what one writes without arrays: lists for the table, ``random`` for chance. hone runs N independent learners in
lock-step; its steps are counted over all of them. One thread. The mean return per episode says that both learn the
same.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from hone.envs.worlds.cliff import Cliff
from hone.tabular.learning.environments import ModelEnvironments
from hone.tabular.learning.one_step import OneStep
from hone.tabular.learning.policies import EpsilonGreedy
from hone.tabular.learning.rules.q_learning import QLearning
from hone.tabular.learning.runner import Runner
from hone.tabular.outcomes import Outcomes

ALPHA, EPSILON, GAMMA = 0.5, 0.1, 1.0
LOOP_STEPS = 300_000
BATCHES = (1, 10, 100, 1_000, 10_000)


def loop(seed: int, steps: int) -> tuple[float, float]:
    """Steps per second and mean return per episode (second half) of the plain loop."""
    world = Cliff()
    table = {s: [world.P[s][a][0][1:] for a in range(4)] for s in world.P}
    draw = random.Random(seed)
    q = [[0.0] * 4 for _ in table]
    state, total, returns = 36, 0.0, []
    start = perf_counter()
    for _ in range(steps):
        row = q[state]
        action = draw.randrange(4) if draw.random() < EPSILON else row.index(max(row))
        following, reward, ended = table[state][action]
        target = reward if ended else reward + GAMMA * max(q[following])
        row[action] += ALPHA * (target - row[action])
        total += reward
        state = following
        if ended:
            returns.append(total)
            state, total = 36, 0.0
    return steps / (perf_counter() - start), float(np.mean(returns[len(returns) // 2 :]))


def hone_steps(seed: int, runs: int, ties: bool = False) -> tuple[float, float]:
    """Steps per second and mean return per episode of N learners."""
    rng = np.random.default_rng(seed)
    environments = ModelEnvironments(Outcomes.of(Cliff()), runs, rng)
    learner = OneStep(environments, QLearning(), GAMMA, ALPHA, EpsilonGreedy(EPSILON, ties), rng)
    runner = Runner(environments, learner)
    steps = max(500, min(10_000, 2_000_000 // runs))
    runner.steps(4_000 if runs < 10_000 else 1_500)  # learn first, so that both are measured on what they have learnt
    start = perf_counter()
    history = runner.steps(steps)
    seconds = perf_counter() - start
    return runs * steps / seconds, float(history.reward_TN.sum() / max(1, history.ended_TN.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    speeds: dict[str, list[float]] = {"plain Python loop": []}
    returns: dict[str, list[float]] = {"plain Python loop": []}
    for repeat in range(options.repeats):
        speed, value = loop(repeat, LOOP_STEPS)
        speeds["plain Python loop"].append(speed)
        returns["plain Python loop"].append(value)
        for runs in BATCHES:
            speed, value = hone_steps(repeat, runs)
            speeds.setdefault(f"hone, {runs:,} learners", []).append(speed)
            returns.setdefault(f"hone, {runs:,} learners", []).append(value)
    base = median(speeds["plain Python loop"])
    print(f"Q-learning on cliff walking, median of {options.repeats}")
    result: dict[str, Any] = {"repeats": options.repeats, "learners": {}}
    for name, values in speeds.items():
        middle = median(values)
        shown = f"{middle:14,.0f} steps/s {middle / base:8.2f} x   mean return {np.mean(returns[name]):.1f}"
        print(f"  {name:<24}{shown}")
        result["learners"][name] = {"steps per second": values, "median": middle, "ratio": middle / base}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
