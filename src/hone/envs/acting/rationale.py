"""A thought that can be checked: what was seen of every action, and its upper confidence bound mean + c/√n.

The expert of thought cloning writes it (RLFT, arXiv 2504.16078), and whoever measures what an agent knows reads it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hone.envs.acting.base import Scene
from hone.envs.acting.face import Face

_NUMBER = r"-?\d+(?:\.\d+)?"


def rationale_of(face: Face, scene: Scene, c: float = 1.0) -> Rationale:
    """The thought that fits a face: in words, or compact in the unit in which it shows means."""
    low, high = scene.rewards or (0.0, 1.0)
    return Rationale(face.labels(scene), face.terse, low, high, c)


@dataclass(frozen=True)
class Rationale:
    """How bounds are written for these actions.

    In words a line per action, ``blue: tried 3 times, mean 0.45, UCB 1.03`` or ``blue: not tried yet``. In the compact
    form a letter and three digits, hundredths of the range of rewards above its lower end (000 below it), or a letter
    and ``?`` where the action was not tried.

    Attributes:
        labels: of the actions.
        compact: letters and digits.
        low, high: the range of rewards.
        c: of the bound.
    """

    labels: tuple[str, ...]
    compact: bool = False
    low: float = 0.0
    high: float = 1.0
    c: float = 1.0

    @property
    def step(self) -> float:
        """The least difference between two values that are written differently."""
        return (self.high - self.low) / 100 if self.compact else 0.01

    def bounds(self, counts: Sequence[float], means: Sequence[float]) -> list[float]:
        """mean + c/√n of every action; infinite where n is 0."""
        pairs = zip(counts, means, strict=True)
        return [mean + self.c / math.sqrt(count) if count else math.inf for count, mean in pairs]

    def write(self, counts: Sequence[float], means: Sequence[float]) -> str:
        """The thought, without the action that follows from it."""
        bounds = self.bounds(counts, means)
        if self.compact:
            return "".join(
                label + (f"{self._digits(bound):03}" if count else "?")
                for label, count, bound in zip(self.labels, counts, bounds, strict=True)
            )
        lines = []
        for label, count, mean, bound in zip(self.labels, counts, means, bounds, strict=True):
            times = f"{count:.0f} time{'s' if count != 1 else ''}"
            seen = f"tried {times}, mean {mean:.2f}, UCB {bound:.2f}" if count else "not tried yet"
            lines.append(f"{label}: {seen}")
        return "\n".join(lines) + "\n" + self._conclusion(counts, bounds) + "\n"

    def read(self, text: str) -> list[float]:
        """The bound that a text gives for every action: infinite for "not tried", NaN where it says nothing.

        Of several the last counts. In words, a bound is the last number of the line or clause that begins with the
        action's name and a colon (or with the name alone, behind which "UCB" stands).
        """
        found = [math.nan] * len(self.labels)
        for match in self._reader.finditer(text):
            place = self._places.get(match[1].casefold())
            if place is None:
                continue
            if self.compact:
                untried, value = match[2] == "?", match[2]
            else:
                untried = bool(re.search(r"not (?:yet )?tried|untried|never|\binf", match[2], re.IGNORECASE))
                numbers = re.findall(_NUMBER, match[2])
                value = numbers[-1] if numbers else ""
            if untried:
                found[place] = math.inf
            elif value:
                found[place] = self._value(int(value)) if self.compact else float(value)
        return found

    def _digits(self, bound: float) -> int:
        return min(max(round(100 * (bound - self.low) / (self.high - self.low)), 0), 999)

    def _value(self, digits: int) -> float:
        return self.low + digits * (self.high - self.low) / 100

    def _conclusion(self, counts: Sequence[float], bounds: Sequence[float]) -> str:
        untried = [label for label, count in zip(self.labels, counts, strict=True) if not count]
        if untried:
            return f"The next untried action is {untried[0]}."
        return f"The largest UCB is that of {self.labels[bounds.index(max(bounds))]}."

    @cached_property
    def _places(self) -> dict[str, int]:
        return {label.casefold(): place for place, label in enumerate(self.labels)}

    @cached_property
    def _reader(self) -> re.Pattern[str]:
        names = "|".join(re.escape(label) for label in sorted(self.labels, key=len, reverse=True))
        if self.compact:
            return re.compile(rf"({names})(\?|\d{{3}})")
        return re.compile(rf"(?<![\w-])({names})(?![\w-])\s*(?::|=|(?=[^\n;]*UCB))([^\n;]*)", re.IGNORECASE)
