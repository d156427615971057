"""What every reproduction returns: figures and numbers with their targets.

``hone reproduce NAME`` runs ``hone/reproduce/NAME.py`` (dashes are underscores), whose ``reproduce(out, seeds)``
returns a :class:`Reproduction`; the verb writes ``summary.json`` and one self-contained ``report.html`` from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure of the report with its title and a caption that says what to see."""

    title: str
    figure: Figure
    caption: str = ""


@dataclass(frozen=True)
class Check:
    """A reproduced number beside its target.

    Attributes:
        name: what was measured.
        value: the measured number.
        target: what it should be.
        tolerance: largest |value − target| that counts as reproduced.
        at_least: value ≥ target − tolerance suffices; ``at_most``: value ≤ target + tolerance does.
    """

    name: str
    value: float
    target: float
    tolerance: float
    at_least: bool = False
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether the number is reproduced."""
        if self.at_least:
            return self.value >= self.target - self.tolerance
        if self.at_most:
            return self.value <= self.target + self.tolerance
        return abs(self.value - self.target) <= self.tolerance


@dataclass(frozen=True)
class Reproduction:
    """The outcome of one reproduction.

    Attributes:
        title: heading of the report.
        headline: one sentence with the result in numbers.
        summary: what ``summary.json`` holds (plain values); "checks" are added to it.
        checks: numbers beside their targets.
        pictures: figures in reading order.
        notes: paragraphs of plain text: what the experiment shows, what it does not.
        tables: name -> list of rows (dictionaries with the same keys).
    """

    title: str
    headline: str
    summary: Mapping[str, Any]
    checks: Sequence[Check] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


class Reproduce(Protocol):
    """The function ``reproduce`` of a module in this package."""

    def __call__(self, out: Path, seeds: Sequence[int]) -> Reproduction:
        """Run the experiment once per seed, leaving any files worth keeping under ``out``."""
