"""Pictures of what ails an agent, from the plain values that a diagnostic wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from hone.report.charts import SIZE, Series, bars, curve, figure_to_svg
from hone.report.comparison import estimate
from hone.report.style import INK, PALETTE, style

WIDE = (6.2, 2.9)
KINDS = ("frequent", "greedy", "other")
Values = Mapping[str, Any]
Drawn = tuple[str, Figure, str]
"""Title, figure and caption."""


def diagnostic_pictures(found: Values) -> list[Drawn]:
    """The pictures of one diagnostic; [] where the values are of something else."""
    kind = found.get("diagnostic")
    return _DRAWN[kind](found) if isinstance(kind, str) and kind in _DRAWN else []


def diagnostic_charts(evaluations: Mapping[str, Values]) -> list[str]:
    """SVG of the pictures of every evaluation that a diagnostic made."""
    return [
        figure_to_svg(figure, f"{name} {title}")
        for name, found in evaluations.items()
        for title, figure, _ in diagnostic_pictures(found)
    ]


def diagnostic_rows(found: Values) -> list[dict[str, str]]:
    """The main numbers as rows of a table: measure, value, 95 % interval."""
    rows: list[tuple[str, Any]] = []
    if found["diagnostic"] == "greediness":
        rows = [(f"regret, {name}", player["final_regret"]) for name, player in found["players"].items()]
        rows += [(f"coverage, {name}", player["final_coverage"]) for name, player in found["players"].items()]
        rows += [("score (0 random, 1 best UCB)", found["score"]), ("invalid answers", found["invalid"])]
    elif found["diagnostic"] == "frequency_bias":
        for window, shares in {**found["windows"], "all": found["overall"]}.items():
            rows += [(f"{kind}, repeats {window}", shares[kind]) for kind in KINDS]
        rows.append(("correlation of repeats and entropy", found["correlation"]))
    elif found["diagnostic"] == "knowing_doing":
        rows = [("knows the values", found["knows"])]
        rows += [(f"{kind}, given that it knows", value) for kind, value in found["given_known"].items()]
        rows.append(("invalid answers", found["invalid"]))
    elif found["diagnostic"] == "opponents":
        for name, games in found["opponents"].items():
            rows += [(f"return, {name}", games["return"]), (f"best response, {name}", games["best_response"])]
        rows.append(("invalid moves", found["invalid"]))
    return [{"measure": name, **_cell(value)} for name, value in rows]


def coverage_chart(players: Mapping[str, Values], title: str = "Arms tried") -> Figure:
    """Coverage over steps of every player."""
    lines = [_line(name, player["coverage"]) for name, player in _few(players).items()]
    return curve(lines, title=title, unit="share of the arms tried so far", limits=(0, 1.02), size=WIDE)


def regret_chart(players: Mapping[str, Values], title: str = "Regret") -> Figure:
    """Cumulative regret over steps of every player."""
    lines = [_line(name, player["regret"]) for name, player in _few(players).items()]
    return curve(lines, title=title, unit="cumulative, against the best arm", limits=(0, None), size=WIDE)


def entropy_chart(agents: Mapping[str, Values], title: str = "Entropy over repeats") -> Figure:
    """Entropy of the action against how often the last one was repeated, one line per agent."""
    lines = [Series(name, list(range(len(a["entropy"]))), a["entropy"]) for name, a in agents.items()]
    return curve(lines, title=title, unit="nats", x_label="repeats of the last action", limits=(0, None), size=WIDE)


def shares_chart(found: Values, title: str = "What the likeliest action is") -> Figure:
    """Shares of greedy, frequent and other actions against the number of repeats."""
    shares = {kind: found["shares"][kind] for kind in KINDS}
    lines = [Series(kind, list(range(len(y))), y) for kind, y in shares.items()]
    unit = "share of histories"
    return curve(lines, title=title, unit=unit, x_label="repeats of the last action", limits=(0, 1.02), size=WIDE)


def confusion_chart(found: Values, title: str = "Knowing and doing") -> Figure:
    """The confusion of knowing and doing, in per cent of all decisions."""
    rows, columns = list(found["confusion"]), list(next(iter(found["confusion"].values())))
    table = [[100 * found["confusion"][row][column] for column in columns] for row in rows]
    with style():
        figure = Figure(figsize=(SIZE[0], 2.2), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=18)
        axes.annotate("per cent of all decisions", (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8)
        axes.grid(visible=False)
        for i, row in enumerate(table):
            for j, value in enumerate(row):
                shade = {"color": PALETTE[0], "alpha": 0.08 + 0.72 * value / 100, "linewidth": 0}
                axes.barh(i, 0.94, left=j - 0.47, height=0.9, **shade)
                axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=12, color=INK)
        axes.set_xticks(range(len(columns)), columns, color=INK)
        axes.set_yticks(range(len(rows)), rows, color=INK)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)
    return figure


def returns_chart(found: Values, title: str = "Return against every opponent") -> Figure:
    """Measured returns with intervals beside those of random play and of the best response."""
    names = list(found["opponents"])
    with style():
        figure = Figure(figsize=(WIDE[0], 1.1 + 0.3 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=18)
        axes.annotate("won less lost", (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8)
        axes.grid(axis="x", visible=True)
        places = range(len(names))
        marks = {"random play": ("random", "|", PALETTE[7]), "best response": ("best_response", "d", PALETTE[2])}
        for label, (key, marker, colour) in marks.items():
            values = [found["opponents"][name][key] for name in names]
            axes.plot(values, places, marker, color=colour, markersize=8, label=label, linestyle="none")
        measured = [estimate(found["opponents"][name], "return") for name in names]
        axes.hlines(places, [e.low for e in measured], [e.high for e in measured], color=PALETTE[0], linewidth=1.4)
        axes.plot([e.value for e in measured], places, "o", color=PALETTE[0], markersize=5, label="the agent")
        axes.set_yticks(places, names, color=INK)
        axes.set_xlim(-1.05, 1.05)
        axes.invert_yaxis()
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, -0.2), ncols=3, frameon=False, fontsize=8)
    return figure


def _few(players: Mapping[str, Values]) -> dict[str, Values]:
    """The agent and one baseline of each kind: of the UCBs the one of least regret."""
    bounds = [name for name in players if "UCB" in name]
    best = min(bounds, key=lambda name: float(players[name]["final_regret"]["value"]), default="")
    return {name: player for name, player in players.items() if name not in bounds or name == best}


def _line(name: str, values: Sequence[float]) -> Series:
    return Series(name, list(range(1, len(values) + 1)), values)


def _cell(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {"value": "" if value is None else f"{value:.3f}", "95 % interval": ""}
    known = value.get("value") is not None
    interval = f"{value['low']:.3f} – {value['high']:.3f}" if known and value.get("low") is not None else ""
    return {"value": f"{value['value']:.3f}" if known else "", "95 % interval": interval}


def _greediness(found: Values) -> list[Drawn]:
    return [
        (
            "Arms tried",
            coverage_chart(found["players"]),
            f"{found['episodes']} held-out bandits with {found['arms']} arms, {found['horizon']} steps each.",
        ),
        ("Regret", regret_chart(found["players"]), "The same bandits, played by everybody."),
    ]


def _frequency_bias(found: Values) -> list[Drawn]:
    windows = list(found["windows"])
    shares = {kind: [estimate(found["windows"][w], kind) for w in windows] for kind in KINDS}
    return [
        (
            "Entropy over repeats",
            entropy_chart({"the agent": found}),
            "A few random steps, then the last action again and again: does the agent become surer of it?",
        ),
        ("What the likeliest action is", shares_chart(found), "Greedy goes before frequent where an action is both."),
        (
            "Windows of repeats",
            bars(windows, shares, title="Windows of repeats", unit="share of histories", percent=True, width=WIDE[0]),
            "",
        ),
    ]


def _knowing_doing(found: Values) -> list[Drawn]:
    caption = (
        "Optimal: an action of largest upper confidence bound (an untried one, if there is one); greedy: the largest "
        "among those tried."
    )
    return [("Knowing and doing", confusion_chart(found), caption)]


def _opponents(found: Values) -> list[Drawn]:
    return [("Return against every opponent", returns_chart(found), f"{found['games']} games each.")]


_DRAWN: dict[str, Callable[[Values], list[Drawn]]] = {
    "greediness": _greediness,
    "frequency_bias": _frequency_bias,
    "knowing_doing": _knowing_doing,
    "opponents": _opponents,
}
