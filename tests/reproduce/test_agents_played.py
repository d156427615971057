"""What the reproductions of agents draw: curves of rolled-out episodes are those of the same actions in numbers."""

from __future__ import annotations

import numpy as np
import pytest

from hone.engines.base import Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs.acting.face import Face
from hone.envs.arms import Gaussian
from hone.envs.tasks.bandit import Bandit
from hone.models.chat import Renderer
from hone.models.tokenizer import char_tokenizer
from hone.reproduce._agents import summed_up
from hone.rollout.episodes import Start, rollout

TASK = Bandit(arms=3, horizon=4, gaussian=Gaussian((0.0, 1.0, 2.5), noise=0.0), face=Face("compact"))
TOKENIZER = char_tokenizer("abcGN|?0123456789")


def test_curves_of_episodes_by_hand() -> None:
    played = {0: iter("abca"), 1: iter("cc?c")}
    engine = ScriptedEngine(lambda request: TOKENIZER(next(played[int(str(request.id))]))["input_ids"])
    starts = [Start(0, 0, 0), Start(1, 1, 0)]
    found = rollout(engine, TASK, Renderer(TOKENIZER), starts, Sampling(max_tokens=1), noise=(0,))
    random_gap = 2.5 - found[1].info["history"][2].reward
    tried = 1 if random_gap == 0 else 2
    summed = summed_up(found, 3)
    assert summed.regret_T == pytest.approx(np.cumsum([1.25, 0.75, random_gap / 2, 1.25]))
    assert summed.coverage_T == pytest.approx([1 / 3, (2 + 1) / 6, (3 + tried) / 6, (3 + tried) / 6])
    assert summed.invalid == pytest.approx((0 + 1 / 4) / 2)
    assert summed.gain == pytest.approx((0 + 1 + 2.5 + 0 + 2.5 * 3 + 2.5 - random_gap) / 2)
    assert (summed.regret, summed.coverage) == (summed.regret_T[-1], summed.coverage_T[-1])
