"""What the text face puts into words: an episode of a numeric environment, played a step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

By = Literal["policy", "chance", "aid"]
"""Who chose an action: the policy; chance, as the policy named none that is legal; an exploration aid."""


class Moved(NamedTuple):
    """What an action led to.

    Attributes:
        reward: as the environment gives it.
        terminated, truncated: the episode is over (Gymnasium's words).
        regret: what the choice cost in expectation; None where nobody knows.
    """

    reward: float
    terminated: bool = False
    truncated: bool = False
    regret: float | None = None


class Play(Protocol):
    """One episode of an environment with numbered actions."""

    @property
    def state(self) -> str:
        """What the agent sees now, as text; "" where the environment has no state."""

    @property
    def compact(self) -> str:
        """The same in few characters."""

    @property
    def legal(self) -> Sequence[int]:
        """Actions that may be chosen now."""

    def act(self, action: int) -> Moved:
        """Take a legal action; goes on to the next state."""


class Transition(NamedTuple):
    """A step that was taken.

    Attributes:
        state, compact: what the agent saw.
        action: its number.
        reward: as the environment gave it.
        regret: see :class:`Moved`.
        by: who chose the action.
    """

    state: str
    compact: str
    action: int
    reward: float
    regret: float | None
    by: By


_DIGITS = "0123456789"


@dataclass(frozen=True)
class Scene:
    """What a task tells its face.

    Attributes:
        instruction: role, actions and aim, in sentences.
        names: of the actions, one word each.
        tag: what a compact context begins with.
        rewards: the rewards that the digits 0 and 9 of the compact form stand for; None where it shows no rewards, as
            they come at the end only.
    """

    instruction: str
    names: tuple[str, ...]
    tag: str
    rewards: tuple[float, float] | None

    def digit(self, reward: float) -> str:
        """A tenth of the range of rewards as a digit; what lies outside is 0 or 9."""
        if self.rewards is None:
            return ""
        low, high = self.rewards
        tenth = int(10 * (reward - low) / (high - low))
        return _DIGITS[tenth] if 0 <= tenth <= 9 else "0" if tenth < 0 else "9"

    def hundredths(self, reward: float) -> int:
        """A reward as hundredths of their range, 0 to 99; 0 where it shows no rewards."""
        if self.rewards is None:
            return 0
        low, high = self.rewards
        return min(max(round(100 * (reward - low) / (high - low)), 0), 99)
