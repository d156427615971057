"""Multi-armed bandits, many at once.

A *family* (:mod:`hone.envs.arms`) says how an episode's arms are drawn and how they pay. :class:`Bandits`
plays N episodes side by side; :class:`BanditEnv` plays one after the other as a plain ``gymnasium.Env``.
Episode e of a seed and split is the same bandit wherever and in whatever company it is played; its luck is
keyed by (seed, split, episode, sample, step): two samples of one episode share the arms, not the luck.

Dimensions: N parallel episodes, K arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from hone.core.errors import HoneError
from hone.core.seeding import U64
from hone.core.streams import Streams, key_array
from hone.envs.arms import Family

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_actions(actions: ArrayLike, rows: int, options: int) -> Ints:
    """Actions as [N] int64, each in 0..options−1.

    Raises:
        HoneError: not one integer per row, or one of them outside the range (the first such row is named).
    """
    array = np.asarray(actions)
    if array.dtype.kind not in "iu" or array.shape != (rows,):
        found = f"shape {array.shape} of {array.dtype}"
        raise HoneError("the actions have the wrong form", got=found, expected=f"{rows} integers")
    if int(array.max()) >= options or int(array.min()) < 0:
        row = int(np.flatnonzero((array < 0) | (array >= options))[0])
        raise HoneError(
            "there is no such action",
            where=f"row {row} of the actions",
            got=str(int(array[row])),
            expected=f"0 to {options - 1}",
        )
    return array.astype(np.int64, copy=False)


def episode_ids(episodes: int | Sequence[int] | Ints) -> Ints:
    """[N] indices of the episodes: a number n stands for 0..n−1.

    Raises:
        HoneError: there is none.
    """
    ids = np.arange(episodes) if isinstance(episodes, int) else np.asarray(episodes, dtype=np.int64)
    if ids.ndim != 1 or len(ids) == 0:
        raise HoneError("there are no episodes to play", got=str(episodes), expected="at least one")
    return ids


def per_row(values: ArrayLike, rows: int, name: str) -> Ints:
    """One integer per row [N], from one for all or one each.

    Raises:
        HoneError: neither one value nor as many as there are rows.
    """
    array = np.asarray(values, dtype=np.int64)
    if array.shape not in ((), (rows,)):
        raise HoneError(f"{name} does not fit", got=f"shape {array.shape}", expected=f"one value or {rows}")
    return np.broadcast_to(array, (rows,))


def draw_means(family: Family, arms: int, seed: int, split: str, episodes_N: Ints) -> Floats:
    """Expected rewards [N, K] of the bandits of these episodes."""
    keys_N = key_array((seed, "bandit", split), episodes_N)
    # One stream of K + 1 numbers draws an episode's arms: K means, and which arm is best in the gap form.
    content = Streams(keys_N, width=arms + 1, block=1).at(0)
    return np.ascontiguousarray(family.means(content[:-1], content[-1]).T)


def luck_keys(seed: int, split: str, episodes_N: Sequence[int] | Ints, samples_N: Sequence[int] | Ints) -> U64:
    """Keys [N] of the luck of these playings: number t of a key's stream is the luck of pull t."""
    return key_array((seed, "pull", split), episodes_N, samples_N)


class Bandits(VectorEnv[Ints, Ints, NDArray[Any]]):
    """N bandits stepped at once, with Gymnasium's vector interface; :meth:`pull` is the bare step.

    Observations are always 0: a bandit has no state. All episodes end together, at the horizon, and then
    wait for ``reset`` (``AutoresetMode.DISABLED``).

    Args:
        family: how arms are drawn and pay.
        arms: K.
        episodes: which episodes to play: their indices, or a number n for 0..n−1.
        horizon: steps per episode; the last one *terminates*: the episode is defined as that many pulls.
        seed: seed of all episodes.
        split: part of the key, so that ``"train"`` and ``"test"`` share no bandit.
        sample: which independent playing of the episodes this is: one number, or one per episode.

    Attributes:
        means_NK: expected reward of every arm.
        best_N: expected reward of the best arm.
        time: pulls made in the current episodes.

    Raises:
        HoneError: fewer than one arm, step or episode; a family whose means do not fit.
    """

    def __init__(
        self,
        family: Family,
        arms: int,
        episodes: int | Sequence[int] | Ints = 1,
        *,
        horizon: int = 50,
        seed: int = 0,
        split: str = "train",
        sample: int | Sequence[int] | Ints = 0,
    ) -> None:
        if arms < 1 or horizon < 1:
            raise HoneError("a bandit needs an arm and a step", got=f"{arms} arms, {horizon} steps")
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}
        self.family, self.arms, self.horizon, self.seed, self.split = family, arms, horizon, seed, split
        self.single_action_space = spaces.Discrete(arms)
        self.single_observation_space = spaces.Discrete(1)
        self._place(episode_ids(episodes), np.asarray(sample, dtype=np.int64))

    def _place(self, episodes_N: Ints, sample: Ints) -> None:
        """Set up these episodes before their first pull."""
        self.num_envs = runs = len(episodes_N)
        self.episodes_N, self.samples_N = episodes_N, per_row(sample, runs, "sample")
        self.action_space = batch_space(self.single_action_space, runs)
        self.observation_space = batch_space(self.single_observation_space, runs)
        self.means_NK: Floats = draw_means(self.family, self.arms, self.seed, self.split, episodes_N)
        self.best_N: Floats = self.means_NK.max(axis=1)
        self._mean = self.means_NK.ravel()
        self._row = np.arange(runs) * self.arms
        keys_N = luck_keys(self.seed, self.split, episodes_N, self.samples_N)
        self._luck = Streams(keys_N, transform=self.family.luck)
        self._observation = np.zeros(runs, dtype=np.int64)
        self._no, self._yes = np.zeros(runs, dtype=np.bool_), np.ones(runs, dtype=np.bool_)
        for constant in (self._observation, self._no, self._yes):
            constant.flags.writeable = False
        self.time = 0

    def pull(self, actions: ArrayLike) -> Floats:
        """Rewards [N] of pulling arm ``actions[n]`` of bandit n, past the horizon too.

        Raises:
            HoneError: no such arm.
        """
        chosen = check_actions(actions, self.num_envs, self.arms)
        luck_N = self._luck.at(self.time)
        self.time += 1
        return self.family.reward(self._mean.take(self._row + chosen), luck_N)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Ints, dict[str, Any]]:
        """Start over.

        Args:
            seed: a new seed of all episodes (one number).
            options: ``episodes`` and ``sample`` as in the constructor. Without seed and options the same
                episodes are played again with the next sample's luck.
        """
        if isinstance(seed, list):
            raise HoneError("one seed serves all bandits", got=f"{len(seed)} seeds", expected="an integer")
        chosen = options or {}
        replay = seed is None and "episodes" not in chosen
        sample = chosen.get("sample", self.samples_N + 1 if replay else 0)
        self.seed = self.seed if seed is None else seed
        self._place(episode_ids(chosen.get("episodes", self.episodes_N)), np.asarray(sample, dtype=np.int64))
        return self._observation, {}

    def step(self, actions: ArrayLike) -> tuple[Ints, Floats, NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One pull of every bandit: observations, rewards, terminations, truncations, infos.

        ``infos["regret"]`` [N] is what the choice cost in expectation, max_k μ_k − μ_a.

        Raises:
            HoneError: no such arm, or the episodes are over.
        """
        if self.time >= self.horizon:
            raise HoneError("the episodes are over", got=f"step {self.time + 1} of {self.horizon}", do="reset()")
        reward_N = self.pull(actions)
        regret_N = self.best_N - self._mean.take(self._row + np.asarray(actions))
        over = self._yes if self.time == self.horizon else self._no
        return self._observation, reward_N, over, self._no, {"regret": regret_N}


class BanditEnv(gymnasium.Env[int, int]):
    """One bandit at a time, as a plain Gymnasium environment; arguments as for :class:`Bandits`.

    ``reset()`` goes to the next episode, ``reset(options={"episode": i, "sample": j})`` to the one named,
    and ``reset(seed=s)`` to the first of another seed. ``info["regret"]`` as in :class:`Bandits`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, family: Family, arms: int, *, horizon: int = 50, seed: int = 0, split: str = "train") -> None:
        self.bandits = Bandits(family, arms, 1, horizon=horizon, seed=seed, split=split)
        self.action_space = cast("spaces.Space[int]", spaces.Discrete(arms))
        self.observation_space = cast("spaces.Space[int]", spaces.Discrete(1))
        self._next = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Start the next episode, or the one that ``options`` or a new seed name."""
        super().reset(seed=seed)
        chosen = options or {}
        episode = int(chosen.get("episode", self._next if seed is None else 0))
        self._next = episode + 1
        where = {"episodes": [episode], "sample": int(chosen.get("sample", 0))}
        self.bandits.reset(seed=seed, options=where)
        return 0, {"episode": episode}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Pull one arm."""
        _, reward, over, _, info = self.bandits.step(np.array([action]))
        return 0, float(reward[0]), bool(over[0]), False, {"regret": float(info["regret"][0])}
