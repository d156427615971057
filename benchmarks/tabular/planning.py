"""Optimal values of sparse models with a million states: hone, pymdptoolbox and QuantEcon, in one sitting.

    python benchmarks/tabular/planning.py [--peers PYTHON] [--states 1000000] [--json FILE]

The peers live in an environment of their own:

    python -m venv peers && peers/bin/pip install pymdptoolbox quantecon
    python benchmarks/tabular/planning.py --peers peers/bin/python

Two models, discount 0.95, four actions: a slippery square grid with a goal (local transitions), and a random one
with five successors per action and no end. Every method is asked for a policy that loses at most 0.001; what it
reached is measured against values with residual 1e-12. Building a model is not timed; compiling QuantEcon's loops
is not either (a small model is solved first). pymdptoolbox first checks its input by
comparing every matrix with zero, which makes the matrix dense, and bounds its number of sweeps by reading the
model column by column: for a million states the first needs terabytes and the second days. Both are skipped, so
that its sweeps alone are timed; the cost of the bound is measured on twenty states and multiplied up. One thread
each.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy import sparse

GAMMA, LOSS, ACTIONS, SUCCESSORS = 0.95, 1e-3, 4, 5
MODELS = ("grid", "random")
PEERS = ("pymdptoolbox value iteration", "QuantEcon value iteration", "QuantEcon modified policy iteration")


def grid(states: int) -> tuple[list[Any], np.ndarray]:
    """A square grid: moves slip aside with 0.1 to either hand; the last cell pays 1 and leads to itself."""
    side = math.isqrt(states)
    row, column = np.divmod(np.arange(side * side), side)
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    landed = [np.clip(row + down, 0, side - 1) * side + np.clip(column + across, 0, side - 1) for down, across in moves]
    matrices = []
    everywhere, size = np.arange(side * side), (side * side, side * side)
    for action in range(ACTIONS):
        parts = [
            sparse.csr_array((np.full(side * side, chance), (everywhere, landed[(action + turn) % 4])), size)
            for turn, chance in ((0, 0.8), (1, 0.1), (3, 0.1))
        ]
        kept = sparse.diags_array((everywhere < side * side - 1).astype(float))
        last = sparse.csr_array(([1.0], ([side * side - 1], [side * side - 1])), size)
        matrices.append(sparse.csr_array(kept @ (parts[0] + parts[1] + parts[2]) + last))
    rewards = np.full((side * side, ACTIONS), -0.01)
    rewards[-1] = 1.0
    return matrices, rewards


def garnet(states: int) -> tuple[list[Any], np.ndarray]:
    """Random successors, probabilities and rewards (Archibald, McKinnon and Thomas 1995)."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(states), SUCCESSORS)
    matrices = []
    for _ in range(ACTIONS):
        weights = rng.random((states, SUCCESSORS))
        weights /= weights.sum(axis=1, keepdims=True)
        following = rng.integers(states, size=states * SUCCESSORS)
        matrices.append(sparse.csr_array((weights.ravel(), (rows, following)), shape=(states, states)))
    return matrices, rng.random((states, ACTIONS))


def build(name: str, states: int) -> tuple[list[Any], np.ndarray]:
    return {"grid": grid, "random": garnet}[name](states)


def hone_methods(matrices: list[Any], rewards: np.ndarray) -> dict[str, Callable[[], Any]]:
    from hone.tabular.mdp import MDP
    from hone.tabular.planning import modified_policy_iteration, value_iteration

    mdp = MDP.build(matrices, rewards)
    tolerance = LOSS * (1 - GAMMA) / 2  # Solution.policy_bound
    return {
        "hone value iteration": lambda: value_iteration(mdp, GAMMA, tolerance).value_S,
        "hone modified policy iteration": lambda: (
            modified_policy_iteration(mdp, GAMMA, tolerance, evaluation_sweeps=20).value_S
        ),
        "reference": lambda: modified_policy_iteration(mdp, GAMMA, 1e-12).value_S,
    }


def peer(method: str, model: str, states: int, out: str) -> dict[str, float]:
    """Run in the peers' Python: seconds of one solution, its values in a file."""
    matrices, rewards = build(model, states)
    if method.startswith("pymdptoolbox"):
        seconds, values, extra = toolbox(matrices, rewards)
    else:
        seconds, values, extra = quantecon(matrices, rewards, "value" if "value" in method else "modified")
    np.save(out, values)
    return {"seconds": seconds, **extra}


def toolbox(matrices: list[Any], rewards: np.ndarray) -> tuple[float, np.ndarray, dict[str, float]]:
    import mdptoolbox.util
    from mdptoolbox.mdp import ValueIteration

    mdptoolbox.util.check = lambda transitions, reward: None

    class Unbounded(ValueIteration):  # type: ignore[misc]
        def _boundIter(self, epsilon: float) -> None:  # noqa: N802
            self.max_iter = 100_000

    given = [sparse.csr_matrix(m) for m in matrices]
    found = Unbounded(given, rewards, GAMMA, epsilon=LOSS)
    start = perf_counter()
    found.run()
    seconds = perf_counter() - start
    start = perf_counter()
    for state in range(20):
        for matrix in given:
            matrix[:, state].todense()
    bound = (perf_counter() - start) / 20 * len(rewards)
    return seconds, np.array(found.V), {"sweeps": found.iter, "skipped bound, hours": bound / 3600}


def quantecon(matrices: list[Any], rewards: np.ndarray, method: str) -> tuple[float, np.ndarray, dict[str, float]]:
    from quantecon.markov import DiscreteDP

    solver = {"value": "value_iteration", "modified": "modified_policy_iteration"}[method]

    def solve(matrices: list[Any], rewards: np.ndarray) -> tuple[float, Any]:
        states = len(rewards)
        order = np.arange(ACTIONS * states).reshape(ACTIONS, states).T.ravel()
        stacked = sparse.csr_matrix(sparse.vstack(matrices))[order]
        pairs = np.repeat(np.arange(states), ACTIONS), np.tile(np.arange(ACTIONS), states)
        model = DiscreteDP(rewards.ravel(), stacked, GAMMA, *pairs)
        start = perf_counter()
        found = model.solve(method=solver, epsilon=LOSS, max_iter=100_000)
        return perf_counter() - start, found

    solve(*grid(100))  # compile
    seconds, found = solve(matrices, rewards)
    return seconds, np.array(found.v), {"sweeps": int(found.num_iter)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peers", help="a Python in which pymdptoolbox and quantecon are installed")
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        method, model, states, out = options.child
        print(json.dumps(peer(method, model, int(states), out)))
        return
    if not options.peers:
        print("the peers are skipped: name a Python that has them with --peers\n")
    result: dict[str, Any] = {"states": options.states, "gamma": GAMMA, "loss": LOSS, "models": {}}
    for model in MODELS:
        methods = hone_methods(*build(model, options.states))
        truth = methods.pop("reference")()
        rows: dict[str, dict[str, float]] = {}
        for name, solve in methods.items():
            start = perf_counter()
            value = solve()
            rows[name] = {"seconds": perf_counter() - start, "error": float(np.abs(value - truth).max())}
        del methods
        for name in PEERS if options.peers else ():
            with tempfile.TemporaryDirectory() as folder:
                out = f"{folder}/values.npy"
                command = [options.peers, __file__, "--child", name, model, str(options.states), out]
                rows[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                rows[name]["error"] = float(np.abs(np.load(out) - truth).max())
        best = min(row["seconds"] for name, row in rows.items() if name.startswith("hone"))
        print(f"{model}, {options.states:,} states, {ACTIONS} actions")
        for name, row in rows.items():
            extra = (
                f", skipped bound about {row['skipped bound, hours']:.1f} h" if "skipped bound, hours" in row else ""
            )
            print(
                f"  {name:<36}{row['seconds']:9.2f} s {row['seconds'] / best:7.1f} x   error {row['error']:.1e}{extra}"
            )
        result["models"][model] = rows
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
