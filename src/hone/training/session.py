"""What every loop shares: steps from where the run stands, a line of metrics each, checkpoints, exact resume.

A loop is a function ``body(step) -> metrics``; all its randomness must be keyed by the step.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from hone.algorithms.base import Algorithm, State
from hone.core.errors import HoneError
from hone.core.files import write_json
from hone.core.progress import Progress
from hone.core.spans import span
from hone.models.learner import Learner
from hone.models.policy import Policy
from hone.training.optimiser import learning_rate, load_optimiser, make_optimiser, save_optimiser
from hone.training.recipe import OptimiserConfig, RunConfig
from hone.training.run import Run

Metrics = dict[str, float]


class Tracker(Protocol):
    """Anywhere metrics go besides metrics.jsonl."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take one step's metrics."""


class Session:
    """A learner in training inside a run directory.

    Attributes:
        state: the algorithm's state, replaced after every step.
        best: highest held-out accuracy so far and its step.
        resumed: this process went on from a checkpoint.
    """

    def __init__(
        self, run: Run, policy: Learner, algorithm: Algorithm, optimiser: OptimiserConfig, config: RunConfig
    ) -> None:
        self.run, self.policy, self.algorithm = run, policy, algorithm
        self.config, self.schedule = config, optimiser
        if "value" in algorithm.needs and isinstance(policy, Policy):
            policy.add_values()
        self.optimiser = make_optimiser(list(policy.trainable()), optimiser)
        self.state: State = algorithm.init_state()
        self.best: tuple[float, int] | None = None
        self.resumed = False
        for key, package in (("tensorboard", "tensorboard"), ("wandb", "wandb")):
            if getattr(config, key) and importlib.util.find_spec(package) is None:
                raise HoneError(f"run.{key} needs a package", do=f"pip install {package}")

    def drive(
        self,
        title: str,
        body: Callable[[int], Metrics],
        *,
        resume: bool,
        note: str = "reward",
        publish: Callable[[Path], None] | None = None,
    ) -> None:
        """Run ``body`` for every step that is left and publish the final model (by ``publish``, or as it is saved).

        A step's line of metrics holds the seconds of the checkpoint *before* it: the line is written ahead of the
        step's own checkpoint, so that a crash between the two makes the step again instead of losing its line.
        """
        self.resumed = resume
        trackers = _trackers(self.config)
        start = self._restore() if resume else 0
        checkpoint: Metrics = {}
        with _unsearched(), Progress(title, self.config.steps, done=start) as bar:
            for step in range(start + 1, self.config.steps + 1):
                began = time.perf_counter()
                rate = learning_rate(self.schedule, step, self.config.steps)
                for group in self.optimiser.param_groups:
                    group["lr"] = rate * group["scale"]
                metrics = {**body(step), "lr": rate}
                self.state = self.algorithm.update_state(self.state, metrics)
                metrics |= {"seconds_step": time.perf_counter() - began, **checkpoint}
                with span("metrics"):
                    for log in (self.run.log, *(tracker.log for tracker in trackers)):
                        log(step, metrics)
                due = step % self.config.save_every == 0 or step == self.config.steps
                checkpoint = self._checkpoint(step, metrics) if due else {}
                bar.advance(f"{note} {metrics[note]:.3f}" if note in metrics else "")
        self.run.publish(publish or self.policy.save)

    def _checkpoint(self, step: int, metrics: Metrics) -> Metrics:
        began = time.perf_counter()
        if "accuracy" in metrics and (self.best is None or metrics["accuracy"] > self.best[0]):
            self.best = (metrics["accuracy"], step)
        with span("checkpoint"), self.run.new_checkpoint(step) as folder:
            self.policy.save(folder / "model")
            save_optimiser(self.optimiser, folder / "optimiser.safetensors")
            write_json(folder / "state.json", {"step": step, "algorithm": asdict(self.state), "best": self.best})
        self.run.prune(keep=self.best[1] if self.best else None)
        return {"seconds_checkpoint": time.perf_counter() - began}

    def _restore(self) -> int:
        """Load the latest checkpoint; 0 where there is none yet. Returns its step."""
        checkpoints = self.run.checkpoints()
        if not checkpoints:
            self.run.rewind(0)
            return 0
        step, folder = checkpoints[-1]
        self.policy.restore(folder / "model")
        load_optimiser(self.optimiser, folder / "optimiser.safetensors")
        saved = json.loads((folder / "state.json").read_text())
        self.state = dataclasses.replace(self.state, **saved["algorithm"])
        self.best = tuple(saved["best"]) if saved["best"] else None
        self.run.rewind(step)
        return step


@contextmanager
def _unsearched() -> Iterator[None]:
    """What exists already is no garbage: searching what the libraries keep costs a small run 3 % of its time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def timed(metrics: Metrics, name: str) -> AbstractContextManager[None]:
    """Add the seconds a block took to ``metrics["seconds_" + name]``; the block is a span of that name too."""
    return _Timer(metrics, name)


class _Timer(AbstractContextManager[None]):
    def __init__(self, metrics: Metrics, name: str) -> None:
        self.metrics, self.name, self.span = metrics, f"seconds_{name}", span(name)

    def __enter__(self) -> None:
        self.span.__enter__()
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.metrics[self.name] = self.metrics.get(self.name, 0.0) + time.perf_counter() - self.began
        self.span.__exit__(None, None, None)


def _trackers(config: RunConfig) -> list[Tracker]:
    trackers: list[Tracker] = []
    if config.tensorboard:
        trackers.append(_TensorBoard(Path(config.out)))
    if config.wandb:
        trackers.append(_WeightsAndBiases(config.wandb, config))
    return trackers


class _TensorBoard:
    def __init__(self, out: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(out / "tensorboard"))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()


class _WeightsAndBiases:
    def __init__(self, project: str, config: RunConfig) -> None:
        import wandb

        self.run: Any = wandb.init(project=project, name=Path(config.out).name, config=asdict(config))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.run.log(dict(metrics), step=step)
