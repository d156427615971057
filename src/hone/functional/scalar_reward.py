"""From comparisons to one number per answer: a reward model can then learn by regression as well as by pairs.

Comparisons tell answers of one prompt apart and nothing more: a constant per prompt is free, so it is taken out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Rating, canonical
from hone.functional.ratings import ELO_PER_NAT, START, Battles, Floats, average_elo, bradley_terry

Scale = Literal["data", "prompt"]
"""Whose standard deviation becomes 1: that of all answers, or that of each prompt's."""


def scalar_rewards(
    comparisons: Iterable[Comparison],
    method: Literal["bradley_terry", "elo"] = "bradley_terry",
    scale: Scale = "data",
    ridge: float = 1.0,
) -> list[Rating]:
    """One rating per distinct answer, from all comparisons of its prompt.

    Per prompt: strengths θ in nats by Bradley-Terry (a standard normal prior by default, since most prompts have few
    comparisons) or by order-averaged Elo; minus the prompt's mean; divided by the standard deviation. Dividing per
    prompt makes one lone comparison ±1 like an often confirmed one; dividing over the data keeps the difference.

    Args:
        comparisons: of any number of prompts; ties count as half a win.
        method: how answers of a prompt are rated.
        scale: whose standard deviation is 1.
        ridge: of the Bradley-Terry fit.

    Returns:
        Ratings with ``score``, in the order in which prompts and answers first appear.

    Raises:
        HoneError: an unknown ``method`` or ``scale``.
    """
    if method not in ("bradley_terry", "elo") or scale not in ("data", "prompt"):
        raise HoneError(
            "unknown way to score answers",
            got=f'method "{method}", scale "{scale}"',
            expected='method "bradley_terry" or "elo", scale "data" or "prompt"',
        )
    groups: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        groups.setdefault(canonical(comparison.prompt), []).append(comparison)
    fitted = [(group[0], *_fit(group, method, ridge)) for group in groups.values()]
    pooled = np.concatenate([theta_P for _, _, theta_P in fitted]) if fitted else np.zeros(0)
    ratings = []
    for asked, answers, theta_P in fitted:
        gain, _ = gain_and_bias(pooled if scale == "data" else theta_P)
        ratings += [
            Rating(asked.prompt, answer, score=float(gain * theta))
            for answer, theta in zip(answers, theta_P, strict=True)
        ]
    return ratings


def gain_and_bias(values: Floats | Sequence[float], mean: float = 0.0, std: float = 1.0) -> tuple[float, float]:
    """``g = σ/σ_data`` and ``b = μ − g·μ_data``, so that ``g·values + b`` has this mean and standard deviation.

    The population's standard deviation (divided by N) is meant. Values that are all equal have gain 1: nothing can
    spread them (Ziegler et al. 2019, arXiv:1909.08593, normalise a reward so).
    """
    data = np.asarray(values, dtype=np.float64)
    spread = float(data.std()) if data.size else 0.0
    gain = std / spread if spread > 1e-12 else 1.0
    return gain, mean - gain * (float(data.mean()) if data.size else 0.0)


def _fit(group: Sequence[Comparison], method: str, ridge: float) -> tuple[list[Answer], Floats]:
    """The distinct answers of a prompt and their centred strengths in nats."""
    answers: dict[str, Answer] = {}
    for comparison in group:
        for answer in (comparison.chosen, comparison.rejected):
            answers.setdefault(canonical(answer.text), answer)
    texts = list(answers)
    triples = [(canonical(c.chosen.text), canonical(c.rejected.text), 0.5 if c.tie else 1.0) for c in group]
    battles = Battles.of(triples)
    theta_P = bradley_terry(battles, ridge) if method == "bradley_terry" else _elo_nats(battles)
    by_text = dict(zip(battles.players, theta_P, strict=True))
    return list(answers.values()), np.array([by_text[text] for text in texts])


def _elo_nats(battles: Battles) -> Floats:
    # k = 32 is the rate of short tournaments; k = 4 would leave the few battles of a prompt near the start.
    points_P = average_elo(battles, k=32.0)
    return (points_P - START) / ELO_PER_NAT
