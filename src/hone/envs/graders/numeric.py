"""Equality of numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from hone.envs.graders._answer import AnswerGrader

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_NUMBER = re.compile(
    rf"""(?P<sign>(?<![\w)])[-+])?\s?[$€£¥]?\s?          # a sign after a digit or bracket is an operator
    (?<![\w^])(?<![0-9]\.)(?<!\*\*)                      # not glued to a word, an exponent or a decimal point
    (?P<number>{_DIGITS}(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)
    (?P<exponent>[eE][-+]?[0-9]+)?
    (?:/(?P<below>[0-9]+)(?![0-9.,/]))?
    (?!\d)(?!\s?\^)(?!\*\*)""",
    re.VERBOSE,
)
_LONGEST = 100
_LARGEST_EXPONENT = 999


@dataclass(frozen=True)
class Numeric(AnswerGrader):
    """The last number of the extracted text equals the reference: ``|x − y| <= absolute + relative · |y|``.

    Numbers are ASCII decimals with optional sign (also U+2212), currency sign, thousands commas, exponent or
    ``/denominator``; units and percent signs after them are ignored. Comparison is exact rational arithmetic:
    ``72``, ``72.0`` and ``144/2`` are equal and 2⁵³ + 1 is not 2⁵³. Not numbers, so unreadable: ``nan``,
    ``inf``, digits of other scripts, digits glued to a word (``m2``), powers (``2^10``), more than 100
    digits, exponents beyond ±999 and zero denominators.

    Attributes:
        absolute: absolute tolerance, the decimal as written (0.01 is 1/100).
        relative: relative tolerance, likewise.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.absolute < float("inf") and 0 <= self.relative < float("inf")):
            raise ValueError("tolerances must be finite and not negative")

    def compare(self, answer: str, reference: Any) -> tuple[str, bool] | None:
        """See :meth:`AnswerGrader.compare`."""
        wanted = last_number(str(reference))
        if wanted is None:
            raise ValueError(f"the reference {reference!r} holds no number")
        found = last_number(answer)
        if found is None:
            return None
        allowed = Fraction(str(self.absolute)) + Fraction(str(self.relative)) * abs(wanted)
        return str(found), abs(found - wanted) <= allowed


def last_number(text: str) -> Fraction | None:
    """The last number of a text, exactly; None if there is none or the last one is out of bounds."""
    match = None
    for match in _NUMBER.finditer(text.replace("\u2212", "-")):  # noqa: B007 (the last one is wanted)
        pass
    if match is None:
        return None
    digits, exponent, below = (
        match["number"].replace(",", ""),
        match["exponent"] or "e0",
        match["below"] or "1",
    )
    if max(len(digits), len(below)) > _LONGEST or len(exponent) > 5 or abs(int(exponent[1:])) > _LARGEST_EXPONENT:
        return None
    if int(below) == 0:
        return None
    number = Fraction(digits) * Fraction(10) ** int(exponent[1:]) / int(below)
    return -number if match["sign"] == "-" else number
