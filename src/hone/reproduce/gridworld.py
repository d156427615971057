"""Policy evaluation and optimal values on the 4×4 and the 5×5 grid.

Sutton and Barto, examples 3.5, 3.8 and 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hone.envs.worlds.gridworld import Gridworld
from hone.envs.worlds.teleport_grid import TeleportGrid
from hone.report.gridpictures import GridPanel, best_moves, grids
from hone.reproduce.base import Check, Picture, Reproduction
from hone.tabular.evaluation import evaluate_exact, random_policy
from hone.tabular.outcomes import mdp_of
from hone.tabular.planning import value_iteration

SMALL = (0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0)
RANDOM_ROW = (3.3, 8.8, 4.4, 5.3, 1.5)
BEST_ROW = (22.0, 24.4, 22.0, 19.4, 17.5)
GAMMA = 0.9


def reproduce(out: Path, seeds: Sequence[int]) -> Reproduction:
    """Exact; nothing here is random."""
    small, large = Gridworld(), TeleportGrid()
    small_mdp, large_mdp = mdp_of(small), mdp_of(large)
    wander = evaluate_exact(small_mdp, random_policy(small_mdp), 1.0).value_S
    best = value_iteration(small_mdp, 1.0).value_S
    random_5 = evaluate_exact(large_mdp, random_policy(large_mdp), GAMMA).value_S
    best_5 = value_iteration(large_mdp, GAMMA).value_S
    checks = [
        *(Check(f"4×4 random policy, cell {i}", float(wander[i]), float(v), 1e-4) for i, v in enumerate(SMALL)),
        *(Check(f"5×5 random policy, cell {i}", float(random_5[i]), v, 0.05) for i, v in enumerate(RANDOM_ROW)),
        *(Check(f"5×5 optimal, cell {i}", float(best_5[i]), v, 0.05) for i, v in enumerate(BEST_ROW)),
    ]
    free = ["....."] * 5
    pictures = (
        Picture(
            "4×4, a step costs 1",
            grids(
                [
                    GridPanel("Value of walking at random", small.layout, wander),
                    GridPanel(
                        "Optimal value and moves",
                        small.layout,
                        best,
                        best_moves(small_mdp.q_values(best, 1.0), small.layout),
                    ),
                ],
                cell=0.62,
            ),
            "Greedy moves for the random policy's values are already optimal here.",
        ),
        Picture(
            "5×5 with two teleports, discount 0.9",
            grids(
                [
                    GridPanel("Value of walking at random", free, random_5),
                    GridPanel(
                        "Optimal value and moves",
                        free,
                        best_5,
                        best_moves(large_mdp.q_values(best_5, GAMMA), free),
                    ),
                ],
                cell=0.62,
            ),
            "The second cell of the top row pays 10 and leads to the bottom, the fourth pays 5 and leads "
            "to the middle.",
        ),
    )
    return Reproduction(
        title="Grid worlds",
        headline=f"A random walk on the 4×4 grid takes {-wander.min():.0f} steps from the worst cell, the "
        f"best policy "
        f"{-best.min():.0f}.",
        summary={
            "random 4x4": wander.tolist(),
            "optimal 4x4": best.tolist(),
            "random 5x5": random_5.tolist(),
            "optimal 5x5": best_5.tolist(),
        },
        checks=checks,
        pictures=pictures,
        notes=("The targets of the 5×5 grid are known to one decimal, hence the tolerance of 0.05.",),
    )
