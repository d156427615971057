"""The fit stage: an algorithm over examples that are there already. Text, comparisons and ratings all go through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from hone.algorithms.base import Algorithm, State, credited
from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.core.seeding import permutation_index
from hone.core.terms import Normaliser
from hone.data.rows import Example, pad_examples
from hone.models.learner import Learner
from hone.models.policy import Policy, Reference
from hone.training.columns import score_all
from hone.training.micro import micro_batches
from hone.training.recipe import OptimiserConfig, RunConfig
from hone.training.run import Run
from hone.training.session import Metrics, Session, timed
from hone.training.update import update


class Fitting(Protocol):
    """What the fit stage reads of a recipe.

    Attributes:
        algorithm: what the loss is; it may need nothing that only rollouts have.
        rows: examples per optimiser step.
        micro_tokens: most tokens of one forward pass.
        optimiser: AdamW.
        run: the run directory and its length.
    """

    @property
    def algorithm(self) -> Any:
        """What the loss is."""

    @property
    def rows(self) -> int:
        """Examples per optimiser step."""

    @property
    def micro_tokens(self) -> int:
        """Most tokens of one forward pass."""

    @property
    def optimiser(self) -> OptimiserConfig:
        """AdamW."""

    @property
    def run(self) -> RunConfig:
        """The run directory and its length."""


class FitLoop:
    """One step of fitting: the next ``rows`` examples of a keyed stream, one update, perhaps a look at the held-out.

    Args:
        recipe: what the stage reads of a recipe.
        learner: what is trained.
        run: the run directory.
        examples: what to learn from.
        held_out: what to measure on.
    """

    def __init__(
        self, recipe: Fitting, learner: Learner, run: Run, examples: Sequence[Example], held_out: Sequence[Example]
    ) -> None:
        self.recipe, self.learner, self.examples, self.held_out = recipe, learner, examples, held_out
        self.session = Session(run, learner, recipe.algorithm, recipe.optimiser, recipe.run)
        self.reference: Reference | None = None
        if recipe.algorithm.needs & {"ref_logprob", "teacher"}:
            assert isinstance(learner, Policy)
            self.reference = learner.reference()

    def step(self, step: int) -> Metrics:
        """One update; returns the step's metrics."""
        metrics: Metrics = {}
        with timed(metrics, "learn"):
            batch, found = self._credited(self._examples(step))
            seen = update(
                self.learner,
                self.session.optimiser,
                self.recipe.algorithm,
                batch,
                self.session.state,
                micro_tokens=self.recipe.micro_tokens,
                clip=self.recipe.optimiser.clip,
            )
        metrics |= found
        metrics |= {"grad_norm": seen.pop("grad_norm"), "tokens": float(batch.train.sum()), **_named(seen)}
        metrics["tokens_per_second_learning"] = float(batch.mask.sum()) / max(metrics["seconds_learn"], 1e-9)
        every = self.recipe.run.evaluate_every
        if self.held_out and every and step % every == 0:
            with timed(metrics, "evaluate"):
                metrics |= self.validation()
        return metrics

    def validation(self) -> Metrics:
        """The loss and its terms on the held-out examples, ``validation_loss`` and so on."""
        batch, _ = self._credited(self.held_out)
        found = measure(self.learner, self.recipe.algorithm, batch, self.session.state, self.recipe.micro_tokens)
        return {f"validation_{name}": value for name, value in _named(found).items()}

    def _credited(self, examples: Sequence[Example]) -> tuple[Batch, Mapping[str, float]]:
        """A batch with the columns its algorithm needs, computed once before it is cut, and its metrics."""
        batch = pad_examples(examples, self.learner.pad_id).to(self.learner.device)
        needs, size = self.recipe.algorithm.needs, self.recipe.micro_tokens
        if self.reference is not None and "teacher" in needs:
            micro = micro_batches(batch, "row", size)
            batch = self.reference.teach(batch, self.recipe.algorithm.top_k, micro)
        if self.reference is not None and "ref_logprob" in needs:
            batch = batch.with_(ref_logprob=score_all(self.reference, batch, micro_tokens=size).logprob)
        if wanted := needs & {"old_logprob", "value"}:
            before = score_all(self.learner, batch, micro_tokens=size, needs=wanted & {"value"})
            batch = batch.with_(old_logprob=before.logprob, value=before.value)
        return credited(self.recipe.algorithm, batch, self.session.state)

    def _examples(self, step: int) -> list[Example]:
        first, seed = (step - 1) * self.recipe.rows, self.recipe.run.seed
        order = (permutation_index(seed, first + i, len(self.examples)) for i in range(self.recipe.rows))
        return [self.examples[i] for i in order]


def measure(learner: Learner, algorithm: Algorithm, batch: Batch, state: State, micro_tokens: int) -> dict[str, float]:
    """Every term's reduced value by name, and ``loss``, as an update would see them; nothing is learnt."""
    weights: dict[Normaliser, torch.Tensor] = {}
    totals = {"loss": 0.0}
    with torch.no_grad():
        for index in micro_batches(batch, algorithm.unit, micro_tokens, distinct=learner.skips_padding("auto")):
            micro = batch.rows(index)
            scores = learner.score(micro, needs=algorithm.needs)
            for name, term in algorithm.loss(micro, scores, state).items():
                if term.normaliser not in weights:
                    weights[term.normaliser] = term.normaliser.weights(batch)
                reduced = float(term.reduce(weights[term.normaliser][index, : micro.tokens.shape[1]]))
                totals[name] = totals.get(name, 0.0) + reduced
                totals["loss"] += term.coefficient * reduced
    return totals


def check_fits(algorithm: Algorithm, given: frozenset[str] = frozenset()) -> None:
    """Refuse an algorithm that needs what only rollouts have.

    Args:
        algorithm: as the recipe names it.
        given: columns the learner gives beside log-probabilities.

    Raises:
        HoneError: it needs another one.
    """
    if missing := algorithm.needs - given:
        raise HoneError(
            f"{type(algorithm).__name__} does not learn from data of this kind",
            where="algorithm.name",
            got=f"it needs {', '.join(sorted(missing))}",
            expected="an algorithm whose loss reads nothing but the rows",
        )


def _named(terms: dict[str, float]) -> dict[str, float]:
    """The loss and its terms; a term that is the whole loss has no second name."""
    return {"loss": terms["loss"]} if len(terms) == 2 else terms
