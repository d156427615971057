"""One optimiser step: micro-batches in, one gradient out, the same whatever their size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hone.algorithms.base import Algorithm, State
from hone.core.batch import Batch, compact
from hone.core.spans import span
from hone.core.terms import Normaliser
from hone.models.learner import Learner


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
) -> dict[str, float]:
    """Accumulate the gradient of ``batch`` over micro-batches and step the optimiser once.

    Denominators come from the whole batch before it is cut (law 4). A gradient that is not finite is not applied.

    Args:
        policy: the learner.
        optimiser: over the policy's trainable parameters.
        algorithm: gives the loss terms.
        batch: the rows of one optimiser step, advantages included.
        state: the algorithm's state.
        micro_tokens: most tokens of one forward pass.
        temperature: the sampler's, so that the learner's distribution is the same (law 5).
        clip: largest gradient norm, 0 for none.
        beside: a second loss to add; scored at temperature 1.

    Returns:
        Every term's reduced value by name, ``loss``, ``grad_norm``, and ``logprob_gap`` and ``logprob_gap_max``: mean
        and largest |log-prob of the learner − of the sampler| over the trained tokens.
    """
    optimiser.zero_grad(set_to_none=True)
    totals, gaps = _accumulate(policy, algorithm, batch, state, micro_tokens, temperature)
    if beside is not None:
        its = beside.algorithm
        more, _ = _accumulate(policy, its, beside.batch, its.init_state(), micro_tokens, 1.0, beside.weight)
        totals |= {beside.name: more["loss"] / beside.weight, "loss": totals["loss"] + more["loss"]}
    gap = torch.cat(gaps) if gaps else torch.zeros(0)
    trained = [p for g in optimiser.param_groups for p in g["params"] if p.grad is not None]
    with span("optimiser"):
        norm = float(torch.nn.utils.clip_grad_norm_(trained, clip or float("inf"))) if trained else 0.0
        if norm == norm and norm != float("inf"):
            optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    gap_metrics = {"logprob_gap": float(gap.mean()), "logprob_gap_max": float(gap.max())} if len(gap) else {}
    return {**totals, "grad_norm": norm, **gap_metrics}


def _accumulate(
    policy: Learner,
    algorithm: Algorithm,
    batch: Batch,
    state: State,
    micro_tokens: int,
    temperature: float,
    weight: float = 1.0,
) -> tuple[dict[str, float], list[Tensor]]:
    """Add ``weight`` times the gradient of a batch; terms by name, weighted loss, |learner − sampler| log-probs."""
    weights: dict[Normaliser, Tensor] = {}
    totals: dict[str, float] = {"loss": 0.0}
    gaps: list[Tensor] = []
    for index in micro_batches(batch, algorithm.unit, micro_tokens):
        micro = batch.rows(index)
        with span("forward"):
            scores = policy.score(micro, needs=algorithm.needs, temperature=temperature)
        loss = torch.zeros((), device=micro.tokens.device)
        for name, term in algorithm.loss(micro, scores, state).items():
            if term.normaliser not in weights:
                weights[term.normaliser] = term.normaliser.weights(batch)
            reduced = term.reduce(weights[term.normaliser][index, : micro.tokens.shape[1]])
            totals[name] = totals.get(name, 0.0) + float(reduced.detach())
            if term.coefficient:
                loss = loss + weight * term.coefficient * reduced
        if loss.requires_grad:
            with span("backward"):
                torch.autograd.backward(loss)
        totals["loss"] += float(loss.detach())
        gaps.append((scores.logprob.detach() - micro.behaviour_logprob)[micro.train & micro.sampled].abs())
    return totals, gaps


def micro_batches(batch: Batch, unit: str, micro_tokens: int) -> Iterator[Tensor]:
    """Row indices of micro-batches: longest rows first, at most ``micro_tokens`` padded tokens each, units whole.

    The cut depends on shapes alone, so a resumed run makes the same one (law 11).
    """
    length_B = batch.mask.sum(-1)
    if unit == "group":
        unit_B, count = compact(batch.group)
        order = torch.arange(count)
    else:
        unit_B = torch.arange(len(batch), device=length_B.device)
        order = torch.argsort(length_B, descending=True, stable=True).cpu()
    rows_of = _rows_by_unit(unit_B.tolist())
    lengths = length_B.tolist()
    current: list[int] = []
    width = 0
    for number in order.tolist():
        rows = rows_of[number]
        wider = max(width, *(lengths[row] for row in rows))
        if current and wider * (len(current) + len(rows)) > micro_tokens:
            yield torch.tensor(current, device=length_B.device)
            current, wider = [], max(lengths[row] for row in rows)
        current, width = current + rows, wider
    if current:
        yield torch.tensor(current, device=length_B.device)


def _rows_by_unit(units: list[int]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for row, number in enumerate(units):
        rows.setdefault(number, []).append(row)
    return rows
