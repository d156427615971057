"""Histories of simple bandit players as text: what a base model has read before it is fine-tuned.

Dimensions: N episodes, K arms, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError, nearest
from hone.envs.acting.base import Scene
from hone.envs.acting.face import Face

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PLAYERS = ("random", "greedy", "epsilon_greedy", "sticky", "favourite")
"""random: any arm; greedy: the arm of best mean, where an untried one counts as a bad one, so that a first arm that
pays is kept; epsilon_greedy: the same, but any arm with probability 0.2; sticky: the last arm again with probability
0.9; favourite: an arm of its own with probability 0.7, else any."""


class Pulled(Protocol):
    """Bandits in progress, see :class:`hone.envs.bandit.Bandits`."""

    means_NK: Floats

    def pull(self, actions: Ints) -> Floats:
        """Rewards [N] of one pull each."""


def histories(
    bandits: Pulled, horizon: int, shares: Mapping[str, float], untried: float, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """Actions and rewards [N, T] of players drawn by their shares.

    Args:
        bandits: one per episode.
        horizon: T.
        shares: of the players by name.
        untried: what the greedy ones think of an arm that they have not tried.
        rng: the players' chance.

    Raises:
        HoneError: an unknown player, or no share at all.
    """
    names = list(shares)
    for name in names:
        if name not in PLAYERS:
            raise HoneError("there is no such player", where="task.players", got=f'"{name}"', do=nearest(name, PLAYERS))
    weight = np.array([shares[name] for name in names], dtype=np.float64)
    if not (weight >= 0).all() or weight.sum() <= 0:
        raise HoneError("the players have no shares", where="task.players", got=str(dict(shares)))
    runs, arms = bandits.means_NK.shape
    player_N = np.array([PLAYERS.index(name) for name in names])[rng.choice(len(names), runs, p=weight / weight.sum())]
    favourite_N, row = rng.integers(arms, size=runs), np.arange(runs)
    count_NK, total_NK = np.zeros((runs, arms)), np.zeros((runs, arms))
    action_NT, reward_NT = np.zeros((runs, horizon), dtype=np.int64), np.zeros((runs, horizon))
    for t in range(horizon):
        any_N, chance_N = rng.integers(arms, size=runs), rng.random(runs)
        mean_NK = np.where(count_NK > 0, total_NK / np.maximum(count_NK, 1), untried)
        greedy_N = (mean_NK + 1e-9 * rng.random((runs, arms))).argmax(axis=1)
        last_N = action_NT[:, t - 1] if t else any_N
        choice = (
            any_N,
            greedy_N,
            np.where(chance_N < 0.2, any_N, greedy_N),
            np.where(chance_N < 0.9, last_N, any_N),
            np.where(chance_N < 0.7, favourite_N, any_N),
        )
        action_N = np.stack(choice)[player_N, row]
        reward_N = bandits.pull(action_N)
        count_NK[row, action_N] += 1
        total_NK[row, action_N] += reward_N
        action_NT[:, t], reward_NT[:, t] = action_N, reward_N
    return action_NT, reward_NT


def written(face: Face, scene: Scene, action_NT: Ints, reward_NT: Floats) -> list[tuple[str, str]]:
    """(opening, everything after it) of every history, in the compact form.

    Raises:
        HoneError: another form, see :func:`need_one_text`.
    """
    labels = need_one_text(face).labels(scene)
    opening = face.context(scene, labels, [], "", [])
    return [
        (opening, "".join(labels[a] + scene.digit(r) for a, r in zip(actions, rewards, strict=True)))
        for actions, rewards in zip(action_NT.tolist(), reward_NT.tolist(), strict=True)
    ]


def need_one_text(face: Face) -> Face:
    """The face, if what an agent reads and what it writes make one text in it.

    Raises:
        HoneError: they do not.
    """
    if face.style != "compact" or face.window or face.legal:
        raise HoneError(
            "a corpus of histories is written in the compact form only",
            where="task.face",
            got=f'style = "{face.style}", window = {face.window}, legal = {str(face.legal).lower()}',
            do='set task.face.style = "compact" and nothing else, or clone an expert',
        )
    return face
