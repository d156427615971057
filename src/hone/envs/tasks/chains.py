"""Arithmetic of graded difficulty, with or without working."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hone.core.seeding import generator
from hone.envs.graders.base import Grader
from hone.envs.graders.exact import Exact
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import side
from hone.envs.tasks._generated import distinct

Terms = tuple[tuple[int, ...], str]
"""Numbers and the operators between them."""


@dataclass(frozen=True)
class Chains(QuestionTask):
    """``3+4*2-1=`` is answered by ``10``, or with working by ``3+8-1=11-1=10``.

    Products bind first; working does one operation per step, products from the left, then the rest from the
    left. Only what follows the last ``=`` is judged (without one, everything). Intermediate values and
    results may be negative (``3-5=-2``). Train and test are apart by the multisets of numbers and operators,
    so reorderings of a question share its side.

    Attributes:
        terms: fewest and most numbers in a chain; each count is drawn equally often.
        digits: digits of each number (one digit: 0 to 9).
        operators: drawn from these, ``+``, ``-`` and ``*``.
        working: share of the corpus with working; every answer in the corpus is right.
        train: number of training questions.
        test: number of test questions.
        test_fraction: fraction of all multisets on the test side.
        seed: which questions are drawn.
    """

    terms: tuple[int, int] = (2, 4)
    digits: int = 2
    operators: str = "+-"
    working: float = 0.5
    train: int = 10_000
    test: int = 1_000
    test_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.terms[0] <= self.terms[1]:
            raise ValueError("terms must be two numbers in order, the first at least 2")
        if not self.operators or not set(self.operators) <= set("+-*"):
            raise ValueError("operators must be some of + - *")
        if min(self.digits, self.train, self.test) < 1 or not 0 < self.test_fraction < 1:
            raise ValueError("digits, train and test must be at least 1 and test_fraction between 0 and 1")
        if not 0 <= self.working <= 1:
            raise ValueError("working must be a share between 0 and 1")

    @property
    def grader(self) -> Grader:
        """What follows the last ``=``, or everything, is the value."""
        return Exact(pattern=r"(?:^|=)([^=]*)\Z")

    def build(self, split: str) -> Sequence[Question]:
        """Distinct chains."""
        size = self.train if split == "train" else self.test
        chains = distinct(self._stream(self.seed, "chains", split), size, lambda chain: chain)
        return [Question(write(c) + "=", solve(c)[-1], known="=".join(solve(c))) for c in chains]

    def stratum(self, episode: int, split: str) -> str:
        """How many numbers, such as ``3 terms``."""
        text = self.questions(split)[episode].text
        return f"{1 + sum(c in '+-*' for c in text)} terms"

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` (prompt, completion) pairs over chains of the train side, drawn afresh, all right."""
        worked = (generator(seed, "chains corpus").random(n) < self.working).tolist()
        stream = self._stream(seed, "chains corpus items", "train")
        return [
            (write(chain) + "=", "=".join(solve(chain)) if work else solve(chain)[-1])
            for work, chain in zip(worked, stream, strict=False)
        ]

    def _stream(self, seed: int, name: str, split: str) -> Iterator[Terms]:
        rng = generator(seed, name, split)
        while True:
            chain = self._draw(rng)
            numbers, operators = " ".join(map(str, sorted(chain[0]))), "".join(sorted(chain[1]))
            if side(f"{numbers} {operators}", self.test_fraction) == split:
                yield chain

    def _draw(self, rng: np.random.Generator) -> Terms:
        count = int(rng.integers(self.terms[0], self.terms[1] + 1))
        low = 10 ** (self.digits - 1) if self.digits > 1 else 0
        numbers = tuple(rng.integers(low, 10**self.digits, size=count).tolist())
        return numbers, "".join(self.operators[i] for i in rng.integers(len(self.operators), size=count - 1))


def write(chain: Terms) -> str:
    """The chain as text: ``3+4*2``; an intermediate value that is negative stands first, as ``-2+4``."""
    numbers, operators = chain
    return str(numbers[0]) + "".join(f"{o}{x}" for o, x in zip(operators, numbers[1:], strict=True))


def solve(chain: Terms) -> list[str]:
    """Every line after the question, one operation each; the last is the value: ``3+8``, then ``11``."""
    lines = []
    numbers, operators = chain
    while operators:
        at = max(operators.find("*"), 0)
        x, y = numbers[at], numbers[at + 1]
        value = {"+": x + y, "-": x - y, "*": x * y}[operators[at]]
        numbers, operators = (*numbers[:at], value, *numbers[at + 2 :]), operators[:at] + operators[at + 1 :]
        lines.append(write((numbers, operators)))
    return lines
