"""The 10-armed testbed (2,000 runs x 1,000 steps): hone, a plain NumPy loop and MABWiser, in one sitting.

    python benchmarks/tabular/bandits.py [--mabwiser PYTHON] [--repeats 5] [--json FILE]

MABWiser has its own dependencies, so it lives in an environment of its own:

    python -m venv mabwiser-env && mabwiser-env/bin/pip install mabwiser
    python benchmarks/tabular/bandits.py --mabwiser mabwiser-env/bin/python

The three take turns, ``--repeats`` times; none of them uses more than one thread here. hone plays all 2,000
runs. The other two play a few whole runs of 1,000 steps, and their time is multiplied up: their runs are
independent of one another, so the cost is proportional. The NumPy loop is what a careful reader of the
textbook writes: arrays over arms, one run and one step at a time. Last comes the cost of one step of 64
parallel bandits.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

RUNS, STEPS, ARMS = 2_000, 1_000, 10
LOOP_RUNS, MABWISER_RUNS = 20, 2
AGENTS = ("epsilon-greedy 0.1", "UCB1")


def hone_seconds(agent: str, seed: int) -> tuple[float, float]:
    """Seconds and mean reward of all runs, environment and bookkeeping included."""
    from hone.envs.arms import Gaussian
    from hone.envs.bandit import Bandits
    from hone.tabular.bandits import UCB, EpsilonGreedy, play

    player = {AGENTS[0]: EpsilonGreedy(0.1), AGENTS[1]: UCB(math.sqrt(2))}[agent]
    start = perf_counter()
    history = play(player, Bandits(Gaussian(), ARMS, RUNS, horizon=STEPS, seed=seed), STEPS, seed=seed)
    return perf_counter() - start, float(history.reward_TN.mean())


def loop_seconds(agent: str, seed: int) -> tuple[float, float]:
    """Seconds (multiplied up to 2,000 runs) and mean reward of the NumPy loop."""
    draw = np.random.default_rng(seed)
    total = 0.0
    start = perf_counter()
    for _ in range(LOOP_RUNS):
        means = draw.standard_normal(ARMS)
        value, count = np.zeros(ARMS), np.zeros(ARMS)
        for t in range(STEPS):
            if agent == AGENTS[0]:
                if draw.random() < 0.1:
                    arm = draw.integers(ARMS)
                else:
                    best = np.flatnonzero(value == value.max())
                    arm = best[0] if len(best) == 1 else draw.choice(best)
            elif t < ARMS:
                arm = t
            else:
                arm = np.argmax(value + np.sqrt(2 * np.log(t + 1) / count))
            reward = means[arm] + draw.standard_normal()
            count[arm] += 1
            value[arm] += (reward - value[arm]) / count[arm]
            total += reward
    return (perf_counter() - start) * RUNS / LOOP_RUNS, float(total / (LOOP_RUNS * STEPS))


def mabwiser_seconds(agent: str, seed: int) -> tuple[float, float]:
    """The same of MABWiser, learning after every step; runs where MABWiser is installed."""
    from mabwiser.mab import MAB, LearningPolicy

    draw = np.random.default_rng(seed)
    policy = LearningPolicy.EpsilonGreedy(0.1) if agent == AGENTS[0] else LearningPolicy.UCB1(alpha=1.0)
    total = 0.0
    start = perf_counter()
    for run in range(MABWISER_RUNS):
        means = draw.standard_normal(ARMS)
        bandit = MAB(list(range(ARMS)), policy, seed=run)
        first = means + draw.standard_normal(ARMS)
        bandit.fit(list(range(ARMS)), first.tolist())  # it cannot predict before it has been fitted
        total += float(first.sum())
        for _ in range(STEPS - ARMS):
            arm = bandit.predict()
            reward = means[arm] + draw.standard_normal()
            bandit.partial_fit([arm], [reward])
            total += float(reward)
    return (perf_counter() - start) * RUNS / MABWISER_RUNS, total / (MABWISER_RUNS * STEPS)


def in_other_python(python: str) -> Callable[[str, int], tuple[float, float]]:
    """``mabwiser_seconds`` run by another interpreter, from this very file."""

    def measure(agent: str, seed: int) -> tuple[float, float]:
        command = [python, str(Path(__file__).resolve()), "--child", agent, str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{python} cannot run MABWiser:\n{done.stderr[-800:]}")
        seconds, reward = json.loads(done.stdout)
        return seconds, reward

    return measure


def step_microseconds(bandits: int) -> dict[str, float]:
    """Median microseconds of one step of so many parallel bandits: the Gymnasium step, and the bare pull."""
    from hone.envs.arms import Gaussian
    from hone.envs.bandit import Bandits

    env = Bandits(Gaussian(), ARMS, bandits, horizon=10**9)
    actions = np.arange(bandits) % ARMS
    calls = 5_000
    return {
        name: median(timeit.repeat(lambda f=f: f(actions), number=calls, repeat=5)) / calls * 1e6
        for name, f in (("step", env.step), ("pull", env.pull))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mabwiser", metavar="PYTHON", help="interpreter that has MABWiser")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(mabwiser_seconds(options.child[0], int(options.child[1]))))
        return

    players: dict[str, Callable[[str, int], tuple[float, float]]] = {
        "hone": hone_seconds,
        "NumPy loop": loop_seconds,
    }
    if options.mabwiser:
        players["MABWiser"] = in_other_python(options.mabwiser)
    else:
        print("MABWiser is skipped: install it in an environment of its own and name its Python with --mabwiser\n")

    result: dict[str, Any] = {
        "runs": RUNS,
        "steps": STEPS,
        "arms": ARMS,
        "repeats": options.repeats,
        "agents": {},
    }
    for agent in AGENTS:
        seconds: dict[str, list[float]] = {name: [] for name in players}
        rewards: dict[str, list[float]] = {name: [] for name in players}
        for repeat in range(options.repeats):
            for name, measure in players.items():
                spent, reward = measure(agent, repeat)
                seconds[name].append(spent)
                rewards[name].append(reward)
        middle = {name: median(values) for name, values in seconds.items()}
        print(f"{agent}: {RUNS:,} runs x {STEPS:,} steps, median of {options.repeats}")
        for name, value in middle.items():
            ratio = value / middle["hone"]
            played = {"hone": RUNS, "NumPy loop": LOOP_RUNS, "MABWiser": MABWISER_RUNS}[name] * options.repeats
            reward = f"mean reward {sum(rewards[name]) / options.repeats:.2f} over {played:,} runs"
            print(f"  {name:<11}{value:9.2f} s {ratio:8.1f} x   {reward}")
        result["agents"][agent] = {
            name: {"seconds": seconds[name], "median": middle[name], "ratio": middle[name] / middle["hone"]}
            for name in players
        }
    result["microseconds"] = {str(n): step_microseconds(n) for n in (1, 64, 2000)}
    for n, cost in result["microseconds"].items():
        print(f"{n} bandits: step {cost['step']:.1f} us, bare pull {cost['pull']:.1f} us")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
