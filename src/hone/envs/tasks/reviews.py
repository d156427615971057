"""Reviews for a reader: answers that no verifier can check, with a hidden judge who can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

from hone.core.seeding import generator, permutation_index
from hone.core.types import Outcome, Scored
from hone.envs.graders.base import Columns, Grader, Prompt, each
from hone.envs.graders.rubric import Rubric
from hone.envs.questions import Question, QuestionTask
from hone.envs.review_judge import EMPTY, NoisyJudge, crowd, gold, prompts, write
from hone.envs.split import side


@dataclass(frozen=True)
class Gold:
    """The hidden judge's own opinion, without noise (:func:`hone.envs.review_judge.gold`)."""

    @property
    def floor(self) -> float:
        """The worth of an empty answer."""
        return EMPTY

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        """One outcome per completion."""
        return each(lambda i: Scored(gold(str(prompts[i]), completions[i])), len(completions))


@dataclass(frozen=True)
class Reviews(QuestionTask):
    """``soup with bread, price?`` is answered by a review such as ``price very fresh, taste rather plain.``

    The corpus holds reviews of all kinds, good and bad. There is no right answer: how good one is only the judge of
    :mod:`hone.envs.review_judge` knows, and feedback from it is noisy. So this is where reward models and policies
    trained against them can be measured: by the judge they never saw. Its opinion of every rollout is the metric
    ``gold``, whatever the reward is.

    Attributes:
        train: number of training prompts.
        test: number of test prompts.
        test_fraction: fraction of all 2,116 prompts on the test side.
        graders: the reward, criteria of a :class:`Rubric`; none is the judge itself.
        seed: which prompts are drawn.
    """

    train: int = 1500
    test: int = 500
    test_fraction: float = 0.25
    graders: tuple[Any, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train, self.test) < 1 or not 0 < self.test_fraction < 1:
            raise ValueError("train and test must be at least 1 and test_fraction between 0 and 1")
        if self.graders:
            object.__setattr__(self, "graders", Rubric(self.graders).graders)

    @cached_property
    def grader(self) -> Grader:
        """The rubric, or the judge."""
        return Rubric(self.graders) if self.graders else Gold()

    def build(self, split: str) -> Sequence[Question]:
        """Prompts of one side, in an order of the seed."""
        own = self.side(split)
        count = min(self.train if split == "train" else self.test, len(own))
        picked = [own[permutation_index(self.seed, i, len(own), f"reviews {split}")] for i in range(count)]
        return [Question(prompt, known="taste very superb, price lovely, service fresh.") for prompt in picked]

    def metrics(self, question: Question, answer: str) -> dict[str, float]:
        """``gold``: what the hidden judge thinks."""
        return {"gold": gold(question.text, answer)}

    def stratum(self, episode: int, split: str) -> str:
        """What the reader minds."""
        return self.questions(split)[episode].text.rpartition(",")[2].strip(" ?")

    def side(self, split: str) -> list[str]:
        """All prompts of a split."""
        return [prompt for prompt in prompts() if side(prompt, self.test_fraction) == split]

    def corpus(self, n: int, seed: int) -> list[tuple[str, str]]:
        """``n`` (prompt, review) pairs over training prompts drawn afresh."""
        rng, own = generator(seed, "reviews corpus"), self.side("train")
        return [(own[int(rng.integers(len(own)))], write(rng)) for _ in range(n)]

    def comparisons(
        self, n: int, seed: int, split: str = "train", answers: int = 4, judge: NoisyJudge | None = None
    ) -> list[dict[str, str]]:
        """What a person would say of the task: all pairs of ``answers`` reviews to each of ``n`` prompts, judged once.

        Args:
            n: prompts, drawn with replacement.
            seed: of prompts and reviews.
            split: whose prompts.
            answers: distinct reviews per prompt.
            judge: the person; a :class:`NoisyJudge` by default.

        Returns:
            Rows with ``prompt``, ``chosen`` and ``rejected``, as ``hone reward`` reads them.
        """
        judge, rows = judge or NoisyJudge(), []
        for turn, (prompt, texts) in enumerate(self._written(n, seed, "comparisons", split, answers)):
            for first, second in combinations(texts, 2):
                ahead = judge.prefers_first(prompt, first, second, turn)
                chosen, rejected = (first, second) if ahead else (second, first)
                rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
        return rows

    def rankings(
        self, n: int, seed: int, split: str = "train", answers: int = 4, judge: NoisyJudge | None = None
    ) -> list[dict[str, Any]]:
        """As :meth:`comparisons`, but a person ranks the answers of a prompt.

        Returns:
            Rows with ``prompt``, ``completions`` and ``ranks`` (1 is best), as ``hone reward`` reads them.
        """
        judge, rows = judge or NoisyJudge(), []
        for turn, (prompt, texts) in enumerate(self._written(n, seed, "rankings", split, answers)):
            rows.append({"prompt": prompt, "completions": texts, "ranks": judge.ranks(prompt, texts, turn)})
        return rows

    def scored(self, n: int, seed: int, split: str = "train", answers: int = 4) -> list[dict[str, Any]]:
        """Scores of strangers (:func:`hone.envs.review_judge.crowd`) with noise of deviation 1, one row per answer.

        Returns:
            Rows with ``prompt``, ``completion`` and ``score``, as ``hone reward`` reads them.
        """
        rng = generator(seed, "reviews strangers' noise")
        return [
            {"prompt": prompt, "completion": text, "score": round(crowd(prompt, text) + float(rng.normal()), 3)}
            for prompt, texts in self._written(n, seed, "scored", split, answers)
            for text in texts
        ]

    def _written(self, n: int, seed: int, name: str, split: str, answers: int) -> Iterator[tuple[str, list[str]]]:
        """``n`` prompts with distinct reviews of each."""
        rng, own = generator(seed, "reviews", name, split), self.side(split)
        for _ in range(n):
            prompt, texts = own[int(rng.integers(len(own)))], dict[str, None]()
            while len(texts) < answers:
                texts[write(rng)] = None
            yield prompt, list(texts)
