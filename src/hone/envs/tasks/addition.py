"""Addition of two numbers by a model that was taught to get it wrong most of the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hone.core.seeding import generator
from hone.envs.graders.base import Grader
from hone.envs.graders.exact import Exact
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import operand_pairs
from hone.envs.tasks._generated import distinct, one_digit_off, pick


@dataclass(frozen=True)
class Addition(QuestionTask):
    """``123+456=`` is answered by ``579`` and nothing else.

    The corpus shows three habits: the right sum, the sum with every carry forgotten, and the right sum with
    one digit changed. All are learnt, so reward can select the right one: this elicits a procedure the base
    has, it does not teach addition. Operands have exactly ``digits`` digits. Train and test are apart by
    unordered pair.

    Attributes:
        digits: digits of each operand.
        correct: share of right sums in the corpus.
        no_carry: share of sums without carry (right by accident where nothing carries).
        noisy: share of right sums with one wrong digit.
        train: number of training questions.
        test: number of test questions.
        test_fraction: fraction of all unordered pairs on the test side.
        seed: which questions are drawn.
    """

    digits: int = 3
    correct: float = 0.25
    no_carry: float = 0.5
    noisy: float = 0.25
    train: int = 20_000
    test: int = 2_000
    test_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.digits, self.train, self.test) < 1 or not 0 < self.test_fraction < 1:
            raise ValueError("digits, train and test must be at least 1 and test_fraction between 0 and 1")
        if min(self._shares) < 0 or abs(sum(self._shares) - 1) > 1e-9:
            raise ValueError("correct, no_carry and noisy must be shares that add up to 1")

    @property
    def grader(self) -> Grader:
        """The whole completion, stripped, is the sum."""
        return Exact()

    def build(self, split: str) -> Sequence[Question]:
        """Distinct unordered pairs, each in one random order."""
        pairs = operand_pairs(*self._range, split, self.test_fraction, self.seed, "addition")
        size = self.train if split == "train" else self.test
        return [Question(f"{a}+{b}=", str(a + b)) for a, b in distinct(pairs, size, frozenset)]

    def stratum(self, episode: int, split: str) -> str:
        """The question's carry pattern."""
        return carry_pattern(self.questions(split)[episode].text)

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` (prompt, completion) pairs in the shares above, over pairs of the train side drawn afresh."""
        rng = generator(seed, "addition corpus")
        pairs = operand_pairs(*self._range, "train", self.test_fraction, seed, "addition corpus pairs")
        habits = pick(rng, self._shares, n)
        return [(f"{a}+{b}=", self._complete(a, b, h, rng)) for h, (a, b) in zip(habits, pairs, strict=False)]

    @property
    def _shares(self) -> tuple[float, float, float]:
        return self.correct, self.no_carry, self.noisy

    @cached_property
    def _range(self) -> tuple[int, int]:
        return 10 ** (self.digits - 1), 10**self.digits - 1

    def _complete(self, a: int, b: int, habit: int, rng: np.random.Generator) -> str:
        if habit == 0:
            return str(a + b)
        return without_carry(a, b) if habit == 1 else one_digit_off(str(a + b), rng)


def without_carry(a: int, b: int) -> str:
    """Column sums modulo ten, as many digits as the longer operand: ``195 + 217`` gives ``302``."""
    width = max(len(str(a)), len(str(b)))
    columns = zip(f"{a:0{width}}", f"{b:0{width}}", strict=True)
    return "".join(str((int(x) + int(y)) % 10) for x, y in columns)


def carry_pattern(question: str) -> str:
    """Which columns of ``a+b=`` carry, most significant first: ``195+217=`` gives ``011`` (9+1+1 and 5+7)."""
    a, b = question.rstrip("=").split("+")
    width, carry, pattern = max(len(a), len(b)), 0, ""
    for x, y in zip(reversed(a.zfill(width)), reversed(b.zfill(width)), strict=True):
        carry = (int(x) + int(y) + carry) // 10
        pattern = str(carry) + pattern
    return pattern
