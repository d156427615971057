"""What ``hone tabular`` and ``hone play`` share: environments by name, and how their states lie on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gymnasium

TOY_TEXT = ("CliffWalking-v1", "FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4")


@dataclass(frozen=True)
class Layout:
    """How states lie on a grid.

    Attributes:
        kinds: rows of letters: ``.`` free, ``#`` wall, ``S`` start, ``G`` goal, ``C`` cliff, ``H`` hole.
        order: the action numbers of up, right, down, left.
    """

    kinds: tuple[str, ...]
    order: tuple[int, int, int, int]


def make_env(name: str, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """A world of hone by its file's name (dashes or underscores), or a Gymnasium environment by its id.

    ``module:id`` imports the module that registers it first, as Gymnasium does.

    Raises:
        HoneError: unknown, with the nearest known name; or Gymnasium cannot make it.
    """
    import warnings

    import gymnasium

    import hone.envs.worlds
    from hone.core.errors import HoneError, nearest
    from hone.core.resolve import names

    worlds = [world.replace("_", "-") for world in names(hone.envs.worlds.__name__)]
    if (world := name.replace("_", "-")) in worlds:
        name = f"hone/{''.join(part.capitalize() for part in world.split('-'))}-v0"
        return gymnasium.make(name, render_mode=render_mode, disable_env_checker=True).unwrapped
    if name not in gymnasium.registry and ":" not in name:
        raise HoneError("unknown environment", got=f'"{name}"', expected=nearest(name, [*worlds, *TOY_TEXT]))
    drawn: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    try:
        with warnings.catch_warnings():
            # Not every environment can be drawn; what then matters is said by whoever uses it.
            warnings.filterwarnings("ignore", message=".*render_mode")
            return gymnasium.make(name, **drawn)
    except Exception as error:
        raise HoneError("Gymnasium cannot make the environment", got=f"{name}: {error}") from error


def layout_of(env: gymnasium.Env[Any, Any]) -> Layout | None:
    """The grid of an environment whose states are its cells, row by row; None for others."""
    from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
    from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

    from hone.envs.worlds.base import GridWorld

    plain = env.unwrapped
    if isinstance(plain, GridWorld):
        free = str.maketrans("ABab", "....")
        return Layout(tuple(row.translate(free) for row in plain.layout), (0, 1, 2, 3))
    if isinstance(plain, FrozenLakeEnv):
        desc: Any = plain.desc
        return Layout(tuple(b"".join(row).decode().replace("F", ".") for row in desc), (3, 2, 1, 0))
    if isinstance(plain, CliffWalkingEnv):
        return Layout(("............",) * 3 + ("SCCCCCCCCCCG",), (0, 1, 2, 3))
    return None
