"""The loop closed: rounds of new answers, new rankings, a reward model on all of them, and PPO from where it stood."""

from __future__ import annotations

from hone.envs.judges.noisy_judge import NoisyJudge
from hone.models.config import ModelConfig
from hone.reproduce._rlhf import END, SAMPLING, TASK, Ground
from hone.training.rounds.base import RoundsRecipe, RoundsRun, train_rounds
from hone.training.rounds.rlhf import ONLINE, REWARD, RLHF
from hone.training.run import Run

ROUNDS, PROMPTS, ANSWERS = 3, 128, 4


def online_rounds(ground: Ground) -> list[Run]:
    """Iterated RLHF from the fine-tuned policy, unless that is done; the run of each round's policy.

    No round sees the rankings that the other arms' reward model learnt from: the first one begins with answers of the
    fine-tuned policy, and every later one adds what the policies of its time wrote.
    """
    reward = {
        "data": {"validation": 0.0, "max_length": 96},
        "rows": 64,
        "optimiser": {"lr": 1e-3, "warmup": 10, "schedule": "linear", "weight_decay": 0.01},
        "run": {"steps": 60, "save_every": 60},
    }
    online = {
        "algorithm": {"name": "ppo", "beta": 0.3, "missing_end": END},
        "sampling": {"max_tokens": SAMPLING.max_tokens},
        "batch": {"prompts": 96, "samples": 1, "epochs": 2, "updates": 2},
        "optimiser": {"lr": 4e-4},
        "run": {"steps": 12, "save_every": 12},
    }
    kind = RLHF(
        rounds=ROUNDS,
        prompts=PROMPTS,
        answers=ANSWERS,
        pairs=ANSWERS * (ANSWERS - 1) // 2,
        judge=NoisyJudge(seed=ground.seed),
        arena=0,
        reward=REWARD.read(reward, "[reward]"),
        online=ONLINE.read(online, "[online]"),
    )
    recipe = RoundsRecipe(
        ModelConfig(str(ground.sft.model)), TASK, kind, RoundsRun(str(ground.out / "rounds"), ground.seed)
    )
    run = Run(ground.out / "rounds")
    if not run.model.exists():
        train_rounds(recipe, resume=run.exists)
    return [Run(run.path / f"round-{number}" / "policy") for number in range(1, ROUNDS + 1)]
