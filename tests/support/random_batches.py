"""Random episodes as plain lists for the oracles, and the batch made of them for the code under test.

Columns that a learner would compute (value, log-probs) are given per action token of an episode, so that the
same episode laid out in one row or in many has the same numbers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from hone.core.batch import Batch


@dataclass(frozen=True)
class Act:
    """One turn: how many observation tokens come before it, and one number per action token."""

    observation: int
    value: list[float]
    logprob: list[float]
    old: list[float]
    ref: list[float]
    reward: float
    restart: bool

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True)
class Episode:
    group: int
    turns: list[Act]
    bootstrap: float = 0.0
    failed: bool = False

    def flat(self, name: str) -> list[float]:
        """A column over all action tokens, in order."""
        return [x for turn in self.turns for x in getattr(turn, name)]

    def rewards(self) -> list[float]:
        """Per action token: 0 but on the last token of each turn."""
        return [r for turn in self.turns for r in [0.0] * (len(turn) - 1) + [turn.reward]]

    def unsplit(self) -> Episode:
        return replace(self, turns=[replace(t, restart=False) for t in self.turns])


@dataclass
class _Row:
    episode: int
    step: int
    cells: list[tuple[int, bool, dict[str, float]]] = field(default_factory=list)


NAMES = ("value", "logprob", "old", "ref")


def build(episodes: list[Episode], shuffle: int = 0) -> tuple[Batch, Tensor]:
    """The batch (rows shuffled) with value, old_logprob and ref_logprob, and the learner's fresh [B,T].

    Tokens that are no action carry garbage in the learner's columns: nothing may depend on it.
    """
    rows: list[_Row] = []
    for number, episode in enumerate(episodes):
        first = True
        for index, turn in enumerate(episode.turns):
            if first or turn.restart:
                rows.append(_Row(number, 0 if first else rows[-1].step + 1))
                first = False
            garbage = dict.fromkeys(NAMES, -7.5) | {"reward": 0.0}
            rows[-1].cells += [(index, False, garbage)] * turn.observation
            for a in range(len(turn)):
                last = a == len(turn) - 1
                reward = (float("nan") if episode.failed else turn.reward) if last else 0.0
                rows[-1].cells.append((index, True, {n: getattr(turn, n)[a] for n in NAMES} | {"reward": reward}))
    random.Random(shuffle).shuffle(rows)
    width = max([len(row.cells) for row in rows], default=0) + 1
    shape = (len(rows), width)
    column = {name: torch.zeros(shape) for name in (*NAMES, "reward")}
    mask, sampled, turn_BT = torch.zeros(shape).bool(), torch.zeros(shape).bool(), torch.zeros(shape).long()
    for b, row in enumerate(rows):
        for t, (index, action, numbers) in enumerate(row.cells):
            mask[b, t], sampled[b, t], turn_BT[b, t] = True, action, index
            for name, number_ in numbers.items():
                column[name][b, t] = number_
    failed_B = torch.tensor([episodes[row.episode].failed for row in rows], dtype=torch.bool)
    ends = {row.episode: row.step for row in sorted(rows, key=lambda r: r.step)}
    bootstraps = [episodes[row.episode].bootstrap if row.step == ends[row.episode] else 99.0 for row in rows]
    batch = Batch(
        tokens=torch.ones(shape, dtype=torch.int64),
        mask=mask,
        sampled=sampled,
        train=sampled & ~failed_B[:, None],
        turn=turn_BT,
        reward=column["reward"],
        behaviour_logprob=column["old"] * sampled,
        episode=torch.tensor([100 + 3 * row.episode for row in rows], dtype=torch.int64),
        step=torch.tensor([row.step for row in rows], dtype=torch.int64),
        group=torch.tensor([episodes[row.episode].group for row in rows], dtype=torch.int64),
        terminated=torch.tensor([b == 0 for b in bootstraps], dtype=torch.bool),
        bootstrap=torch.tensor(bootstraps),
        old_logprob=column["old"],
        ref_logprob=column["ref"],
        value=column["value"],
    )
    return batch, column["logprob"]


def per_episode(batch: Batch, x_BT: Tensor, count: int) -> list[list[float]]:
    """The entries of a column at every episode's action tokens, in order, read with plain loops."""
    rows = sorted(range(len(batch)), key=lambda b: (int(batch.episode[b]), int(batch.step[b])))
    found: list[list[float]] = [[] for _ in range(count)]
    for b in rows:
        number = (int(batch.episode[b]) - 100) // 3
        found[number] += [float(x_BT[b, t]) for t in range(x_BT.shape[1]) if bool(batch.sampled[b, t])]
    return found


_eighths = st.integers(-16, 16).map(lambda n: n / 8)


@st.composite
def turns(draw: st.DrawFn) -> Act:
    length = draw(st.integers(1, 4))

    def numbers(strategy: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(strategy, min_size=length, max_size=length))

    old = numbers(st.integers(-24, -1).map(lambda n: n / 8))
    return Act(
        observation=draw(st.integers(0, 3)),
        value=numbers(_eighths),
        # not on the borders of the clip, where a subgradient is anybody's choice
        logprob=[o + d for o, d in zip(old, numbers(st.sampled_from([-0.5, -0.1, 0.0, 0.1, 0.5])), strict=True)],
        old=old,
        ref=[o + d for o, d in zip(old, numbers(_eighths), strict=True)],
        reward=draw(st.sampled_from([0.0, 0.1, 0.3, 1.0, -1.0])),
        restart=draw(st.booleans()),
    )


@st.composite
def episode_lists(draw: st.DrawFn, most: int = 7) -> list[Episode]:
    made = []
    for _ in range(draw(st.integers(0, most))):
        made.append(
            Episode(
                group=draw(st.integers(0, 2)),
                turns=draw(st.lists(turns(), min_size=1, max_size=3)),
                bootstrap=draw(st.sampled_from([0.0, 0.5, -1.25])),
                failed=draw(st.sampled_from([False, False, False, True])),
            )
        )
    return made
