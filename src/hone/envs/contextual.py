"""Contextual bandits with latent factors: users come one after the other, and each likes the arms
differently.

The reward of arm a for user u is the entry (u, a) of U·Vᵀ, without noise; the agent sees the row U_u. At
every step a new user is drawn uniformly: from the first ``train_users`` in the split ``"train"``, from all
others elsewhere. This is BanditBench's MovieLens bandit, with factors drawn at random or taken from any
rating matrix.

Dimensions: N parallel episodes, K arms, D factors, M users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from hone.core.errors import HoneError
from hone.core.seeding import U64, generator
from hone.core.streams import Streams, key_array
from hone.envs.bandit import Floats, Ints, check_actions, episode_ids, per_row


@dataclass(frozen=True, eq=False)
class LatentFactors:
    """Users and arms as vectors whose product is the reward.

    Attributes:
        users_MD: what the agent sees of each user.
        arms_KD: what is hidden of each arm.

    Raises:
        HoneError: shapes that do not multiply, a number that is not finite.
    """

    users_MD: Floats
    arms_KD: Floats

    def __post_init__(self) -> None:
        shapes = self.users_MD.shape, self.arms_KD.shape
        if any(len(s) != 2 or 0 in s for s in shapes) or shapes[0][1] != shapes[1][1]:
            raise HoneError(
                "the factors do not multiply",
                got=f"{shapes[0]} and {shapes[1]}",
                expected="[M, D] and [K, D]",
            )
        if not (np.isfinite(self.users_MD).all() and np.isfinite(self.arms_KD).all()):
            raise HoneError("a latent factor is not a number")

    @classmethod
    def drawn(cls, *, users: int, arms: int, rank: int, seed: int = 0) -> LatentFactors:
        """Entries of U and V ~ Normal(0, 1/√D), the latter a variance: rewards have variance 1."""
        if min(users, arms, rank) < 1:
            raise HoneError("too few users, arms or factors", got=f"{users}, {arms}, {rank}", expected="at least 1")
        draw = generator(seed, "latent factors", users, arms, rank)
        spread = rank**-0.25
        return cls(spread * draw.standard_normal((users, rank)), spread * draw.standard_normal((arms, rank)))

    @classmethod
    def from_ratings(cls, rating_MK: ArrayLike, rank: int) -> LatentFactors:
        """The best approximation of a rating matrix by so many factors: users U_k, arms V_k S_k of its SVD.

        Raises:
            HoneError: not a finite matrix, or fewer than ``rank`` rows or columns.
        """
        ratings = np.asarray(rating_MK, dtype=np.float64)
        if ratings.ndim != 2 or not np.isfinite(ratings).all():
            raise HoneError("the ratings are not a matrix of numbers", got=f"shape {ratings.shape}")
        if not 1 <= rank <= min(ratings.shape):
            raise HoneError("the rank does not fit the ratings", got=str(rank), expected=f"1 to {min(ratings.shape)}")
        left, singular, right = np.linalg.svd(ratings, full_matrices=False)
        return cls(left[:, :rank], right[:rank].T * singular[:rank])


def user_keys(seed: int, split: str, episodes_N: Ints) -> U64:
    """Keys [N] of the users of these episodes: number t of a key's stream, times the count of users, is user t."""
    return key_array((seed, "users", split), episodes_N)


class ContextualBandits(VectorEnv[Floats, Ints, NDArray[Any]]):
    """N contextual bandits stepped at once, with Gymnasium's vector interface.

    Args:
        factors: the world, shared by all episodes.
        episodes: which sequences of users: their indices, or a number n for 0..n−1.
        train_users: how many users, from the first, belong to ``"train"``.
        horizon: steps per episode; the last one terminates.
        seed: seed of all episodes; ``split`` as above.
        sample: only keys an agent's own randomness: the users depend on the episode alone, rewards have no
            noise.

    Attributes:
        user_N: the users of this step.
        context_ND: their features, the observation.
        means_NK: the reward of every arm for them.

    Raises:
        HoneError: no user in the split, no step, no episode.
    """

    def __init__(
        self,
        factors: LatentFactors,
        episodes: int | Sequence[int] | Ints = 1,
        *,
        train_users: int = 100,
        horizon: int = 50,
        seed: int = 0,
        split: str = "train",
        sample: int | Sequence[int] | Ints = 0,
    ) -> None:
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}
        users = len(factors.users_MD)
        self.first_user, end = (0, min(train_users, users)) if split == "train" else (train_users, users)
        self.users = end - self.first_user
        if self.users < 1 or horizon < 1:
            got = f"{users} users of which {train_users} train, {horizon} steps"
            raise HoneError(f'the split "{split}" has no user, or the episode no step', got=got)
        self.factors, self.arms, self.horizon = factors, len(factors.arms_KD), horizon
        self.seed, self.split = seed, split
        self._reward_MK = factors.users_MD @ factors.arms_KD.T
        self.single_action_space = spaces.Discrete(self.arms)
        largest = np.abs(factors.users_MD).max(axis=0)
        self.single_observation_space = spaces.Box(-largest, largest, dtype=np.float64)
        self._place(episode_ids(episodes), np.asarray(sample, dtype=np.int64))

    def _place(self, episodes_N: Ints, sample: Ints) -> None:
        """Set up these episodes before their first pull."""
        self.num_envs = runs = len(episodes_N)
        self.episodes_N, self.samples_N = episodes_N, per_row(sample, runs, "sample")
        self.action_space = batch_space(self.single_action_space, runs)
        self.observation_space = batch_space(self.single_observation_space, runs)
        self._uniform = Streams(user_keys(self.seed, self.split, episodes_N))
        self._row = np.arange(runs)
        self.time = 0
        self._next_user()

    def _next_user(self) -> None:
        self.user_N: Ints = self.first_user + (self._uniform.at(self.time) * self.users).astype(np.int64)
        self.context_ND: Floats = self.factors.users_MD[self.user_N]
        self.means_NK: Floats = self._reward_MK[self.user_N]

    def pull(self, actions: ArrayLike) -> Floats:
        """Rewards [N] of the arms chosen for the present users; then the next users come, past the horizon
        too.

        Raises:
            HoneError: no such arm.
        """
        chosen = check_actions(actions, self.num_envs, self.arms)
        reward_N: Floats = self.means_NK[self._row, chosen]
        self.time += 1
        self._next_user()
        return reward_N

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start over; arguments as for :meth:`hone.envs.bandit.Bandits.reset`."""
        if isinstance(seed, list):
            raise HoneError("one seed serves all bandits", got=f"{len(seed)} seeds", expected="an integer")
        chosen = options or {}
        self.seed = self.seed if seed is None else seed
        sample = np.asarray(chosen.get("sample", 0), dtype=np.int64)
        self._place(episode_ids(chosen.get("episodes", self.episodes_N)), sample)
        return self.context_ND, {"user": self.user_N}

    def step(self, actions: ArrayLike) -> tuple[Floats, Floats, NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One pull for every user; the observation is the next user's.

        ``infos["regret"]`` [N] is what the choice cost, ``infos["user"]`` [N] who comes next.

        Raises:
            HoneError: no such arm, or the episodes are over.
        """
        if self.time >= self.horizon:
            raise HoneError("the episodes are over", got=f"step {self.time + 1} of {self.horizon}", do="reset()")
        best_N = self.means_NK.max(axis=1)
        reward_N = self.pull(actions)
        over = np.full(self.num_envs, self.time == self.horizon)
        infos = {"regret": best_N - reward_N, "user": self.user_N}
        return self.context_ND, reward_N, over, np.zeros_like(over), infos


class ContextualBanditEnv(gymnasium.Env[Floats, int]):
    """One contextual bandit at a time, as a plain Gymnasium environment; arguments as above.

    ``reset()`` goes to the next episode, ``reset(options={"episode": i})`` to the one named.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(
        self,
        factors: LatentFactors,
        *,
        train_users: int = 100,
        horizon: int = 50,
        seed: int = 0,
        split: str = "train",
    ) -> None:
        self.bandits = ContextualBandits(factors, 1, train_users=train_users, horizon=horizon, seed=seed, split=split)
        self.action_space = spaces.Discrete(self.bandits.arms)  # type: ignore[assignment]
        self.observation_space = self.bandits.single_observation_space
        self._next = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start the next episode, or the one that ``options`` or a new seed name."""
        super().reset(seed=seed)
        episode = int((options or {}).get("episode", self._next if seed is None else 0))
        self._next = episode + 1
        context, infos = self.bandits.reset(seed=seed, options={"episodes": [episode]})
        return context[0], {"episode": episode, "user": int(infos["user"][0])}

    def step(self, action: int) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Pull one arm for the present user."""
        context, reward, over, _, infos = self.bandits.step(np.array([action]))
        info = {"regret": float(infos["regret"][0]), "user": int(infos["user"][0])}
        return context[0], float(reward[0]), bool(over[0]), False, info
