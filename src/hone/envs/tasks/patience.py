"""Questions whose first success has a known probability: how long luck takes, and when there is a signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hone.core.seeding import generator, key
from hone.envs.graders.base import Grader
from hone.envs.graders.exact import Exact
from hone.envs.questions import Question, QuestionTask


@dataclass(frozen=True)
class Patience(QuestionTask):
    """``b0017=`` is answered by one of K numbers, and nothing but reward can tell which.

    Class ``a`` has ``choices[0]`` possible answers, ``b`` has ``choices[1]``, and so on; the right one is a
    hash of the question. The corpus answers every question uniformly at random among its class's K,
    independently of the right one, so a policy that has learnt it succeeds with p = 1/K exactly, seen or
    unseen question alike. Then the first success comes within n samples with probability 1 − (1 − p)ⁿ, and a
    group of G samples shows both success and failure (a signal) with probability 1 − p^G − (1 − p)^G. There
    is nothing to generalise: test questions stay at 1/K whatever is learnt in training.

    Attributes:
        choices: K of each class, at most 26 of them.
        train: training questions per class.
        test: test questions per class.
        seed: which answers are right.
    """

    choices: tuple[int, ...] = (2, 10, 100, 1000)
    train: int = 64
    test: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.choices) <= 26 or min(self.choices) < 1:
            raise ValueError("choices must be 1 to 26 numbers of answers, each at least 1")
        if min(self.train, self.test) < 1 or self.train + self.test > 10_000:
            raise ValueError("train and test must be at least 1 and at most 10,000 together")

    @property
    def grader(self) -> Grader:
        """The whole completion, stripped, is the right number."""
        return Exact()

    def build(self, split: str) -> Sequence[Question]:
        """The classes in turn, so that any run of questions mixes them."""
        return [self._question(kind, name) for name in self._names(split) for kind in range(len(self.choices))]

    def chance(self, episode: int, split: str) -> float:
        """The probability 1/K that an answer like the corpus's is right."""
        self.questions(split)
        return 1 / self.choices[episode % len(self.choices)]

    def stratum(self, episode: int, split: str) -> str:
        """``1/K``."""
        self.questions(split)
        return f"1/{self.choices[episode % len(self.choices)]}"

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` (prompt, completion) pairs: a random training question with a random answer of its class."""
        rng = generator(seed, "patience corpus")
        questions = self.questions("train")
        pairs = []
        for episode in rng.integers(len(questions), size=n).tolist():
            kind = episode % len(self.choices)
            pairs.append((questions[episode].text, self._write(kind, int(rng.integers(self.choices[kind])))))
        return pairs

    def _names(self, split: str) -> range:
        return range(self.train) if split == "train" else range(self.train, self.train + self.test)

    def _question(self, kind: int, name: int) -> Question:
        text = f"{chr(ord('a') + kind)}{name:04}="
        return Question(text, self._write(kind, key(self.seed, "patience", text) % self.choices[kind]))

    def _write(self, kind: int, answer: int) -> str:
        """All answers of a class have the same width, so that none is the beginning of another."""
        return f"{answer:0{len(str(self.choices[kind] - 1))}}"
