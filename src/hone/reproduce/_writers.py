"""Do ratings recover a judge's order of writers? Battles between writers of known skill, judged with noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from hone.core.seeding import generator
from hone.envs.review_judge import NoisyJudge, gold, write
from hone.envs.tasks.reviews import Reviews
from hone.functional.ratings import Battles, average_elo, bootstrap_bradley_terry

SKILLS = (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9, 1.2)
BATTLES, SAMPLES = 2000, 1000


def ladder(task: Reviews, seed: int) -> dict[str, Any]:
    """Correlations of writers' ratings with the mean true worth of what they write.

    Returns:
        ``writers_bradley_terry``, ``writers_elo``, ``writers_order`` (Spearman's, of Bradley-Terry) and ``writers``:
        skill, true worth, rating in nats and its interval.
    """
    rng, prompts, person = generator(seed, "writers"), task.side("test"), NoisyJudge(seed=seed)

    def prompt() -> str:
        return prompts[int(rng.integers(len(prompts)))]

    battles = []
    for turn in range(BATTLES):
        i, j = rng.choice(len(SKILLS), size=2, replace=False).tolist()
        asked, first, second = prompt(), write(rng, SKILLS[i]), write(rng, SKILLS[j])
        battles.append((f"writer {i}", f"writer {j}", float(person.prefers_first(asked, first, second, turn))))
    played = Battles.of(battles)
    worth = np.array([np.mean([gold(prompt(), write(rng, skill)) for _ in range(SAMPLES)]) for skill in SKILLS])
    rated = bootstrap_bradley_terry(played, rounds=50, seed=seed)
    elo = average_elo(played, rounds=20, seed=seed)
    rated_rank, worth_rank = (np.argsort(np.argsort(x)) for x in (rated.value_P, worth))
    return {
        "writers_bradley_terry": float(np.corrcoef(rated.value_P, worth)[0, 1]),
        "writers_elo": float(np.corrcoef(elo, worth)[0, 1]),
        "writers_order": float(np.corrcoef(rated_rank, worth_rank)[0, 1]),
        "writers": [
            {"skill": s, "worth": float(w), "rating": float(v), "low": float(a), "high": float(b)}
            for s, w, v, a, b in zip(SKILLS, worth, rated.value_P, rated.low_P, rated.high_P, strict=True)
        ],
    }
