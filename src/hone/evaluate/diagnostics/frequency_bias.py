"""Frequency bias: does an agent repeat what it has seen often, whatever it paid?

A history of a few random steps is followed by its last action, repeated r = 0, 1, ... times with its true rewards;
after each the agent's distribution over the arms is read off. Source: RLFT (arXiv 2504.16078), section 4.2.

Dimensions: R numbers of repeats, N histories, K arms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hone.core.seeding import generator
from hone.envs.tasks.bandit import Bandit
from hone.evaluate.diagnostics.base import OfBandits
from hone.evaluate.estimates import share
from hone.evaluate.subjects import Subject, forced_rewards
from hone.tabular.bandits.base import Floats, Ints
from hone.tabular.bandits.tallies import Tally, best, correlation, entropy, tallies

WINDOWS = ((0, 10), (45, 55), (90, 100))
"""Numbers of repeats that are looked at together, both ends included (the paper's)."""
KINDS = ("greedy", "frequent", "other")


@dataclass(frozen=True)
class FrequencyBias(OfBandits):
    """Entropy and kind of the likeliest action against the number of repeats.

    An action is *greedy* if no tried arm has a higher mean reward, else *frequent* if none was pulled more often, else
    *other*. Where several actions are likeliest each counts for its part.

    Attributes:
        bandits: how many held-out bandits.
        targets: arms of each that are repeated, drawn without replacement.
        histories: beginnings for each of them.
        prefix: shortest and longest beginning; its last step is the target.
        repeats: most repeats; more than the model's context holds is an error.
        seed: of the beginnings.
    """

    bandits: int = 10
    targets: int = 5
    histories: int = 5
    prefix: tuple[int, int] = (2, 10)
    repeats: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.bandits, self.targets, self.histories) < 1 or self.repeats < 0:
            raise ValueError("bandits, targets and histories must be at least 1, repeats at least 0")
        if not 1 <= self.prefix[0] <= self.prefix[1]:
            raise ValueError(f"prefix is {self.prefix}; it is the shortest and the longest beginning, at least 1")

    @staticmethod
    def suits(task: object) -> bool:
        """It is a bandit without contexts whose aids neither permute labels nor ask twice (shuffle, correct)."""
        return isinstance(task, Bandit) and not (task.aids.shuffle or task.aids.correct)

    def examine(self, subject: Subject) -> dict[str, Any]:
        """Ask the subject after every history; what was measured, as plain values for JSON."""
        episodes_N, samples_N, action_TN, length_N = self._histories(subject.arms)
        steps, runs = action_TN.shape
        wanted_SN = np.arange(steps + 1)[:, None] >= length_N
        wanted_SN &= np.arange(steps + 1)[:, None] <= length_N + self.repeats
        reward_TN = forced_rewards(subject.bandits(episodes_N, samples_N), action_TN)
        whole = tallies(action_TN, reward_TN, subject.arms)
        at = (length_N + np.arange(self.repeats + 1)[:, None], np.arange(runs))  # [R, N]
        probability = subject.probabilities(episodes_N, samples_N, action_TN, wanted_SN)[at]
        return self.judge(
            probability, Tally(whole.count[at], whole.mean[at]), action_TN[length_N - 1, at[1]], episodes_N
        )

    def judge(self, probability_RNK: Floats, seen: Tally, target_N: Ints, episodes_N: Ints) -> dict[str, Any]:
        """The measures, from distributions after r = 0, 1, ... repeats of the target."""
        kinds = kinds_of(probability_RNK, seen)
        entropy_RN = entropy(probability_RNK)
        repeated_RN = probability_RNK[:, np.arange(len(target_N)), target_N]
        worse_RN = ~best(seen.mean)[:, np.arange(len(target_N)), target_N]
        repeats_RN = np.broadcast_to(np.arange(len(entropy_RN))[:, None], entropy_RN.shape)
        windows = [w for w in WINDOWS if w[1] < len(entropy_RN)] or [(0, len(entropy_RN) - 1)]
        clusters = np.broadcast_to(episodes_N, entropy_RN.shape)
        with np.errstate(invalid="ignore"):
            repeated = np.nansum(np.where(worse_RN, repeated_RN, 0.0), axis=1) / worse_RN.sum(axis=1)
        return {
            "diagnostic": "frequency_bias",
            "arms": int(probability_RNK.shape[-1]),
            "histories": len(target_N),
            "episodes": len(np.unique(episodes_N)),
            "entropy": entropy_RN.mean(axis=1).tolist(),
            "shares": {kind: value.mean(axis=1).tolist() for kind, value in kinds.items()},
            "repeated": [None if np.isnan(v) else float(v) for v in repeated],
            "correlation": _known(correlation(repeats_RN.ravel().astype(np.float64), entropy_RN.ravel())),
            "windows": {f"{low}-{high}": _shares(kinds, clusters, slice(low, high + 1)) for low, high in windows},
            "overall": _shares(kinds, clusters, slice(None)),
        }

    def _histories(self, arms: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Episodes, samples, actions [T, N] padded with −1, and the lengths of the beginnings."""
        targets = min(self.targets, arms)
        rows: list[Ints] = []
        for bandit in range(self.bandits):
            draw = generator(self.seed, "frequency bias", bandit)
            for target in draw.choice(arms, size=targets, replace=False):
                for _ in range(self.histories):
                    length = int(draw.integers(self.prefix[0], self.prefix[1] + 1))
                    rows.append(np.append(draw.integers(arms, size=length - 1), target))
        per_bandit = targets * self.histories
        length_N = np.array([len(row) for row in rows])
        action_TN = np.full((self.prefix[1] + self.repeats, len(rows)), -1)
        for n, row in enumerate(rows):
            action_TN[: len(row), n] = row
            action_TN[len(row) : len(row) + self.repeats, n] = row[-1]
        episodes_N = np.repeat(np.arange(self.bandits), per_bandit)
        return episodes_N, np.tile(np.arange(per_bandit), self.bandits), action_TN, length_N


def kinds_of(probability: Floats, seen: Tally) -> dict[str, Floats]:
    """[...] by how much the likeliest action is greedy, frequent or other; the three sum to 1."""
    top = np.isclose(probability, probability.max(axis=-1, keepdims=True), rtol=1e-9, atol=0.0)
    weight = top / top.sum(axis=-1, keepdims=True)
    is_greedy = best(seen.mean)
    is_frequent = best(seen.count) & ~is_greedy
    masks = {"greedy": is_greedy, "frequent": is_frequent, "other": ~is_greedy & ~is_frequent}
    return {kind: (weight * masks[kind]).sum(axis=-1) for kind in KINDS}


def _shares(kinds: Mapping[str, Floats], clusters: Ints, rows: slice) -> dict[str, Any]:
    names: Sequence[int] = clusters[rows].ravel().tolist()
    return {kind: share(value[rows].ravel().tolist(), names).plain() for kind, value in kinds.items()}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
