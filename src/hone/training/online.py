"""The online loop: roll out, credit, update, repeat."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial

import torch

from hone.algorithms.base import credited
from hone.core.batch import Batch, compact
from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.seeding import generator, permutation_index
from hone.core.spans import span
from hone.core.types import Outcome, Trajectory
from hone.engines.base import Engine
from hone.envs.base import Task
from hone.evaluate.accuracy import evaluate, judging
from hone.functional.kl import kl_estimate
from hone.models.chat import Renderer
from hone.models.policy import Policy
from hone.rollout.answers import check_answers
from hone.rollout.episodes import Start, rollout
from hone.rollout.rows import to_batch
from hone.training import records
from hone.training.columns import reference_of, score_all
from hone.training.preflight import check_gap, describe, gap_warning
from hone.training.ptx import PtxStream
from hone.training.recipe import PACKAGES, Recipe
from hone.training.run import Run
from hone.training.sampler import engine_for, need_defaults, settle
from hone.training.selection import groups_with_signal, leave_out_truncated, select
from hone.training.session import Metrics, Session, timed
from hone.training.update import update


def train_online(
    recipe: Recipe, policy: Policy, run: Run, *, resume: bool = False, engine: Engine | None = None
) -> None:
    """Train ``policy`` by a recipe inside a run directory.

    Args:
        recipe: what to do; it is written to config.toml.
        policy: the learner, at its initial weights (also when resuming: they are the KL reference).
        run: the run directory.
        resume: go on from the latest checkpoint.
        engine: samples completions; the embedded engine over the policy's own weights by default.

    Raises:
        HoneError: preflight found a fault, too many rollouts failed, or the run cannot be resumed.
    """
    recipe.check()
    if engine is None:
        recipe = settle(recipe, policy, run if resume and run.exists else None)
    else:
        need_defaults(recipe.engine, engine)
    config = plain(recipe, PACKAGES)
    run.check(config, resume=resume)
    recipe.task.preflight()
    loop = OnlineLoop(recipe, policy, run, engine or engine_for(recipe, policy))
    loop.preflight()
    run.begin(config, resume=resume, data=loop.ptx.digest if loop.ptx else "")
    print(describe(recipe, policy), file=sys.stderr)
    loop.session.drive(type(recipe.algorithm).__name__, loop.step, resume=resume)


class OnlineLoop:
    """One step of the online loop and what it needs."""

    def __init__(self, recipe: Recipe, policy: Policy, run: Run, engine: Engine) -> None:
        self.recipe, self.policy, self.run, self.engine = recipe, policy, run, engine
        self.algorithm = recipe.algorithm
        self.renderer = Renderer(policy.tokenizer)
        self.reference = reference_of(recipe, policy) if recipe.needs_reference else None
        self.session = Session(run, policy, self.algorithm, recipe.optimiser, recipe.run)
        self._warned = False
        self._nameless = 0
        self.ptx = PtxStream(recipe.ptx, policy, recipe.run.seed) if recipe.ptx else None

    @property
    def updates_per_step(self) -> int:
        """Optimiser steps in one step of the loop."""
        return self.recipe.batch.epochs * self.recipe.batch.updates

    def preflight(self) -> None:
        """Play a few episodes and compare the sampler's log-probabilities with the learner's.

        Raises:
            HoneError: every episode failed, or the log-probabilities are not the same.
        """
        trajectories = self._roll(0, [Start(self._episode(1, j), j, 0) for j in range(4)], {}, version=0)
        failures = [t.failure for t in trajectories if t.failure]
        if len(failures) == len(trajectories):
            raise HoneError("every rollout of the preflight failed", got=f"{failures[0].kind}: {failures[0].reason}")
        self._nameless = check_answers(trajectories)
        gap = check_gap(self.policy, trajectories, self.recipe.sampling.temperature)
        if gap > gap_warning(self.recipe):
            print(f"warning: sampler and learner log-probabilities differ by up to {gap:.2g}", file=sys.stderr)

    def step(self, step: int) -> Metrics:
        """Roll out, credit and update once; returns the step's metrics."""
        metrics: Metrics = {}
        with timed(metrics, "rollout"):
            rolled, trajectories = select(self.rollouts(step), self.recipe)
        with span("metrics"):
            metrics |= records.describe(rolled)
            if self.recipe.batch.resample:
                metrics |= records.describe_selection(rolled, trajectories)
        self._check_failures(step, rolled, metrics["failures"])
        self._nameless = check_answers(rolled, self._nameless)
        with timed(metrics, "score"):
            with span("rows"):
                batch = to_batch(trajectories, self.policy.pad_id)
                batch = leave_out_truncated(batch, trajectories, self.recipe.batch.truncated).to(self.policy.device)
            batch = self._columns(step, batch, metrics)
        with timed(metrics, "learn"):
            metrics |= self._learn(step, batch)
        self._warn_of_gap(step, metrics.get("logprob_gap_max", 0.0))
        every = self.recipe.run.rollouts_every
        if every and (step % every == 0 or step == 1):
            with span("samples"):
                lines = records.rollout_lines(step, trajectories, batch, self.policy.tokenizer)
                self.run.write_rollouts(step, lines[: self.recipe.run.rollouts_kept])
        if self.recipe.run.evaluate_every and step % self.recipe.run.evaluate_every == 0:
            with timed(metrics, "evaluate"):
                metrics["accuracy"] = self.held_out_accuracy(step)
        metrics["tokens_per_second_generation"] = metrics["tokens"] / max(metrics["seconds_rollout"], 1e-9)
        learnt = float(batch.mask.sum()) * self.recipe.batch.epochs
        metrics["tokens_per_second_learning"] = learnt / max(metrics["seconds_learn"], 1e-9)
        return metrics

    def rollouts(self, step: int) -> list[Trajectory]:
        """What the step rolls out: ``samples`` of each of ``prompts`` questions in keyed order; outcomes journalled.

        With ``resample`` further rounds ask as many new questions as groups with signal are missing.
        """
        batch = self.recipe.batch
        recorded = self.run.recorded(step) if self.session.resumed else {}
        rolled: list[Trajectory] = []
        missing = batch.prompts
        for round_ in range(batch.resample + 1):
            groups = range(round_ * batch.prompts, round_ * batch.prompts + missing)
            starts = [Start(self._episode(step, group), group, s) for group in groups for s in range(batch.samples)]
            fresh = self._roll(step, starts, recorded, version=(step - 1) * self.updates_per_step)
            with span("metrics"):
                unknown = {at: outcome for at, outcome in _outcomes(fresh).items() if at not in recorded}
                if unknown:
                    self.run.journal(step, unknown)
            rolled += fresh
            missing -= len(groups_with_signal(fresh, batch.truncated))
            if not missing:
                break
        return rolled

    def held_out_accuracy(self, step: int) -> float:
        """Sampled accuracy on test questions after a step; the same questions and noise every time."""
        task, counted = judging(self.recipe.task)
        size = min(self.recipe.run.evaluate_questions, task.size("test"))
        starts = [Start(episode, episode, 0) for episode in range(size)]
        played = self._roll("evaluate", starts, {}, version=step * self.updates_per_step, split="test", task=task)
        found = evaluate([counted(trajectory) for trajectory in played], threshold=self.recipe.run.evaluate_threshold)
        return float(found.accuracy.value)

    def _roll(
        self,
        step: int | str,
        starts: list[Start],
        recorded: Mapping[tuple[int, int, int], Outcome],
        *,
        version: int,
        split: str = "train",
        task: Task | None = None,
    ) -> list[Trajectory]:
        self.engine.sync(version)
        return rollout(
            self.engine,
            task or self.recipe.task,
            self.renderer,
            starts,
            self.recipe.sampling,
            noise=(self.recipe.run.seed, step),
            split=split,
            max_length=self.policy.max_length,
            recorded=recorded,
        )

    def _episode(self, step: int, number: int) -> int:
        """The question of a step's group; every step has as many places in the order as its rounds could need."""
        batch = self.recipe.batch
        cursor = (step - 1) * batch.prompts * (batch.resample + 1) + number
        return permutation_index(self.recipe.run.seed, cursor, self.recipe.task.size("train"))

    def _check_failures(self, step: int, trajectories: list[Trajectory], share: float) -> None:
        if share > self.recipe.run.failure_cap:
            first = next(t.failure for t in trajectories if t.failure)
            raise HoneError(
                "too many rollouts failed",
                where=f"step {step}",
                got=f"{share:.0%} of {len(trajectories)} rollouts; the first: {first.kind}: {first.reason}",
                expected=f"at most {self.recipe.run.failure_cap:.0%} (run.failure_cap)",
            )

    def _warn_of_gap(self, step: int, gap: float) -> None:
        """Say once a run that sampler and learner have come apart (law 5)."""
        if gap > gap_warning(self.recipe) and not self._warned:
            self._warned = True
            told = f"warning: step {step}: sampler and learner log-probabilities differ by up to {gap:.2g}"
            print(f"{told}; later steps: logprob_gap_max", file=sys.stderr)

    def _columns(self, step: int, batch: Batch, metrics: Metrics) -> Batch:
        """Compute just the columns the algorithm needs, then its advantages."""
        needs, config = self.algorithm.needs, self.recipe.batch
        score = partial(
            score_all,
            micro_tokens=config.micro_tokens,
            temperature=self.recipe.sampling.temperature,
            layout=config.layout,
        )
        with torch.no_grad():
            wanted = frozenset({"value"} & needs)
            if (self.updates_per_step > 1 and "old_logprob" in needs) or wanted:
                old = score(self.policy, batch, needs=wanted)
                batch = batch.with_(old_logprob=old.logprob)
                if old.value is not None and old.last_value is not None:
                    after_B = torch.where(batch.terminated, 0.0, old.last_value)
                    batch = batch.with_(value=old.value, bootstrap=after_B)
            every = self.recipe.run.reference_every
            if "ref_logprob" in needs or (every and step % every == 0):
                assert self.reference is not None
                with span("reference"):
                    reference = score(self.reference, batch).logprob
                batch = batch.with_(ref_logprob=reference)
                metrics["kl_ref"] = _mean(kl_estimate(batch.behaviour_logprob, reference, "k3"), batch)
                metrics["kl_ref_episode"] = _per_episode(batch.behaviour_logprob - reference, batch)
            batch, found = credited(self.algorithm, batch, self.session.state)
            metrics |= found
            return batch

    def _learn(self, step: int, batch: Batch) -> Metrics:
        """All optimiser steps of one loop step; metrics are their means."""
        config = self.recipe.batch
        seen: list[dict[str, float]] = []
        for epoch in range(config.epochs):
            for part in minibatches(batch, config.updates, self.recipe.run.seed, step, epoch):
                done = (step - 1) * self.updates_per_step + len(seen)
                seen.append(
                    update(
                        self.policy,
                        self.session.optimiser,
                        self.algorithm,
                        part,
                        self.session.state,
                        micro_tokens=config.micro_tokens,
                        temperature=self.recipe.sampling.temperature,
                        clip=self.recipe.optimiser.clip,
                        beside=self.ptx.at(done) if self.ptx else None,
                        layout=config.layout,
                    )
                )
        names = {name for metrics in seen for name in metrics}
        means = {n: sum(m[n] for m in seen if n in m) / sum(n in m for m in seen) for n in sorted(names)}
        means |= {n: seen[0][n] for n in ("logprob_gap", "logprob_gap_max") if n in seen[0]}
        return means


def minibatches(batch: Batch, updates: int, seed: int, step: int, epoch: int) -> list[Batch]:
    """The batch cut into ``updates`` parts of whole groups, in an order keyed by (seed, step, epoch).

    Fewer groups (dynamic sampling found no more) make fewer parts.
    """
    group_B, groups = compact(batch.group)
    updates = min(updates, groups)
    if updates <= 1:
        return [batch]
    order = generator(seed, "minibatch", step, epoch).permutation(groups)
    part_of_group = torch.empty(groups, dtype=torch.int64)
    for part in range(updates):
        part_of_group[torch.from_numpy(order[part::updates].copy())] = part
    part_B = part_of_group.to(group_B.device)[group_B]
    return [batch.rows(torch.nonzero(part_B == part).squeeze(-1)) for part in range(updates)]


def _mean(values_BT: torch.Tensor, batch: Batch) -> float:
    return float(values_BT[batch.train].mean()) if bool(batch.train.any()) else 0.0


def _per_episode(values_BT: torch.Tensor, batch: Batch) -> float:
    """Sum over trained tokens by episodes that have any."""
    episodes = compact(batch.episode[batch.train.any(-1)])[1]
    return float(values_BT[batch.train].sum()) / episodes if episodes else 0.0


def _outcomes(trajectories: list[Trajectory]) -> dict[tuple[int, int, int], Outcome]:
    return {(t.group, t.sample, number): turn.outcome for t in trajectories for number, turn in enumerate(t.turns)}
