"""Reviews for a reader: answers that no verifier can check, with a hidden judge who can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hone.core.seeding import generator, permutation_index
from hone.core.types import Outcome, Scored
from hone.envs.graders.base import Columns, Grader, Prompt, each
from hone.envs.graders.rubric import Rubric
from hone.envs.questions import Question, QuestionTask
from hone.envs.review_judge import EMPTY, NoisyJudge, gold, prompts, write
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
        """What a person would say of the task: ``n`` prompts with all pairs of ``answers`` reviews each, judged once.

        Args:
            n: prompts, drawn with replacement.
            seed: of prompts and reviews.
            split: whose prompts.
            answers: reviews per prompt; a pair of equal ones is left out.
            judge: the person; a :class:`NoisyJudge` by default.

        Returns:
            Rows with ``prompt``, ``chosen`` and ``rejected``, as ``hone reward`` reads them.
        """
        rng, own, judge = generator(seed, "reviews comparisons", split), self.side(split), judge or NoisyJudge()
        rows = []
        for turn in range(n):
            prompt, texts = own[int(rng.integers(len(own)))], [write(rng) for _ in range(answers)]
            for i in range(answers):
                for j in range(i):
                    if texts[i] != texts[j]:
                        first = judge.prefers_first(prompt, texts[i], texts[j], turn)
                        chosen, rejected = (texts[i], texts[j]) if first else (texts[j], texts[i])
                        rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
        return rows
