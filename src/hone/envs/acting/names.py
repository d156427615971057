"""What actions are called."""

from __future__ import annotations

from hone.core.errors import HoneError, nearest

COLOURS = (
    *("blue", "green", "red", "yellow", "orange", "purple", "pink", "brown", "black", "white"),
    *("gray", "cyan", "magenta", "teal", "olive", "maroon", "navy", "lime", "indigo", "violet"),
)
"""BanditBench's first ten, in its order, and ten more."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def action_names(scenario: str, count: int) -> tuple[str, ...]:
    """The names of ``count`` actions: "continuous": 0, 1, 2, ...; "button": colours; "plain": letters.

    Raises:
        HoneError: no such scenario, or more actions than it has names.
    """
    if scenario == "continuous":
        return tuple(map(str, range(count)))
    names = {"button": COLOURS, "plain": tuple(LETTERS)}
    if scenario not in names:
        raise HoneError("there is no such scenario", got=f'"{scenario}"', do=nearest(scenario, [*names, "continuous"]))
    if count > len(names[scenario]):
        raise HoneError(
            "there are more actions than names",
            where=f'scenario "{scenario}"',
            got=f"{count} actions",
            expected=f"at most {len(names[scenario])}",
            do='choose scenario = "continuous"',
        )
    return names[scenario][:count]
