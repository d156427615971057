"""How well scores agree with what people preferred: accuracy, calibration, and whether length alone explains it.

Letters: N comparisons without ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hone.core.errors import HoneError
from hone.core.feedback import Comparison, Rating, Text, answer_text
from hone.data.preferences import prompt_content
from hone.evaluate.estimates import NOTHING, Estimate, share

Floats = NDArray[np.float64]

Scorer = Callable[[Sequence[Text], Sequence[Text]], Sequence[float]]
"""Prompts and answers in, one score per answer out, in nats: ``RewardModel.scores``."""

BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions that are about equal.

    Attributes:
        predicted: their mean.
        observed: how often what they predict was so, with its interval.
        count: how many.
    """

    predicted: float
    observed: Estimate
    count: int


@dataclass(frozen=True)
class LengthBias:
    """Whether the longer answer wins because it is longer. Answers of equal length count nowhere.

    Attributes:
        people_prefer_longer: share of comparisons whose chosen answer is the longer one; a model that looked at length
            alone would be right this often.
        model_prefers_longer: share in which the model scores the longer answer higher.
        accuracy_longer: accuracy where people chose the longer answer; ``accuracy_shorter``: the shorter one.
        correlation: Pearson's, of the differences in score and in characters; NaN where one of them has no spread.
    """

    people_prefer_longer: Estimate
    model_prefers_longer: Estimate
    accuracy_longer: Estimate
    accuracy_shorter: Estimate
    correlation: float


@dataclass(frozen=True)
class PreferenceEvaluation:
    """Agreement of a scorer with people.

    Attributes:
        accuracy: share of comparisons whose chosen answer has the higher score; equal scores are half right.
        loss: mean of ``−log σ(Δ)``, nats; ln 2 = 0.693 is a coin.
        error: expected calibration error ``Σ n_b/N · |observed_b − predicted_b|``.
        bins: the calibration curve: the probability σ(|Δ|) of the model's choice, and how often people agreed.
        length: the length-bias check.
        prompts: distinct prompts; the unit drawn at random in every interval.
        comparisons: N.
        ties: comparisons that say neither, which count nowhere.
    """

    accuracy: Estimate
    loss: float
    error: float
    bins: tuple[CalibrationBin, ...]
    length: LengthBias
    prompts: int
    comparisons: int
    ties: int

    def plain(self) -> dict[str, Any]:
        """For JSON; the names are those that a run's report knows."""
        length = {k: v.plain() if isinstance(v, Estimate) else _none(v) for k, v in vars(self.length).items()}
        return {
            "accuracy": self.accuracy.plain(),
            "loss": self.loss,
            "calibration_error": self.error,
            "calibration": plain_bins(self.bins),
            "length": length,
            "questions": self.prompts,
            "samples": self.comparisons,
            "ties": self.ties,
        }


def judge(scorer: Scorer, comparisons: Sequence[Comparison]) -> PreferenceEvaluation:
    """Compare a scorer with people's choices. Every distinct answer to a prompt is scored once.

    Raises:
        HoneError: no comparison says which answer is better.
    """
    decided = [c for c in comparisons if not c.tie]
    if not decided:
        raise HoneError("there is nothing to evaluate on", got=f"{len(comparisons)} comparisons, all of them ties")
    difference_N = _differences(scorer, decided)
    clusters = [prompt_content(c.prompt) for c in decided]
    right = [0.5 if d == 0 else float(d > 0) for d in difference_N]
    confidence_N = 1 / (1 + np.exp(-np.abs(difference_N)))
    bins = calibration(confidence_N, right, clusters, low=0.5)
    return PreferenceEvaluation(
        accuracy=share(right, clusters),
        loss=float(np.logaddexp(0, -difference_N).mean()),
        error=calibration_error(bins),
        bins=bins,
        length=_length_bias(decided, difference_N, right, clusters),
        prompts=len(set(clusters)),
        comparisons=len(decided),
        ties=len(comparisons) - len(decided),
    )


def judge_thumbs(scorer: Scorer, ratings: Sequence[Rating]) -> dict[str, Any]:
    """Accuracy of ``σ(score) > ½`` on thumbs, and its calibration, as plain values for JSON."""
    scores = np.array(scorer([r.prompt for r in ratings], [r.answer.text for r in ratings]), dtype=float)
    up = [float(bool(r.thumb)) for r in ratings]
    clusters = [prompt_content(r.prompt) for r in ratings]
    right = [float((s > 0) == (u > 0.5)) for s, u in zip(scores, up, strict=True)]
    bins = calibration(1 / (1 + np.exp(-scores)), up, clusters)
    return {
        "accuracy": share(right, clusters).plain(),
        "calibration_error": calibration_error(bins),
        "calibration": plain_bins(bins),
        "questions": len(set(clusters)),
        "samples": len(ratings),
    }


def calibration(
    predicted: Sequence[float] | Floats, happened: Sequence[float], clusters: Sequence[Hashable], low: float = 0.0
) -> tuple[CalibrationBin, ...]:
    """Ten bins of equal width from ``low`` to 1; those without a prediction are left out.

    Args:
        predicted: [N] probabilities.
        happened: [N] 1 if it was so, 0 if not, ½ for undecided.
        clusters: [N] what is drawn at random together.
        low: the least probability there can be.
    """
    found: list[list[int]] = [[] for _ in range(BINS)]
    for i, p in enumerate(predicted):
        found[min(int((p - low) / (1 - low) * BINS), BINS - 1)].append(i)
    return tuple(
        CalibrationBin(
            float(np.mean([predicted[i] for i in index])),
            share([happened[i] for i in index], [clusters[i] for i in index]),
            len(index),
        )
        for index in found
        if index
    )


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Expected calibration error ``Σ n_b/N · |observed_b − predicted_b|`` (Naeini et al. 2015); NaN without bins."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.observed.value - b.predicted) for b in bins) / total if total else math.nan


def plain_bins(bins: Sequence[CalibrationBin]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{"predicted": b.predicted, "observed": b.observed.plain(), "count": b.count} for b in bins]


def _differences(scorer: Scorer, comparisons: Sequence[Comparison]) -> Floats:
    """[N] score of the chosen less that of the rejected answer."""
    wanted: dict[tuple[str, str], tuple[Text, Text]] = {}
    keys = []
    for c in comparisons:
        pair = [(repr(c.prompt), repr(answer.text)) for answer in (c.chosen, c.rejected)]
        wanted |= {pair[0]: (c.prompt, c.chosen.text), pair[1]: (c.prompt, c.rejected.text)}
        keys.append(pair)
    values = scorer([prompt for prompt, _ in wanted.values()], [answer for _, answer in wanted.values()])
    score = dict(zip(wanted, values, strict=True))
    return np.array([score[chosen] - score[rejected] for chosen, rejected in keys])


def _length_bias(
    comparisons: Sequence[Comparison], difference_N: Floats, right: Sequence[float], clusters: Sequence[str]
) -> LengthBias:
    longer_N = np.array([_length(c.chosen.text) - _length(c.rejected.text) for c in comparisons], dtype=float)

    def part(values: Sequence[float], chosen: NDArray[np.bool_]) -> Estimate:
        index = np.flatnonzero(chosen).tolist()
        return share([values[i] for i in index], [clusters[i] for i in index]) if index else NOTHING

    liked = [0.5 if d == 0 else float(d > 0) for d in difference_N * np.sign(longer_N)]
    spread = difference_N.std() > 0 and longer_N.std() > 0
    return LengthBias(
        people_prefer_longer=part((longer_N > 0).astype(float).tolist(), longer_N != 0),
        model_prefers_longer=part(liked, longer_N != 0),
        accuracy_longer=part(right, longer_N > 0),
        accuracy_shorter=part(right, longer_N < 0),
        correlation=float(np.corrcoef(difference_N, longer_N)[0, 1]) if spread else math.nan,
    )


def _length(text: Text) -> int:
    return len(answer_text(text))


def _none(value: float) -> float | None:
    return None if math.isnan(value) else value
