"""A small language of reviews, and a hidden judge of them: what an experiment with human feedback needs of people.

A prompt names a dish and what its reader minds: ``soup with bread, price?``. An answer is clauses about aspects:
``taste very lovely, price rather plain.`` Everything is generated, so any number of answers is new, the true worth of
every text is known, and so is the best accuracy that anybody can reach on noisy judgements of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hone.core.seeding import key, uniforms

ASPECTS = ("taste", "price", "service", "room")
QUALITY = {"superb": 2.0, "lovely": 1.3, "fresh": 0.8, "usual": 0.0, "plain": -0.8, "stale": -1.3, "awful": -2.0}
STRENGTH = {"very": 1.6, "": 1.0, "rather": 0.5}
DISHES = (
    *("soup", "curry", "salad", "pizza", "stew", "pasta", "risotto", "tart", "pie", "burger", "omelette", "paella"),
    *("tacos", "dumplings", "noodles", "sushi", "steak", "trout", "lasagne", "goulash", "falafel", "ramen", "gnocchi"),
)
SIDES = (
    *("bread", "rice", "chips", "beans", "greens", "olives", "cheese", "lemon", "mint", "peppers", "onions", "garlic"),
    *("mushrooms", "tomatoes", "almonds", "yoghurt", "butter", "herbs", "pickles", "corn", "lentils", "squash", "kale"),
)
EMPTY = -4.0
"""The worth of an answer without a word."""
_UNREADABLE, _REPEATED, _UNANSWERED = -2.0, -1.0, -1.0
_SCALE = 1.5
"""From points to nats: with it the judge's choices between two random reviews are right about four times in five."""


def prompts() -> list[str]:
    """Every prompt there is, in a fixed order."""
    return [f"{dish} with {side}, {aspect}?" for dish in DISHES for side in SIDES for aspect in ASPECTS]


def gold(prompt: str, answer: str) -> float:
    """The true worth of an answer, in nats: 1.5 times its points.

    The points are the mean over its clauses, counting those about what the reader minds double, less 1 if there is no
    such clause. A clause has the quality of its adjective times the strength of its adverb; −1 if its aspect came
    before, −2 if it is no clause at all. An empty answer is worth −4.
    """
    wanted = prompt.rpartition(",")[2].strip(" ?")
    text = answer.strip().removesuffix(".")
    if not text.strip():
        return EMPTY
    points, weights, aspects = 0.0, 0.0, set[str]()
    for clause in text.split(", "):
        aspect, strength, adjective = _parse(clause)
        weight = 2.0 if aspect == wanted else 1.0
        value = STRENGTH[strength] * QUALITY[adjective] if aspect else _UNREADABLE
        points += weight * (_REPEATED if aspect and aspect in aspects else value)
        weights += weight
        aspects.add(aspect)
    return _SCALE * (points / weights + _UNANSWERED * (wanted not in aspects))


def crowd(prompt: str, answer: str) -> float:
    """What strangers make of it, who do not know what this reader minds: the plain mean of its readable clauses."""
    clauses = [_parse(clause) for clause in answer.strip().removesuffix(".").split(", ")]
    return _SCALE * sum(STRENGTH[s] * QUALITY[a] for aspect, s, a in clauses if aspect) / len(clauses)


def write(rng: np.random.Generator, skill: float = 0.0) -> str:
    """A review: clauses about one to four aspects; a writer with ``skill`` picks adjectives ``∝ exp(skill · quality)``.

    No writer comes back to an aspect, so that no judgement of a review says what the judge thinks of that.
    """
    adjectives, chance = list(QUALITY), np.exp(skill * np.array(list(QUALITY.values())))
    count = int(rng.choice(len(ASPECTS), p=(0.2, 0.35, 0.3, 0.15))) + 1
    clauses = []
    for aspect in rng.permutation(len(ASPECTS))[:count].tolist():
        adverb = list(STRENGTH)[int(rng.choice(len(STRENGTH), p=(0.3, 0.45, 0.25)))]
        adjective = adjectives[int(rng.choice(len(adjectives), p=chance / chance.sum()))]
        clauses.append(" ".join(word for word in (ASPECTS[aspect], adverb, adjective) if word))
    return ", ".join(clauses) + "."


@dataclass(frozen=True)
class NoisyJudge:
    """A person: prefers a to b with probability ``σ((gold(a) − gold(b)) / temperature)``, Bradley-Terry exactly.

    A verdict is a function of the seed, the prompt, the texts and ``turn`` alone: in which order the answers are given
    does not matter.

    Attributes:
        temperature: 1 is the scale of :func:`gold`; larger is more careless.
        seed: another seed is another person.
    """

    temperature: float = 1.0
    seed: int = 0

    def chance(self, prompt: str, first: str, second: str) -> float:
        """Probability that the first answer is preferred."""
        return 1 / (1 + math.exp(-(gold(prompt, first) - gold(prompt, second)) / self.temperature))

    def prefers_first(self, prompt: str, first: str, second: str, turn: int = 0) -> bool:
        """One verdict."""
        low, high = sorted((first, second))
        (noise,) = _uniforms([key(self.seed, "judge", prompt, low, high, turn)])
        return bool(noise < self.chance(prompt, low, high)) == (first == low)

    def ranks(self, prompt: str, answers: Sequence[str], turn: int = 0) -> list[int]:
        """The place of every answer, 1 is best: by ``gold / temperature`` plus Gumbel noise.

        Every two answers are then in the order of :meth:`chance` (Luce 1959; Yellott 1977).
        """
        noise = _uniforms([key(self.seed, "judge ranks", prompt, answer, turn) for answer in answers])
        gumbel = -np.log(-np.log(np.clip(noise, 1e-300, None)))
        worth = np.array([gold(prompt, answer) for answer in answers]) / self.temperature + gumbel
        places: list[int] = (np.argsort(np.argsort(-worth)) + 1).tolist()
        return places

    def ceiling(self, pairs: Iterable[tuple[str, str, str]]) -> float:
        """The best expected accuracy on this judge's verdicts, ``mean of max(p, 1 − p)``: that of knowing ``gold``."""
        chances = [self.chance(*pair) for pair in pairs]
        return sum(max(p, 1 - p) for p in chances) / len(chances)


def _uniforms(keys: Sequence[int]) -> NDArray[np.float64]:
    return uniforms(np.array(keys, dtype=np.uint64), np.zeros(len(keys), dtype=np.uint64))


def _parse(clause: str) -> tuple[str, str, str]:
    """Aspect, adverb, adjective; three times "" where it is no clause."""
    words: Sequence[str] = clause.split()
    if len(words) == 2:
        words = [words[0], "", words[1]]
    if len(words) != 3 or words[0] not in ASPECTS or words[1] not in STRENGTH or words[2] not in QUALITY:
        return "", "", ""
    return words[0], words[1], words[2]
