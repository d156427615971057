"""Plan or learn in a table on a classical world, and draw values and policy.

usage: hone tabular --env cliff --agent q-learning
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from hone.cli._worlds import layout_of, make_env

if TYPE_CHECKING:
    import gymnasium
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from hone.tabular.agents import Settings


@dataclass(frozen=True)
class Args:
    """Plan or learn in a table on a classical world, and draw values and policy.

    Attributes:
        env: a world of hone (cliff, windy, dyna-maze, gambler, ...) or a Gymnasium id (FrozenLake-v1,
            Taxi-v4, ...; module:id imports your module that registers it).
        agent: a learner (q-learning, sarsa, expected-sarsa, double-q-learning, monte-carlo,
            off-policy-monte-carlo, dyna-q, prioritised-sweeping) or a planner (value-iteration,
            policy-iteration, gauss-seidel, prioritised, modified-policy-iteration, linear-programme).
        gamma: discount.
        episodes: episodes of each learner.
        runs: independent learners, run at once; the curve is their mean.
        step_size: of every update.
        epsilon: share of random actions.
        n: steps of credit before the bootstrap.
        trace: lambda of eligibility traces; 0 has none.
        planning: planned updates per real step (dyna-q, prioritised-sweeping).
        bonus: exploration bonus of Dyna-Q+.
        initial: value of every entry at the start.
        limit: an episode is cut after so many steps.
        seed: root of all randomness.
        out: folder for summary.json and report.html (default: runs/tabular-ENV-AGENT).
    """

    env: str = "cliff"
    agent: str = "q-learning"
    gamma: float = 0.99
    episodes: int = 500
    runs: int = 30
    step_size: float = 0.5
    epsilon: float = 0.1
    n: int = 1
    trace: float = 0.0
    planning: int = 10
    bonus: float = 0.0
    initial: float = 0.0
    limit: int = 1_000
    seed: int = 0
    out: Path | None = None


def run(argv: list[str]) -> None:
    """Plan or learn, write the page, say where it is."""
    args = tyro.cli(Args, args=argv, prog="hone tabular")

    from hone.core.errors import HoneError, nearest
    from hone.core.files import write_json
    from hone.report.reproduction import write_reproduction
    from hone.tabular.agents import learner_names, planner_names

    agent = args.agent.replace("-", "_")
    if agent not in (known := planner_names() + learner_names()):
        dashed = [name.replace("_", "-") for name in known]
        raise HoneError("unknown agent", got=f'"{args.agent}"', expected=nearest(args.agent, dashed))
    if min(args.episodes, args.runs, args.limit) < 1:
        raise HoneError("episodes, runs and limit must be 1 or more")
    env = make_env(args.env)
    q_SA, summary, pictures = (_plan if agent in planner_names() else _learn)(env, agent, args)
    pictures.insert(0, ("Values and policy", _table_picture(env, q_SA), ""))
    headline = f"{args.agent} on {args.env}: " + summary.pop("result")
    out = args.out or Path("runs") / f"tabular-{re.sub('[/:]', '-', args.env)}-{args.agent}"
    write_json(out / "summary.json", {"env": args.env, "agent": args.agent, "headline": headline, **summary})
    page = write_reproduction(
        out / "report.html",
        status="tables",
        title=f"{args.env}, {args.agent}",
        headline=headline,
        facts={"Discount": f"{args.gamma:g}", "Seed": str(args.seed)},
        checks=(),
        pictures=pictures,
    )
    print(_text_policy(env, q_SA) + headline)
    print(f"report: {page}")


Result = tuple["NDArray[np.float64]", dict[str, Any], list[tuple[str, "Figure", str]]]


def _plan(env: gymnasium.Env[Any, Any], agent: str, args: Args) -> Result:
    """Solve the environment's model."""
    from hone.report.charts import Series, curve
    from hone.report.style import number
    from hone.tabular.agents import planner
    from hone.tabular.outcomes import Outcomes, mdp_of

    mdp = mdp_of(env)
    found = planner(agent)(mdp, args.gamma)
    states = Outcomes.of(env).states
    start_S = Outcomes.of(env).start_S
    value = float(start_S @ found.value_S[:states])
    sweeps = list(range(1, found.sweeps + 1))
    pictures = []
    if found.sweeps > 1:
        line = Series("change", sweeps, list(found.residuals))
        pictures.append(
            ("Convergence", curve([line], title="Largest change of a value", x_label="sweep", log=True), "")
        )
    result = (
        f"the start is worth {number(value, 5)} (residual {number(found.residual, 2)}, {found.backups:,} state backups)"
    )
    summary = {
        "result": result,
        "start value": value,
        "residual": found.residual,
        "sweeps": found.sweeps,
        "values": found.value_S[:states].tolist(),
        "policy": found.policy_S[:states].tolist(),
    }
    return mdp.q_values(found.value_S, args.gamma)[:states], summary, pictures


def _learn(env: gymnasium.Env[Any, Any], agent: str, args: Args) -> Result:
    """Run the learners; values and policy are the mean table's."""
    from hone.core.seeding import generator
    from hone.report.charts import Series, curve
    from hone.report.style import number
    from hone.tabular.agents import make_learner
    from hone.tabular.learning.environments import GymnasiumEnvironments, ModelEnvironments
    from hone.tabular.learning.runner import Runner
    from hone.tabular.outcomes import Outcomes, check_discrete, shows_table

    check_discrete(env)
    rng = generator(args.seed, "tabular", args.env, agent)
    environments: ModelEnvironments | GymnasiumEnvironments
    if shows_table(env):
        environments = ModelEnvironments(Outcomes.of(env), args.runs, rng, args.limit)
    else:
        environments = GymnasiumEnvironments(lambda: make_env(args.env), args.runs, args.seed)
    learner = make_learner(agent, environments, _settings(args), rng)
    history = Runner(environments, learner).episodes(args.episodes)
    mean_E = history.return_EN.mean(axis=1)
    last = min(100, args.episodes)
    numbers = list(range(1, args.episodes + 1))
    unit = f"mean of {args.runs} learners"
    pictures = []
    for name, title, values in (
        ("Return", "Return per episode", mean_E),
        ("Length", "Steps per episode", history.length_EN.mean(axis=1)),
    ):
        line = Series(args.agent, numbers, values.tolist())
        limits, off = _limits(values)
        caption = "The first episodes are off the chart." if off else ""
        shape: dict[str, Any] = {"x_label": "episode", "smooth": True, "limits": limits, "size": (6.4, 3.0)}
        pictures.append((name, curve([line], title=title, unit=unit, **shape), caption))
    steps = int(history.length_EN.sum())
    summary = {
        "result": f"mean return {number(float(mean_E[-last:].mean()), 5)} in the last {last} of "
        f"{args.episodes} episodes ({args.runs} learners, {steps:,} steps)",
        "return per episode": mean_E.tolist(),
        "steps": steps,
        "values": learner.learnt.mean(axis=0).tolist(),
    }
    return learner.learnt.mean(axis=0), summary, pictures


def _limits(values_E: NDArray[np.float64]) -> tuple[tuple[float | None, float | None], bool]:
    """Limits of an axis that shows what follows the first twentieth, and whether that hides the beginning.

    First episodes may be a hundred times longer than all others, which would then be one flat line.
    """
    later = values_E[len(values_E) // 20 :]
    low, high = float(later.min()), float(later.max())
    if values_E.min() >= low - (high - low) and values_E.max() <= high + (high - low):
        return (None, None), False
    margin = 0.05 * (high - low)
    return (low - margin, high + margin), True


def _settings(args: Args) -> Settings:
    from dataclasses import fields

    from hone.tabular.agents import Settings

    return Settings(**{field.name: getattr(args, field.name) for field in fields(Settings)})


def _table_picture(env: gymnasium.Env[Any, Any], q_SA: NDArray[np.float64]) -> Figure:
    """Values and best moves on the grid, or values by state where there is none."""
    from hone.report.charts import Series, curve
    from hone.report.gridpictures import GridPanel, best_moves, grids, heatmap

    value_S = q_SA.max(axis=1)
    layout = layout_of(env)
    if layout is not None:
        best = best_moves(q_SA, layout.kinds, layout.order)
        return grids([GridPanel("Value and best moves", layout.kinds, value_S, best)], cell=0.62)
    side = round(len(value_S) ** 0.5)
    if side * side == len(value_S) and side > 10:
        return heatmap(value_S.reshape(side, side), title="Value", x_label="second", y_label="first", unit="value")
    states = list(range(len(value_S)))
    return curve([Series("value", states, value_S.tolist())], title="Value by state", x_label="state", size=(6.4, 3.0))


def _text_policy(env: gymnasium.Env[Any, Any], q_SA: NDArray[np.float64]) -> str:
    """The best moves as arrows on the grid, for the terminal."""
    layout = layout_of(env)
    if layout is None:
        return ""
    moves = q_SA[:, list(layout.order)].argmax(axis=1).reshape(len(layout.kinds), -1)
    rows = [
        " ".join(kind if kind in "#GCH" else "↑→↓←"[move] for kind, move in zip(row, line, strict=True))
        for row, line in zip(layout.kinds, moves, strict=True)
    ]
    return "\n".join(rows) + "\n\n"
