"""The knowing-doing gap: an agent writes down the right values and then does something else.

At every step the upper confidence bounds that the agent wrote are compared with the true ones, mean + c/√n of what it
has seen, and its action with both. It *knows* if what it wrote largest is largest. It acts *optimally* if it takes an
arm of largest bound (an untried one, as long as there is one), else *greedily* if it takes the arm of largest bound
among those it has tried, else it does something *other*. Source: RLFT (arXiv 2504.16078), section 4.2.

Dimensions: T steps, N runs, K arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.envs.tasks.bandit import Bandit
from hone.evaluate.diagnostics.base import OfBandits
from hone.evaluate.estimates import share
from hone.evaluate.subjects import Subject
from hone.tabular.bandits.base import Floats, Ints
from hone.tabular.bandits.tallies import Bools, Tally, best

KNOWS, DOES = ("knows", "does not know"), ("optimal", "greedy", "other")


@dataclass(frozen=True)
class KnowingDoing(OfBandits):
    """The confusion of knowing and doing, over all steps at which something has been seen.

    Attributes:
        episodes: how many held-out bandits.
        samples: playings of each.
        c: of the true bound mean + c/√n.
        slack: a written bound counts as the largest if its true value is this close to the largest, beyond the
            rounding of what is written.
    """

    episodes: int = 64
    samples: int = 1
    c: float = 1.0
    slack: float = 0.0

    def __post_init__(self) -> None:
        if min(self.episodes, self.samples) < 1 or self.slack < 0:
            raise ValueError("episodes and samples must be at least 1, slack at least 0")

    @staticmethod
    def suits(task: object) -> bool:
        """It is a bandit before which the agent thinks."""
        return isinstance(task, Bandit) and task.face.thoughts

    def examine(self, subject: Subject) -> dict[str, Any]:
        """Let the subject play and think; what was measured, as plain values for JSON.

        Raises:
            HoneError: it wrote no bound at all; quotes what it wrote instead.
        """
        episodes_N = np.repeat(np.arange(self.episodes), self.samples)
        played = subject.play(episodes_N, np.tile(np.arange(self.samples), self.episodes))
        written = np.array([[subject.bounds(text) for text in row] for row in played.texts_TN])
        if not written.size or np.isnan(written).all():
            example = next((text for row in played.texts_TN for text in row if text), "")
            raise HoneError(
                "there are no written values to compare with the true ones",
                got=f'for example "{" ".join(example.split())[-120:]}"',
                expected=f"a bound per action, such as {' '.join(subject.example.split())[:80]}",
                do="use an agent that thinks in this form: task.face.thoughts",
            )
        seen = played.seen
        knows_TN = self.knows(written, seen, subject.rounding)
        does_TN = self.does(played.history.action_TN, seen)
        own_TN, clusters_TN = played.own_TN, np.broadcast_to(episodes_N, played.own_TN.shape)
        informed_TN = own_TN & (seen.count.sum(axis=-1) > 0)
        return {
            "diagnostic": "knowing_doing",
            "arms": subject.arms,
            "horizon": subject.horizon,
            "episodes": self.episodes,
            "decisions": int(informed_TN.sum()),
            "invalid": share(played.invalid_TN[own_TN].tolist(), clusters_TN[own_TN].tolist()).plain(),
            "silent": float(np.isnan(written).all(axis=-1)[informed_TN].mean()),
            **self.judge(knows_TN, does_TN, informed_TN, episodes_N),
        }

    def knows(self, written: Floats, seen: Tally, rounding: float) -> Bools:
        """[T, N] every arm of the largest written bound is one of the largest true bound, up to rounding.

        Two values that are written alike may differ by ``rounding``; what says nothing knows nothing.
        """
        top = best(written)
        right = best(seen.upper_bound(self.c), rounding + self.slack + 1e-9)
        known: Bools = np.asarray(top.any(axis=-1) & ~(top & ~right).any(axis=-1))
        return known

    def does(self, action_TN: NDArray[np.integer], seen: Tally) -> Ints:
        """[T, N] 0 optimal, 1 greedy, 2 other; what is both is optimal."""
        bound = seen.upper_bound(self.c)
        taken = action_TN[..., None].astype(np.int64)
        optimal = np.take_along_axis(best(bound, 1e-9), taken, axis=-1)[..., 0]
        among_tried = best(np.where(seen.tried, bound, np.nan), 1e-9)
        greedy = np.take_along_axis(among_tried, taken, axis=-1)[..., 0]
        return np.where(optimal, 0, np.where(greedy, 1, 2))

    def judge(self, knows_TN: Bools, does_TN: Ints, informed_TN: Bools, episodes_N: Ints) -> dict[str, Any]:
        """Confusion as shares of all decisions, and what is done where the values were known."""
        clusters = self._clusters(episodes_N, informed_TN)
        flat = [clusters[i] for i in np.flatnonzero(informed_TN.ravel())]
        knows, does = knows_TN[informed_TN], does_TN[informed_TN]
        sides = {KNOWS[0]: knows, KNOWS[1]: ~knows}
        confusion = {
            name: {kind: float((side & (does == i)).mean()) for i, kind in enumerate(DOES)}
            for name, side in sides.items()
        }
        known = np.flatnonzero(knows)
        given = {
            kind: share((does[known] == i).tolist(), [flat[j] for j in known]).plain() for i, kind in enumerate(DOES)
        }
        return {
            "confusion": confusion,
            "knows": share(knows.tolist(), flat).plain(),
            "given_known": given,
        }

    @staticmethod
    def _clusters(episodes_N: Ints, like_TN: Bools) -> list[int]:
        clusters: list[int] = np.broadcast_to(episodes_N, like_TN.shape).ravel().tolist()
        return clusters
