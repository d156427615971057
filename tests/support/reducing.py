"""What a training loop does with an algorithm's terms: weights of the whole batch, then micro-batches."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from hone.algorithms.base import Algorithm, credited
from hone.core.batch import Batch
from hone.models.score import Scores


def total_loss(
    algorithm: Algorithm,
    batch: Batch,
    logprob_BT: Tensor,
    value_BT: Tensor | None = None,
    parts: Iterable[list[int]] | None = None,
) -> tuple[float, dict[str, float]]:
    """The loss and every term of a batch with its advantages; gradients accumulate in the leaf tensors given.

    ``parts`` are the micro-batches as lists of rows; by default one of all rows. The columns of a micro-batch
    are cut to its longest row, as a loop would.
    """
    state = algorithm.init_state()
    loss, named = 0.0, dict[str, float]()
    for part in [list(range(len(batch)))] if parts is None else parts:
        index = torch.tensor(part, dtype=torch.int64)
        micro = batch.rows(index)
        width = micro.tokens.shape[1]
        scores = Scores(logprob_BT[index, :width], value=None if value_BT is None else value_BT[index, :width])
        summed = torch.zeros(())
        for name, term in algorithm.loss(micro, scores, state).items():
            reduced = term.reduce(term.normaliser.weights(batch)[index, :width])
            named[name] = named.get(name, 0.0) + float(reduced.detach())
            summed = summed + term.coefficient * reduced
        summed.backward()  # type: ignore[no-untyped-call]
        loss += float(summed.detach())
    return loss, named


def with_advantages(algorithm: Algorithm, batch: Batch) -> Batch:
    return credited(algorithm, batch, algorithm.init_state())[0]
