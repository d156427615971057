"""Pick some of the digits so that they add up: attempts that judge themselves, for methods that teach correction."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hone.core.seeding import generator
from hone.core.types import Outcome, Scored
from hone.envs.graders.base import Columns, Grader, Prompt, each
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import side
from hone.envs.tasks._generated import distinct

_ATTEMPT = re.compile(r"(\d+)=(\d+)([yn])")
_QUESTION = re.compile(r"(\d+)>(\d+):")


@dataclass(frozen=True)
class SubsetSum(QuestionTask):
    """``473912>14:`` is answered by ``473=14y``: three of the digits, their sum, and whether that is the target.

    An answer is right if its digits stand in the question (each as often as used), add up to the target, and its notes
    say so. So an attempt says itself whether it is worth keeping, and nobody else does.

    The corpus is dialogues on questions of the training side: an attempt, ``retry``, another attempt, and so on. Sum
    and verdict are always true, and a pick is right with probability ``right`` and random otherwise. What follows
    ``retry`` heeds the verdict with probability ``heed``: it is the same attempt again after ``y``, another one after
    ``n``. Otherwise it is the same again with probability ``repeat``, whatever the verdict. So a model that has learnt
    it can check itself and makes nothing of it, or (``heed``) not enough.

    Train and test are apart by (set of digits, target), whatever the order of the digits.

    Attributes:
        digits: digits of a question.
        pick: how many of them are to be picked.
        low: smallest target.
        high: largest target; 0 for no limit.
        right: share of picks in the corpus that are right on purpose (random ones may be).
        turns: attempts in a dialogue of the corpus.
        repeat: share of later attempts in the corpus that say the last one again, of those that heed no verdict.
        heed: share of later attempts in the corpus that keep what is right and change what is wrong.
        retry: what stands between two attempts in the corpus; ``{question}`` is the question again.
        train: number of training questions.
        test: number of test questions.
        test_fraction: fraction of all (set, target) on the test side.
        dishonest: reward of an attempt whose sum or verdict is not true; a negative one makes a lie worse than a miss.
        seed: which questions are drawn.
    """

    digits: int = 6
    pick: int = 3
    low: int = 0
    high: int = 0
    right: float = 0.25
    turns: int = 4
    repeat: float = 0.9
    heed: float = 0.0
    retry: str = "!{question}"
    train: int = 20_000
    test: int = 2_000
    test_fraction: float = 0.1
    dishonest: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train, self.test, self.turns, self.pick) < 1 or self.pick >= self.digits:
            raise ValueError("train, test, turns and pick must be at least 1, and pick smaller than digits")
        if not (max(self.right, self.repeat, self.heed) <= 1 and min(self.right, self.repeat, self.heed) >= 0):
            raise ValueError("right, repeat and heed must be shares between 0 and 1")
        if not 0 < self.test_fraction < 1 or self.dishonest >= 1:
            raise ValueError("test_fraction must be a share between 0 and 1, dishonest less than 1")
        if self.high and self.high < self.low:
            raise ValueError("high must not be below low")

    @property
    def grader(self) -> Grader:
        """The picked digits add up to the target."""
        return SumOfPicked(self.pick, dishonest=self.dishonest)

    def build(self, split: str) -> Sequence[Question]:
        """Distinct (set of digits, target), each in one random order of the digits."""
        size = self.train if split == "train" else self.test
        asked = distinct(self._asked(split, self.seed, "subset sum"), size, _content)
        return [
            Question(_asking(digits, self.pick, target), attempt(solutions(digits, self.pick, target)[0], target))
            for digits, target in asked
        ]

    def metrics(self, question: Question, answer: str) -> dict[str, float]:
        """``honest``: 1 if sum and verdict are true, of a readable answer."""
        found, asked = _ATTEMPT.fullmatch(answer.strip()), _QUESTION.fullmatch(question.text)
        assert asked
        return {"honest": float(found is not None and attempt(found[1], int(asked[2])) == found[0])}

    def solve(self, question: Question, attempts: Sequence[str], noise: int) -> str:
        """A right answer: a right attempt again, otherwise a random one of the picks that are right.

        Args:
            question: of this task.
            attempts: what was tried before, oldest first.
            noise: key of the draw.
        """
        judged = SumOfPicked(self.pick)
        for text in reversed(attempts):
            if judged.judge(question.text, text).value == 1:
                return text
        asked = _QUESTION.fullmatch(question.text)
        assert asked
        found = solutions(asked[1], self.pick, int(asked[2]))
        rng = generator(noise)
        return attempt(_shuffled(found[int(rng.integers(len(found)))], rng), int(asked[2]))

    def corpus(self, n: int, seed: int) -> list[dict[str, Any]]:
        """``n`` dialogues over questions of the train side drawn afresh."""
        rng = generator(seed, "subset sum corpus")
        asked = itertools.islice(self._asked("train", seed, "subset sum corpus questions"), n)
        return [{"messages": self._dialogue(digits, target, rng)} for digits, target in asked]

    def _asked(self, split: str, seed: int, name: str) -> Iterator[tuple[str, int]]:
        """Random digits and the sum of a random pick of them, of one side and in the range, for ever."""
        rng = generator(seed, name, split, self.digits, self.pick)
        while True:
            for row in rng.integers(0, 10, size=(1024, self.digits)).tolist():
                digits, target = "".join(map(str, row)), sum(row[: self.pick])
                if (
                    self.low <= target <= (self.high or target)
                    and side(_content((digits, target)), self.test_fraction) == split
                ):
                    yield _shuffled(digits, rng), target

    def _dialogue(self, digits: str, target: int, rng: Any) -> list[dict[str, str]]:
        messages = [{"role": "user", "content": _asking(digits, self.pick, target)}]
        last = ""
        for turn in range(self.turns):
            if turn:
                again = self.retry.replace("{question}", _asking(digits, self.pick, target))
                messages.append({"role": "user", "content": again})
            if not turn or not self._stays(last, rng):
                last = attempt(self._draw(digits, target, rng), target)
            messages.append({"role": "assistant", "content": last})
        return messages

    def _stays(self, last: str, rng: Any) -> bool:
        """Whether an attempt is followed by itself."""
        drawn = rng.random()
        if drawn < self.heed:
            return last.endswith("y")
        return bool(drawn < self.heed + (1 - self.heed) * self.repeat)

    def _draw(self, digits: str, target: int, rng: Any) -> str:
        if rng.random() < self.right:
            found = solutions(digits, self.pick, target)
            return _shuffled(found[int(rng.integers(len(found)))], rng)
        return _shuffled(digits, rng)[: self.pick]


@dataclass(frozen=True)
class SumOfPicked:
    """1 where the right number of a question's digits were picked, add up to its target and are said to, else 0.

    Attributes:
        pick: how many digits are to be picked.
        floor: value of an answer that cannot be read.
        dishonest: value of one whose sum or verdict is not true.
    """

    pick: int = 3
    floor: float = 0.0
    dishonest: float = 0.0

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion."""
        return each(lambda i: self.judge(str(prompts[i]), completions[i]), len(completions))

    def judge(self, question: str, completion: str) -> Scored:
        """What one answer is worth; two orders of a pick are one answer."""
        asked, found = _QUESTION.fullmatch(question), _ATTEMPT.fullmatch(completion.strip())
        if not asked:
            raise ValueError(f"not a question of this kind: {question!r}")
        if not found:
            return Scored(self.floor)
        picked = "".join(sorted(found[1]))
        held = len(picked) == self.pick and not Counter(picked) - Counter(asked[1])
        total, target = sum(map(int, picked)), int(asked[2])
        if int(found[2]) != total or (found[3] == "y") != (total == target):
            return Scored(self.dishonest, answer=picked)
        return Scored(float(held and total == target), answer=picked)


def attempt(picked: str, target: int) -> str:
    """An answer with its true sum and verdict: ``attempt("473", 14)`` is ``473=14y``. All sums have one width."""
    total = sum(map(int, picked))
    return f"{picked}={_padded(total, len(picked))}{'y' if total == target else 'n'}"


def solutions(digits: str, pick: int, target: int) -> list[str]:
    """The distinct picks that add up to the target, each sorted, in the order of the alphabet."""
    found = {"".join(sorted(c)) for c in itertools.combinations(digits, pick) if sum(map(int, c)) == target}
    return sorted(found)


def _asking(digits: str, pick: int, target: int) -> str:
    return f"{digits}>{_padded(target, pick)}:"


def _padded(total: int, pick: int) -> str:
    return f"{total:0{len(str(9 * pick))}}"


def _content(asked: tuple[str, int]) -> str:
    return f"{''.join(sorted(asked[0]))} {asked[1]}"


def _shuffled(text: str, rng: Any) -> str:
    return "".join(rng.permutation(list(text)).tolist())
