"""Contextual bandits in words: users come one after the other, and each likes the arms differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hone.core.seeding import generator, uniforms
from hone.envs.acting.base import Moved, Scene
from hone.envs.acting.corpus import PLAYERS, histories, need_one_text
from hone.envs.acting.names import action_names
from hone.envs.acting.task import ActingTask
from hone.envs.arms import Floats
from hone.envs.bandit import Ints
from hone.envs.contextual import ContextualBandits, LatentFactors, user_keys
from hone.envs.ratings import Ratings, read_ratings


@dataclass(frozen=True)
class ContextualBandit(ActingTask):
    """Which movie to recommend to whom: the reward is what the user would give it, without noise.

    What users and movies are like is drawn at random, or found in a file of ratings (BanditBench's MovieLens bandit):
    the agent sees a user's features, the movies' are hidden but always the same. Training draws users from the first
    ``users``, tests from the others.

    Attributes:
        arms: K, the most-rated movies of a file.
        rank: D, features of a user.
        users: how many users training draws from.
        test_users: how many more there are, for tests; of a file all others are.
        ratings: a file of ratings in one of MovieLens's layouts (:mod:`hone.envs.ratings`); "" draws factors.
        movies: the file of titles beside it; "" for none.
        people: the file of users' gender, age, occupation and location; "" for none.
        horizon: T, users per episode.
        players: shares of the players whose histories the corpus holds (:mod:`hone.envs.acting.corpus`); none of them
            looks at the user.
    """

    arms: int = 10
    rank: int = 5
    users: int = 100
    test_users: int = 100
    ratings: str = ""
    movies: str = ""
    people: str = ""
    horizon: int = 50
    players: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(PLAYERS, 1.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.arms - 1, self.rank, self.users, self.test_users, self.horizon) < 1:
            raise ValueError("rank, users, test_users and horizon must be at least 1, arms at least 2")
        if self.aids.try_all and self.horizon <= self.arms:
            raise ValueError(f"aids.try_all takes {self.arms} steps, and there are only {self.horizon}: none are left")
        if self.face.style == "guided":
            raise ValueError('face.style "guided": the bounds of a bandit without contexts say nothing here')
        if not self.ratings and (self.movies or self.people):
            raise ValueError("movies and people have no effect without ratings")
        if self.ratings and self.test_users != type(self).test_users:
            raise ValueError("test_users has no effect on ratings: all users after the first are for tests")

    @cached_property
    def scene(self) -> Scene:
        """The role, the movies, what is known of a user."""
        names = action_names("continuous", self.arms)
        titles = self._table.titles if self._table else ()
        listed = "; ".join(f"{n}: {title}" for n, title in zip(names, titles, strict=False)) or ", ".join(names)
        instruction = (
            f"You are an AI movie recommendation assistant. There are {self.arms} movies, {listed}. Each step shows "
            f"another user, with a vector of {self.rank} preferences. You recommend one movie, and the reward is how "
            f"much this user likes it. You do so {self.horizon} times, and your goal is to maximise the total reward."
        )
        mean, deviation = self.moments
        return Scene(instruction, names, "C|", (mean - 2 * deviation, mean + 2 * deviation))

    @property
    def turns(self) -> int:
        """The horizon."""
        return self.horizon

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Of a random arm's reward for a training user."""
        reward_MK = self._rewards[: self.users]
        return float(reward_MK.mean()), float(reward_MK.std())

    @cached_property
    def factors(self) -> LatentFactors:
        """Users and arms as vectors."""
        if self._table:
            return LatentFactors.from_ratings(self._table.rating_MK, self.rank)
        count = self.users + self.test_users
        return LatentFactors.drawn(users=count, arms=self.arms, rank=self.rank, seed=self.seed)

    def bandits(
        self, split: str, episodes: Sequence[int] | Ints | int, sample: int | Sequence[int] | Ints = 0
    ) -> ContextualBandits:
        """The same episodes side by side for numeric agents; ``sample`` keys only their own randomness."""
        return ContextualBandits(
            self.factors,
            episodes,
            train_users=self.users,
            horizon=self.horizon,
            seed=self.seed,
            split=split,
            sample=sample,
        )

    def begin(self, split: str, episode: int, sample: int) -> Visits:
        """The first user of an episode."""
        return Visits(self, self._visitors(split, np.array([episode]))[0].tolist())

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` histories of simple players with training users, as (opening, the rest), in the compact form."""
        labels = need_one_text(self.face).labels(self.scene)
        rng = generator(seed, "contextual corpus")
        episodes = rng.integers(self.train, size=n)
        mean, deviation = self.moments
        bandits = self.bandits("train", episodes)
        action_NT, reward_NT = histories(bandits, self.horizon, self.players, mean - deviation, rng)
        shown, found = self.seen[1], []
        for users, actions, rewards in zip(
            self._visitors("train", episodes).tolist(), action_NT.tolist(), reward_NT.tolist(), strict=True
        ):
            said = [labels[a] + self.scene.digit(r) for a, r in zip(actions, rewards, strict=True)]
            rest = [answer + shown[user] for answer, user in zip(said, users[1:-1], strict=False)]
            found.append((self.scene.tag + shown[users[0]], "".join([*rest, said[-1]])))
        return found

    def _visitors(self, split: str, episodes_N: Ints) -> Ints:
        """[N, T+1] the users of these episodes in their order."""
        total = len(self.factors.users_MD)
        first, end = (0, min(self.users, total)) if split == "train" else (self.users, total)
        if end <= first:
            self.bandits(split, 1)  # the numeric environment says it in its own words
        step = np.arange(self.horizon + 1, dtype=np.uint64)
        luck_NT = uniforms(user_keys(self.seed, split, episodes_N)[:, None], step[None, :])
        users_NT: Ints = first + (luck_NT * (end - first)).astype(np.int64)
        return users_NT

    @cached_property
    def seen(self) -> tuple[list[str], list[str]]:
        """What is shown of every user: as a vector, and as a digit per feature (two deviations either way)."""
        user_MD = self.factors.users_MD
        people = self._table.users if self._table and self.people else None
        vectors = [f"({', '.join(f'{x:.2f}' for x in row)})" for row in user_MD.tolist()]
        if people:
            vectors = [f"[{who}; preferences {vector}]" for who, vector in zip(people, vectors, strict=True)]
        centre_D, deviation_D = user_MD.mean(axis=0), np.maximum(user_MD.std(axis=0), 1e-12)
        digit_MD = np.clip(np.floor(5 + 2.5 * (user_MD - centre_D) / deviation_D), 0, 9).astype(int)
        return vectors, ["".join(map(str, row)) for row in digit_MD.tolist()]

    @cached_property
    def gains(self) -> tuple[list[list[float]], list[float]]:
        """Rewards of every arm for every user, and the best of them."""
        return self._rewards.tolist(), self._rewards.max(axis=1).tolist()

    @cached_property
    def _rewards(self) -> Floats:
        return self.factors.users_MD @ self.factors.arms_KD.T

    @cached_property
    def _table(self) -> Ratings | None:
        return read_ratings(self.ratings, self.arms, movies=self.movies, users=self.people) if self.ratings else None


class Visits:
    """One contextual bandit in progress, as :class:`hone.envs.contextual.ContextualBandits` plays it."""

    def __init__(self, task: ContextualBandit, users: list[int]) -> None:
        self.legal = range(task.arms)
        (self._gain, self._best), (self._vector, self._digits) = task.gains, task.seen
        self._users, self._time = users, 0
        self._see()

    def act(self, action: int) -> Moved:
        """Recommend to this user; then the next one comes."""
        user = self._users[self._time]
        reward = self._gain[user][action]
        self._time += 1
        self._see()
        return Moved(reward, terminated=self._time == len(self._users) - 1, regret=self._best[user] - reward)

    def _see(self) -> None:
        user = self._users[self._time]
        self.state, self.compact = self._vector[user], self._digits[user]
