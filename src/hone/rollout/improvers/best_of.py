"""Self-distillation: the best of several of the policy's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hone.core.seeding import key
from hone.data.attempts import Attempt
from hone.engines.base import Request
from hone.rollout.improvers.base import Desk, Place, reward_of


@dataclass(frozen=True)
class BestOf:
    """The answer of the highest reward among ``samples`` fresh ones; those whose grader failed are out.

    Attributes:
        samples: answers at each place.
        ties: among equally good ones the "first" (the released code's), or first of all one that repeats a correct
            attempt in view ("held"), so that keeping what is right is learnt.
        success: an attempt of this reward is correct.
    """

    samples: int = 16
    ties: Literal["first", "held"] = "first"
    success: float = 1.0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, not {self.samples}")

    def improve(self, places: Sequence[Place], desk: Desk) -> list[Attempt | None]:
        """The best answer at every place, with the ids that were sampled; None where every grader failed."""
        requests = [
            Request((number, sample), place.context, desk.sampling, key(place.noise, "best of", sample))
            for number, place in enumerate(places)
            for sample in range(self.samples)
        ]
        done = desk.engine.generate(requests)
        texts = [desk.renderer.decode(each.tokens) for each in done]
        outcomes = desk.grade([place for place in places for _ in range(self.samples)], texts)
        answers = [
            Attempt(text, each.tokens, reward_of(outcome), f"best of {self.samples}")
            for text, each, outcome in zip(texts, done, outcomes, strict=True)
        ]
        return [
            self._best(answers[number * self.samples :][: self.samples], place) for number, place in enumerate(places)
        ]

    def _best(self, answers: Sequence[Attempt], place: Place) -> Attempt | None:
        graded = [(answer.reward, answer) for answer in answers if answer.reward is not None]
        if not graded:
            return None
        right = [a.text.strip() for a in place.attempts if a.reward is not None and a.reward >= self.success - 1e-9]
        best = max(reward for reward, _ in graded)
        among = [answer for reward, answer in graded if reward == best]
        held = [answer for answer in among if self.ties == "held" and answer.text.strip() in right]
        return (held or among)[0]
