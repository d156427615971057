"""The ground of both RLHF reproductions: a policy that writes reviews, a reward model, and a hidden judge of both.

A small model is pretrained on text of three kinds and fine-tuned on reviews. A noisy person ranks reviews, and the
reward model that learns from these rankings is all that a policy is trained on. What a policy is worth is what the
judge of :mod:`hone.envs.review_judge`, whom no stage saw without noise, thinks of its answers to held-out prompts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from hone.core.feedback import Answer, Comparison
from hone.core.seeding import generator
from hone.core.types import Trajectory
from hone.data.rows import encode_text, pad_rows
from hone.engines.base import Sampling
from hone.envs.graders.reward_model import RewardModel
from hone.envs.review_judge import DISHES, SIDES, NoisyJudge, write
from hone.envs.tasks.reviews import Reviews
from hone.evaluate.estimates import Estimate, bootstrap_mean, share
from hone.evaluate.model import EvalConfig, evaluate_model
from hone.evaluate.preferences import judge
from hone.functional.kl import best_of_n_kl
from hone.functional.ratings import Battles, bootstrap_bradley_terry
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.policy import Policy
from hone.models.reward_files import load_reward
from hone.models.tiny import TinyConfig
from hone.reproduce.stages import fit_stage, policy_of, reward_stage, rows_file
from hone.rollout.rows import to_batch
from hone.training.columns import score_all
from hone.training.feedback import FeedbackConfig
from hone.training.fit import DataConfig, FitRecipe
from hone.training.recipe import BatchConfig, OptimiserConfig, RunConfig
from hone.training.reward import NormaliseConfig, RewardRecipe
from hone.training.run import Run

TASK = Reviews()
SAMPLING = Sampling(max_tokens=32)
TEXTS, ANSWERS, PASSES, ROWS = 20000, 4, 6, 16
BATCH = BatchConfig(prompts=96, samples=1, epochs=2, updates=2)
END = -3.0
"""The reward of an answer that does not end, below the worst that does."""


@dataclass(frozen=True)
class Ground:
    """What every policy of a seed starts from.

    Attributes:
        out: the seed's folder.
        seed: root of all randomness.
        ranked: prompts whose answers the person ranked.
        sft: the fine-tuned model: the first policy, and the reference of every KL.
        reward: the reward model.
    """

    out: Path
    seed: int
    ranked: int
    sft: Run
    reward: Run

    @property
    def task(self) -> Reviews:
        """The prompts, rewarded by the reward model."""
        return replace(TASK, graders=(RewardModel(str(self.reward.path)),))

    @property
    def rankings(self) -> str:
        """The file of what the person said."""
        return str(self.out / "data" / "ranked.jsonl")

    @property
    def text(self) -> str:
        """The file of pretraining text."""
        return str(self.out / "data" / "text.jsonl")


def pretraining_text(count: int, seed: int, name: str = "train") -> list[str]:
    """Lines of three kinds in equal parts: sums, menus, and reviews that answer nobody."""
    rng, lines = generator(seed, "pretraining text", name), []
    for number in range(count):
        if number % 3 == 0:
            a, b = rng.integers(100, size=2).tolist()
            lines.append(f"{a}+{b}={a + b}")
        elif number % 3 == 1:
            dishes, sides = rng.permutation(DISHES)[:3].tolist(), rng.permutation(SIDES)[:3].tolist()
            lines.append(", ".join(f"{dish} with {side}" for dish, side in zip(dishes, sides, strict=True)) + ".")
        else:
            lines.append(write(rng))
    return lines


def ground(out: Path, seed: int, ranked: int, kept: float = 0.0) -> Ground:
    """Pretrain, fine-tune and learn the reward, unless that is done.

    Args:
        out: the seed's folder.
        seed: root of all randomness.
        ranked: prompts whose answers the person ranks.
        kept: share of pretraining text in the fine-tuning corpus, so that fine-tuning does not forget it before a
            policy can; a tenth in InstructGPT (Ouyang et al. 2022, appendix C).
    """
    text = rows_file(out / "data" / "text.jsonl", [{"text": line} for line in pretraining_text(TEXTS, seed)])
    base = fit_stage(
        FitRecipe(
            DataConfig(source=text, train_on="all"),
            tokenizer="bpe",
            vocabulary=512,
            tiny=TinyConfig(width=64, layers=3, heads=4, max_length=96, initializer_range=0.04),
            optimiser=OptimiserConfig(lr=2e-3, warmup=50, schedule="linear"),
            run=RunConfig(out=str(out / "base"), steps=400, seed=seed, save_every=400),
        )
    )
    sft = fit_stage(
        FitRecipe(
            _fine_tuning(out / "data" / "fine-tuning.jsonl", seed, kept),
            model=ModelConfig(str(base.model)),
            optimiser=OptimiserConfig(lr=1e-3, warmup=20, schedule="linear"),
            run=RunConfig(out=str(out / "sft"), steps=300, seed=seed + 1000, save_every=300),
        )
    )
    rankings = rows_file(out / "data" / "ranked.jsonl", TASK.rankings(ranked, seed, answers=ANSWERS))
    reward = reward_stage(
        RewardRecipe(
            FeedbackConfig(rankings, validation=0.0, max_length=96),
            model=ModelConfig(str(sft.model)),
            rows=ROWS,
            normalise=NormaliseConfig(256, str(sft.model), SAMPLING.max_tokens),
            optimiser=OptimiserConfig(lr=1e-3, warmup=10, schedule="linear", weight_decay=0.01),
            run=RunConfig(out=str(out / "reward"), steps=PASSES * ranked // ROWS, seed=seed, save_every=10_000),
        )
    )
    return Ground(out, seed, ranked, sft, reward)


def _fine_tuning(path: Path, seed: int, kept: float) -> DataConfig:
    if not kept:
        return DataConfig(task=TASK, examples=TEXTS)
    lines = round(kept * TEXTS)
    reviews = [{"prompt": prompt, "completion": review} for prompt, review in TASK.corpus(TEXTS - lines, seed)]
    return DataConfig(
        source=rows_file(path, [*reviews, *({"text": line} for line in pretraining_text(lines, seed, "fine-tuning"))])
    )


@dataclass(frozen=True)
class Answers:
    """A policy's answers to held-out prompts, and what came of them.

    Attributes:
        prompts: [N]; ``texts``: [N].
        gold: [N] the judge's opinion.
        proxy: [N] the reward model's.
        kl: of an answer from the fine-tuned policy's, nats: mean over answers of ``Σ (log π − log π_sft)``.
        length: mean number of tokens.
    """

    prompts: Sequence[str]
    texts: Sequence[str]
    gold: Sequence[float]
    proxy: Sequence[float]
    kl: Estimate
    length: float

    @property
    def distinct(self) -> int:
        """How many different texts there are."""
        return len(set(self.texts))

    def wins(self, other: Answers) -> Estimate:
        """How often the judge likes these answers better than another policy's to the same prompts, ties half."""
        won = [float(a > b) + 0.5 * float(a == b) for a, b in zip(self.gold, other.gold, strict=True)]
        return share(won, list(self.prompts))

    def plain(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "gold": _mean(self.gold),
            "proxy": _mean(self.proxy),
            "kl": self.kl.value,
            "distinct": self.distinct / len(self.texts),
            "length": self.length,
        }


def answers(ground: Ground, run: Run, samples: int = 1, questions: int = 0) -> Answers:
    """A policy's sampled answers to held-out prompts."""
    policy, task = policy_of(run), ground.task
    config = EvalConfig(questions=questions, samples=samples, greedy=False, seed=ground.seed)
    found = evaluate_model(policy, task, SAMPLING, config)[1]
    return judged(found, policy, policy_of(ground.sft))


def judged(found: Sequence[Trajectory], policy: Policy, reference: Policy) -> Answers:
    """What came of sampled answers, and how far the policy's distribution is from the reference's."""
    batch = to_batch(found, policy.pad_id)
    apart_BT = batch.behaviour_logprob - score_all(reference, batch, micro_tokens=16384).logprob
    apart_B = (apart_BT * batch.train).sum(-1).tolist()
    prompts = [t.prompt for t in found]
    return Answers(
        prompts,
        [t.turns[0].text for t in found],
        [t.metrics["gold"] for t in found],
        [t.reward for t in found],
        bootstrap_mean(apart_B, prompts),
        _mean([float(len(t.turns[0].action.tokens)) for t in found]),
    )


def perplexity(policy: Policy, lines: Sequence[str]) -> float:
    """``exp`` of the mean negative log-likelihood of a token of the lines, end tokens included."""
    rows = encode_text(Renderer(policy.tokenizer), lines, policy.max_length)
    batch = pad_rows(rows, policy.pad_id)
    logprob_BT = score_all(policy, batch, micro_tokens=16384).logprob
    return math.exp(-float(logprob_BT[batch.train].mean()))


def reward_accuracy(ground: Ground, prompts: int = 400) -> dict[str, Any]:
    """Agreement of the reward model with new judgements on held-out prompts, and the best that there can be."""
    known = {text for row in TASK.rankings(ground.ranked, ground.seed, answers=ANSWERS) for text in row["completions"]}
    rows = [
        row
        for row in TASK.comparisons(prompts, ground.seed, split="test", answers=ANSWERS)
        if row["chosen"] not in known and row["rejected"] not in known
    ]
    held_out = [Comparison(row["prompt"], Answer(row["chosen"]), Answer(row["rejected"])) for row in rows]
    found = judge(load_reward(ground.reward.path).scores, held_out)
    ceiling = NoisyJudge().ceiling([(row["prompt"], row["chosen"], row["rejected"]) for row in rows])
    return {"accuracy": found.accuracy.plain(), "ceiling": ceiling, "judgements": found.comparisons}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def arena(players: Mapping[str, Answers], seed: int) -> dict[str, dict[str, float]]:
    """Ratings of policies on one scale, from a noisy person's choices between their answers to the same prompts.

    Every two policies meet once on every prompt, equal answers are a tie; Bradley-Terry in nats with mean 0, intervals
    by a bootstrap over prompts.

    Args:
        players: name to answers, all to the same prompts in the same order.
        seed: of the person and the bootstrap.
    """
    person, battles, clusters = NoisyJudge(seed=seed), [], []
    for first, second in combinations(players, 2):
        for turn, prompt in enumerate(players[first].prompts):
            a, b = players[first].texts[turn], players[second].texts[turn]
            won = 0.5 if a == b else float(person.prefers_first(prompt, a, b, turn))
            battles.append((first, second, won))
            clusters.append(prompt)
    played = Battles.of(battles, clusters)
    rated = bootstrap_bradley_terry(played, seed=seed)
    return {
        name: {"rating": float(value), "low": float(low), "high": float(high)}
        for name, value, low, high in zip(played.players, rated.value_P, rated.low_P, rated.high_P, strict=True)
    }


def chosen(pool: Answers, n: int) -> Answers:
    """Best-of-n by the reward model: of each prompt's first n samples the one of the highest proxy."""
    groups: dict[str, list[int]] = {}
    for i, prompt in enumerate(pool.prompts):
        groups.setdefault(prompt, []).append(i)
    best = [max(index[:n], key=lambda i: pool.proxy[i]) for index in groups.values()]
    kl = best_of_n_kl(n)
    picked = {name: [getattr(pool, name)[i] for i in best] for name in ("prompts", "texts", "gold", "proxy")}
    return Answers(**picked, kl=Estimate(kl, kl, kl, len(best)), length=pool.length)
