"""One optimiser step: micro-batches in, one gradient out, the same whatever their size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hone.algorithms.base import Algorithm, State
from hone.core.batch import Batch
from hone.core.spans import span
from hone.core.terms import Normaliser
from hone.models.config import Layout
from hone.models.learner import Learner
from hone.training.micro import micro_batches


@dataclass(frozen=True)
class Beside:
    """A second loss in the same optimiser step: other rows, another algorithm, denominators of its own.

    Attributes:
        name: its metric.
        algorithm: gives the loss terms.
        batch: its rows.
        weight: factor of its loss.
    """

    name: str
    algorithm: Algorithm
    batch: Batch
    weight: float


def update(
    policy: Learner,
    optimiser: torch.optim.Optimizer,
    algorithm: Algorithm,
    batch: Batch,
    state: State,
    *,
    micro_tokens: int,
    temperature: float = 1.0,
    clip: float = 1.0,
    beside: Beside | None = None,
    layout: Layout = "auto",
) -> dict[str, float]:
    """Accumulate the gradient of ``batch`` over micro-batches and step the optimiser once.

    Denominators come from the whole batch before it is cut (law 4). A gradient that is not finite is not applied.

    Args:
        policy: the learner.
        optimiser: over the policy's trainable parameters.
        algorithm: gives the loss terms.
        batch: the rows of one optimiser step, advantages included.
        state: the algorithm's state.
        micro_tokens: most tokens of one forward pass; with padding only where that is computed.
        temperature: the sampler's, so that the learner's distribution is the same (law 5).
        clip: largest gradient norm, 0 for none.
        beside: a second loss to add; scored at temperature 1.
        layout: of the rows in the forward passes; see :mod:`hone.models.layout`.

    Returns:
        Every term's reduced value by name, ``loss``, ``grad_norm``, and ``logprob_gap`` and ``logprob_gap_max``: mean
        and largest |log-prob of the learner − of the sampler| over the trained tokens.
    """
    optimiser.zero_grad(set_to_none=True)
    terms, gaps = _accumulate(policy, algorithm, batch, state, micro_tokens, temperature, layout)
    if beside is not None:
        its = beside.algorithm
        more, _ = _accumulate(
            policy, its, beside.batch, its.init_state(), micro_tokens, 1.0, layout, weight=beside.weight
        )
        terms |= {beside.name: more["loss"] / beside.weight, "loss": terms["loss"] + more["loss"]}
    gap = torch.cat(gaps) if gaps else torch.zeros(0)
    if len(gap):
        terms |= {"logprob_gap": gap.mean(), "logprob_gap_max": gap.max()}
    trained = [p for g in optimiser.param_groups for p in g["params"] if p.grad is not None]
    with span("optimiser"):
        if trained:
            terms["grad_norm"] = torch.nn.utils.clip_grad_norm_(trained, clip or float("inf"))
        # The only time that the program waits for the device's numbers.
        metrics = dict(zip(terms, torch.stack([x.float() for x in terms.values()]).tolist(), strict=True))
        if math.isfinite(metrics.setdefault("grad_norm", 0.0)):
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return metrics


def _accumulate(
    policy: Learner,
    algorithm: Algorithm,
    batch: Batch,
    state: State,
    micro_tokens: int,
    temperature: float,
    layout: Layout,
    *,
    weight: float = 1.0,
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Add ``weight`` times the gradient of a batch; terms by name, weighted loss, |learner − sampler| log-probs."""
    weights: dict[Normaliser, Tensor] = {}
    totals = {"loss": torch.zeros((), device=batch.tokens.device)}
    gaps: list[Tensor] = []
    for index in micro_batches(batch, algorithm.unit, micro_tokens, distinct=policy.skips_padding(layout)):
        micro = batch.rows(index)
        with span("forward"):
            scores = policy.score(micro, needs=algorithm.needs, temperature=temperature, layout=layout)
        loss = torch.zeros((), device=micro.tokens.device)
        for name, term in algorithm.loss(micro, scores, state).items():
            if term.normaliser not in weights:
                weights[term.normaliser] = term.normaliser.weights(batch)
            reduced = term.reduce(weights[term.normaliser][index, : micro.tokens.shape[1]])
            totals[name] = totals[name] + reduced.detach() if name in totals else reduced.detach()
            if term.coefficient:
                loss = loss + weight * term.coefficient * reduced
        if loss.requires_grad:
            with span("backward"):
                torch.autograd.backward(loss)
        totals["loss"] = totals["loss"] + loss.detach()
        gaps.append((scores.logprob.detach() - micro.behaviour_logprob)[micro.train & micro.sampled].abs())
    return totals, gaps
