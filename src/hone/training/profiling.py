"""A few steps of an online recipe, with an eye on where their time and memory go."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hone.core.memory import take_peak
from hone.core.spans import Event, Recorder, recording
from hone.core.types import Completion
from hone.engines.base import Engine, Request
from hone.engines.embedded import EmbeddedEngine
from hone.models.limits import matrix_parameters, matrix_product_rate, synchronise
from hone.models.logits import inner
from hone.models.policy import Policy
from hone.models.precision import compute_dtype
from hone.training.online import train_online
from hone.training.phases import Phase, phases
from hone.training.recipe import EngineConfig, Recipe, RunConfig
from hone.training.run import Run
from hone.training.sampler import engine_for, settle

WATCHED = ("rollout", "rows", "score", "learn", "backward", "optimiser", "checkpoint", "evaluate")


@dataclass(frozen=True)
class Profile:
    """What a step of a recipe does with its time; all numbers are means per step, the first step left out.

    Attributes:
        recipe: what was run.
        steps: steps that were measured.
        seconds: of a step, with its share of what does not happen in every step.
        phases: by name, in the order of a step.
        sampled: tokens sampled.
        real: tokens learnt from, prompts included, times epochs.
        duplicated: of those, prompt tokens that another row of the batch has too.
        processed: tokens that went through the model while learning; 0 where that cannot be seen.
        requests: completions asked for.
        rows: mean number of completions in flight at a decoding step, of ``slots``.
        slots: most completions in flight.
        zero_signal: share of the groups that taught nothing.
        parameters: weights that every token is multiplied with.
        limit: floating-point operations per second of large matrix products here, in the dtype of computing.
        peak: MiB, the most in any phase.
        device, dtype, threads: what it ran on.
        events: the spans of the measured steps.
    """

    recipe: Recipe
    steps: int
    seconds: float
    phases: Mapping[str, Phase]
    sampled: float
    real: float
    duplicated: float
    processed: float
    requests: float
    rows: float
    slots: int
    zero_signal: float
    parameters: int
    limit: float
    peak: float
    device: str
    dtype: str
    threads: int
    events: Sequence[Event] = field(repr=False, default=())

    def spent(self, *names: str) -> float:
        """Seconds per step of some phases."""
        return sum(self.phases[name].seconds for name in names if name in self.phases)

    @property
    def generation_seconds(self) -> float:
        """Sampling, without the environment."""
        return self.spent("prefill", "decode", "draw", "rollout, rest")

    @property
    def learning_seconds(self) -> float:
        """All of the update."""
        return self.spent("forward", "backward", "optimiser", "learning, rest")

    @property
    def generation_share(self) -> float:
        """Operations that the sampled tokens need (2 per weight), of the machine's limit."""
        return 2 * self.parameters * self.sampled / max(self.generation_seconds, 1e-9) / self.limit

    @property
    def learning_share(self) -> float:
        """Operations that the learnt tokens need (6 per weight, each token of the batch), of the machine's limit."""
        return 6 * self.parameters * self.real / max(self.learning_seconds, 1e-9) / self.limit


def profile(recipe: Recipe, policy: Policy, *, steps: int = 4) -> Profile:
    """Run ``steps + 1`` steps in a folder that is deleted afterwards and measure all but the first.

    What the recipe does now and then (evaluation, checkpoints, samples) is done once and shared out over the steps
    between two times.

    Args:
        recipe: any online recipe; its run directory is not touched.
        policy: its model; it is trained.
        steps: how many to measure.

    Raises:
        HoneError: anything that training by the recipe would refuse.
    """
    device = policy.device
    dtype = compute_dtype(policy.model)
    recorder = Recorder(partial(synchronise, device), _peak_of(device), WATCHED)
    limit = matrix_product_rate(dtype, device)
    with tempfile.TemporaryDirectory(prefix="hone-profile-") as folder:
        run = _MarkedRun(Path(folder) / "run", recorder)
        short = dataclasses.replace(recipe, run=_short(recipe.run, run.path, steps + 1))
        short = dataclasses.replace(short, engine=EngineConfig())
        engine = _Asked(engine_for(settle(recipe, policy, None), policy), recorder)
        with recording(recorder), _counting(policy, recorder):
            train_online(short, policy, run, engine=engine)
    first, last = run.marks[0], run.marks[-1]
    events = recorder.events[first.events : last.events]
    logged = [mark.metrics for mark in run.marks[1:]]
    found = phases(recorder.events, events, last.at - first.at, steps, recipe, recorder.memory)
    asked = [prompts for events_before, prompts in engine.asked if events_before >= first.events]
    decode = [e.counts["rows"] for e in events if e.path[-1] == "decode" and "evaluate" not in e.path]
    return Profile(
        recipe=recipe,
        steps=steps,
        seconds=sum(phase.seconds for phase in found.values()),
        phases=found,
        sampled=_mean([row["tokens"] for row in logged]),
        real=_mean([row["tokens_per_second_learning"] * row["seconds_learn"] for row in logged]),
        duplicated=sum(_repeats(prompts) for prompts in asked) / steps * recipe.batch.epochs,
        processed=sum(e.counts.get("tokens", 0.0) for e in events if "learn" in e.path) / steps,
        requests=sum(prompts.total() for prompts in asked) / steps,
        rows=_mean(decode),
        slots=engine.slots,
        zero_signal=_mean([row["zero_signal"] for row in logged]),
        parameters=matrix_parameters(policy.model),
        limit=limit,
        peak=max(recorder.memory.values()),
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        events=events,
    )


@dataclass(frozen=True)
class _Mark:
    events: int
    at: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class _MarkedRun(Run):
    """A run that remembers which spans had ended when a step's line of metrics was written."""

    recorder: Recorder
    marks: list[_Mark] = field(default_factory=list)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        super().log(step, metrics)
        self.marks.append(_Mark(len(self.recorder.events), time.perf_counter(), dict(metrics)))


class _Asked(Engine):
    """An engine that notes the first prompts of training rollouts: the spans before them, how often each is there."""

    def __init__(self, engine: EmbeddedEngine, recorder: Recorder) -> None:
        self.engine, self.recorder = engine, recorder
        self.asked: list[tuple[int, Counter[tuple[int, ...]]]] = []
        self._opening = False

    @property
    def slots(self) -> int:
        """The engine's."""
        return self.engine.slots

    def submit(self, requests: Sequence[Request]) -> None:
        names = [s.name for s in self.recorder.open]
        if self._opening and "rollout" in names:
            self.asked.append((len(self.recorder.events), Counter(request.prompt for request in requests)))
        self._opening = False
        self.engine.submit(requests)

    def collect(self) -> list[tuple[Hashable, Completion]]:
        return self.engine.collect()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return self.engine.generate(requests)

    def sync(self, policy_version: int) -> None:
        self._opening = True
        self.engine.sync(policy_version)


@contextmanager
def _counting(policy: Policy, recorder: Recorder) -> Iterator[None]:
    """Count the tokens that enter a forward pass in the span it happens in; a frozen copy of the model counts too."""

    def count(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        recorder.count("tokens", inputs[0].numel())

    hook = inner(policy.model).get_input_embeddings().register_forward_pre_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _short(run: RunConfig, out: Path, steps: int) -> RunConfig:
    """A run of so many steps in which everything that happens now and then happens in the last one."""
    every = {name: steps for name in ("evaluate_every", "rollouts_every", "reference_every") if getattr(run, name) > 0}
    return dataclasses.replace(run, out=str(out), steps=steps, save_every=steps, tensorboard=False, wandb=None, **every)


def _peak_of(device: torch.device) -> Any:
    if device.type != "cuda":
        return take_peak

    def on_gpu() -> float:
        found = torch.cuda.max_memory_allocated(device) / 2**20
        torch.cuda.reset_peak_memory_stats(device)
        return found

    return on_gpu


def _repeats(prompts: Counter[tuple[int, ...]]) -> float:
    return float(sum((count - 1) * len(prompt) for prompt, count in prompts.items()))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
