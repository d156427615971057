"""Nobody improves on the policy: its own attempts are all there is to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hone.data.attempts import Attempt
from hone.rollout.improvers.base import Desk, Place


@dataclass(frozen=True)
class Nobody:
    """No answer anywhere; the policy's own attempts are learnt then (``fit.data.own = true``)."""

    def improve(self, places: Sequence[Place], desk: Desk) -> list[Attempt | None]:
        """None at every place."""
        return [None] * len(places)
