"""What a run is made of: the sections of a recipe, each a frozen dataclass that is its own configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hone.core.errors import HoneError
from hone.engines.base import Sampling
from hone.models.config import Layout, ModelConfig, ValueConfig
from hone.training.pretraining import PtxConfig as PtxConfig

PACKAGES = {
    "task": "hone.envs.tasks",
    "algorithm": "hone.algorithms",
    "grader": "hone.envs.graders",
    "rounds": "hone.training.rounds",
}
"""Where the short names of a recipe's named tables are looked up."""

Truncated = Literal["keep", "mask", "exclude"]
"""What becomes of a completion that a length limit has cut."""


@dataclass(frozen=True)
class BatchConfig:
    """How much is rolled out and how it is learnt from; everything else is derived.

    Attributes:
        prompts: questions per step.
        samples: rollouts per question (the group size G).
        epochs: passes over a step's rollouts.
        updates: optimiser steps per pass.
        micro_tokens: most tokens in one forward and backward pass (padding included where it is computed); memory,
            never the result.
        layout: how rows are laid out for the forward pass; speed and memory, never the result. "padded" is the plain
            way, "packed" leaves the padding out, "tree" also computes once what rows begin with in common; "auto"
            is tree where it saves tokens and the model allows it.
        resample: most further rounds of questions in a step, drawn in place of groups without signal (DAPO's dynamic
            sampling); 0 learns from every group.
        truncated: completions that a length limit has cut are learnt from ("keep"), are in the baseline but in no loss
            ("mask", DAPO's overlong filter), or in neither ("exclude").
        overlong: the last so many tokens before ``sampling.max_tokens`` cost reward, linearly up to 1 (DAPO's soft
            overlong punishment).
    """

    prompts: int = 32
    samples: int = 8
    epochs: int = 1
    updates: int = 1
    micro_tokens: int = 16384
    resample: int = 0
    truncated: Truncated = "keep"
    overlong: int = 0
    layout: Layout = "auto"

    @property
    def on_policy(self) -> bool:
        """Rollouts are learnt from once, by the policy that made them: every ratio is 1."""
        return self.epochs * self.updates == 1

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        for name in ("prompts", "samples", "epochs", "updates", "micro_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"batch.{name} is {getattr(self, name)}; it must be at least 1")
        if self.resample < 0 or self.overlong < 0:
            raise ValueError("batch.resample and batch.overlong must not be negative")
        if self.updates > self.prompts:
            raise ValueError(f"batch.updates is {self.updates}, more than the {self.prompts} prompts to share out")


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW and its learning-rate schedule.

    Attributes:
        lr: peak learning rate.
        warmup: steps of linear warm-up.
        schedule: what follows the warm-up: constant, or linear or cosine decay to ``final`` × lr at the last step.
        final: share of lr left at the end.
        betas, eps, weight_decay: AdamW's own; matrices decay, vectors (norms, biases) do not.
        clip: largest norm of the gradient; 0 does not clip.
        value_lr: peak learning rate of a value head or value model; 0 is ``lr``.
    """

    lr: float = 1e-6
    warmup: int = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    final: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 1.0
    value_lr: float = 0.0

    def __post_init__(self) -> None:
        """Refuse rates that mean nothing."""
        if self.lr <= 0:
            raise ValueError(f"optimiser.lr is {self.lr}; it must be positive")
        if self.clip < 0 or self.weight_decay < 0 or self.warmup < 0 or self.value_lr < 0:
            raise ValueError("optimiser.clip, weight_decay, warmup and value_lr must not be negative")


@dataclass(frozen=True)
class RunConfig:
    """Where a run goes, how long it is, and what it writes on the way.

    Attributes:
        out: the run directory.
        steps: steps of the loop.
        seed: the root of every random number.
        save_every: steps between checkpoints (the last step always has one).
        evaluate_every: steps between held-out evaluations; 0 never evaluates.
        evaluate_questions: held-out questions per evaluation.
        evaluate_threshold: an answer with at least this reward counts as right.
        rollouts_every: steps between samples written to rollouts/; 0 writes none.
        rollouts_kept: trajectories written each time.
        reference_every: steps between measurements of the KL to the initial policy where the algorithm does not need
            it anyway; 0 never measures and keeps no copy of the initial weights.
        failure_cap: largest share of failed rollouts in one step; above it the run ends with the first failure.
        tensorboard: also write TensorBoard event files (needs the tensorboard package).
        wandb: also log to this Weights & Biases project (needs the wandb package).
    """

    out: str = "runs/run"
    steps: int = 100
    seed: int = 0
    save_every: int = 20
    evaluate_every: int = 0
    evaluate_questions: int = 256
    evaluate_threshold: float = 1.0
    rollouts_every: int = 10
    rollouts_kept: int = 32
    reference_every: int = 10
    failure_cap: float = 0.2
    tensorboard: bool = False
    wandb: str | None = None

    def __post_init__(self) -> None:
        """Refuse lengths that mean nothing."""
        if self.steps < 1 or self.save_every < 1:
            raise ValueError("run.steps and run.save_every must be at least 1")
        if not 0 <= self.failure_cap <= 1:
            raise ValueError(f"run.failure_cap is {self.failure_cap}; it is a share between 0 and 1")


ONLINE_ONLY = (
    "evaluate_questions",
    "evaluate_threshold",
    "rollouts_every",
    "rollouts_kept",
    "reference_every",
    "failure_cap",
)
"""Fields of :class:`RunConfig` that mean something to the online loop alone."""


@dataclass(frozen=True)
class EngineConfig:
    """How the embedded engine samples: speed and memory; what is sampled changes by rounding only.

    Attributes:
        slots: most completions in flight; 0 takes as many as memory is meant to hold.
        sampler_dtype: what sampling computes in. "learner" is the learner's own weights and dtype; any other is a copy
            of the weights, cast after every update, whose log-probabilities differ from the learner's by about 1e-2.
            "auto" is "bfloat16" where the algorithm corrects for that (``tis`` or ``mis``), the learner computes in
            float32 and the copy is found faster at start-up, else "learner"; config.toml holds what was found. It is
            not the default because a clock decides: two runs of one recipe may then differ.
    """

    slots: int = 0
    sampler_dtype: Literal["learner", "auto", "bfloat16", "float16"] = "learner"

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        if self.slots < 0:
            raise ValueError(f"engine.slots is {self.slots}; it must be positive, or 0 to leave it to memory")


@dataclass(frozen=True)
class Recipe:
    """An online run: roll out, credit, update, repeat.

    Attributes:
        model: the policy.
        task: a :class:`hone.envs.base.Task`, chosen by name.
        algorithm: a :class:`hone.algorithms.base.Algorithm`, chosen by name.
        sampling: how rollouts are drawn.
        batch: how much is rolled out per step.
        optimiser: AdamW.
        run: the run directory and its length.
        ptx: pretraining text beside the rollouts; none for none.
        allow_truncated_sampling: train although the sampler's distribution is not the learner's (law 5).
        engine: how rollouts are computed.
        reference: a model that the KL is measured to, loaded like the policy; "" is the policy as the run begins.
    """

    model: ModelConfig
    task: Any
    algorithm: Any
    sampling: Sampling = field(default_factory=Sampling)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)
    ptx: PtxConfig | None = None
    allow_truncated_sampling: bool = False
    engine: EngineConfig = field(default_factory=EngineConfig)
    reference: str = ""

    @property
    def needs_reference(self) -> bool:
        """The KL to a reference is in the loss or the reward, or is measured."""
        return "ref_logprob" in self.algorithm.needs or bool(self.run.reference_every)

    def check(self) -> None:
        """Refuse combinations that cannot be meant.

        Raises:
            HoneError: a group baseline over groups of one; resampling without a group baseline; a dual clip although
                every ratio is 1; a reference that nothing needs; an overlong zone longer than a completion; truncated
                or reshaped sampling in training; options of values where the algorithm has none.
        """
        self._check_values()
        if "row_score" in self.algorithm.needs:
            raise HoneError(
                f"{type(self.algorithm).__name__} learns from judged answers, not from rollouts",
                where="algorithm.name",
                do="hone reward trains a reward model by it",
            )
        if self.reference and not self.needs_reference:
            raise HoneError(
                "no KL to a reference is needed or measured, so this has no effect",
                where="reference",
                got=self.reference,
                do="leave it out, or set run.reference_every or the algorithm's beta",
            )
        if self.algorithm.group_baseline and self.batch.samples < 2:
            raise HoneError(
                f"{type(self.algorithm).__name__} compares the samples of one question, and there is just one",
                where="batch.samples",
                got=str(self.batch.samples),
                expected="at least 2",
            )
        if self.batch.resample and not self.algorithm.group_baseline:
            raise HoneError(
                f"{type(self.algorithm).__name__} learns from a group whose rewards are all equal as well",
                where="batch.resample",
                got=str(self.batch.resample),
                expected="0, or an algorithm that compares the samples of one question",
            )
        if getattr(self.algorithm, "dual_clip", None) is not None and self.batch.on_policy:
            raise HoneError(
                "with one update per rollout every ratio is 1, so a dual clip has no effect",
                where="algorithm.dual_clip",
                got=str(self.algorithm.dual_clip),
                do="leave it out, or set batch.updates or batch.epochs above 1",
            )
        if self.batch.overlong > self.sampling.max_tokens:
            raise HoneError(
                "the overlong zone is longer than a completion can be",
                where="batch.overlong",
                got=str(self.batch.overlong),
                expected=f"at most sampling.max_tokens = {self.sampling.max_tokens}",
            )
        if getattr(self.algorithm, "same_steps", False) and getattr(getattr(self.task, "aids", None), "epsilon", 0.0):
            raise HoneError(
                "the baseline compares the same answer of several episodes, which random steps put at different steps",
                where="task.aids.epsilon",
                got=str(self.task.aids.epsilon),
                expected="0 in training",
                do='leave it out, or set algorithm.baseline = "none"',
            )
        if getattr(self.task, "votes", 1) > 1 and not self.allow_truncated_sampling:
            raise HoneError(
                "what a majority elects does not follow the sampler's distribution",
                where="task.aids.votes",
                got=str(self.task.votes),
                expected="1 in training",
                do="set allow_truncated_sampling = true if you mean it",
            )
        if self.sampling.truncated and not self.allow_truncated_sampling:
            raise HoneError(
                "the sampler's distribution would not be the learner's: its log-probabilities know nothing of "
                "top_k, top_p, min_tokens or greedy decoding",
                where="[sampling]",
                expected="top_k = 0, top_p = 1, min_tokens = 0 and a positive temperature",
                do="set allow_truncated_sampling = true if you mean it",
            )

    def _check_values(self) -> None:
        own_rate, own_model = bool(self.optimiser.value_lr), self.model.value != ValueConfig()
        if (own_rate or own_model) and "value" not in self.algorithm.needs:
            raise HoneError(
                f"{type(self.algorithm).__name__} needs no values, so this has no effect",
                where="model.value" if own_model else "optimiser.value_lr",
                do="leave it out, or choose an algorithm with a critic (ppo, a2c)",
            )
