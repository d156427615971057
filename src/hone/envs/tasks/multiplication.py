"""Multiplication with an optional scratchpad: does reward alone teach a model to work before it answers?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hone.core.seeding import generator
from hone.envs.graders.base import Grader
from hone.envs.graders.exact import Exact
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import operand_pairs
from hone.envs.tasks._generated import distinct, one_digit_off, pick


@dataclass(frozen=True)
class Multiplication(QuestionTask):
    """``26*89=`` is answered by ``2314``, or with working by ``208,234>2314``.

    The working is the first operand times each digit of the second, most significant first, each padded to
    ``digits + 1`` places. Only what follows the last ``>`` is judged (without one, everything), so the
    working is free. In the corpus working is always right; a direct answer is right with probability
    ``direct_correct``, else one of its digits is off. A model that learns the corpus by heart is thus right
    in ``scratchpad + (1 − scratchpad) · direct_correct`` of its samples (.44 by default) and one that cannot
    multiply in its head in somewhat fewer, while one that always works things out can be right every time.
    Train and test are apart by unordered pair; both orders are asked.

    Attributes:
        digits: digits of each operand.
        scratchpad: share of the corpus with working.
        direct_correct: share of right answers among those without working.
        train: number of training questions.
        test: number of test questions (two-digit operands: 8,100 questions in all).
        test_fraction: fraction of all unordered pairs on the test side.
        seed: which questions are drawn.
    """

    digits: int = 2
    scratchpad: float = 0.3
    direct_correct: float = 0.2
    train: int = 6_000
    test: int = 1_500
    test_fraction: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.digits, self.train, self.test) < 1 or not 0 < self.test_fraction < 1:
            raise ValueError("digits, train and test must be at least 1 and test_fraction between 0 and 1")
        if not (0 <= self.scratchpad <= 1 and 0 <= self.direct_correct <= 1):
            raise ValueError("scratchpad and direct_correct must be shares between 0 and 1")

    @property
    def grader(self) -> Grader:
        """What follows the last ``>``, or everything, is the product."""
        return Exact(pattern=r"(?:^|>)([^>]*)\Z")

    def build(self, split: str) -> Sequence[Question]:
        """Distinct ordered pairs."""
        pairs = operand_pairs(*self._range, split, self.test_fraction, self.seed, "multiplication")
        size = self.train if split == "train" else self.test
        return [
            Question(f"{a}*{b}=", str(a * b), known=self.work(a, b))
            for a, b in distinct(pairs, size, lambda pair: pair)
        ]

    def metrics(self, question: Question, answer: str) -> dict[str, float]:
        """``scratchpad``: 1 if something stands before a ``>``; ``length``: characters of the completion."""
        working, found, _ = answer.rpartition(">")
        return {"scratchpad": float(bool(found and working.strip())), "length": float(len(answer))}

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` (prompt, completion) pairs over pairs of the train side, drawn afresh."""
        rng = generator(seed, "multiplication corpus")
        pairs = operand_pairs(*self._range, "train", self.test_fraction, seed, "multiplication corpus pairs")
        direct = 1 - self.scratchpad
        shares = (self.scratchpad, direct * self.direct_correct, direct * (1 - self.direct_correct))
        habits = pick(rng, shares, n)
        return [(f"{a}*{b}=", self._complete(a, b, h, rng)) for h, (a, b) in zip(habits, pairs, strict=False)]

    def work(self, a: int, b: int) -> str:
        """The worked answer: ``work(26, 89)`` is ``208,234>2314``."""
        partial = ",".join(f"{a * int(digit):0{self.digits + 1}}" for digit in str(b))
        return f"{partial}>{a * b}"

    @property
    def _range(self) -> tuple[int, int]:
        return 10 ** (self.digits - 1), 10**self.digits - 1

    def _complete(self, a: int, b: int, habit: int, rng: np.random.Generator) -> str:
        if habit == 0:
            return self.work(a, b)
        return str(a * b) if habit == 1 else one_digit_off(str(a * b), rng)
