"""The likeliest tokens of a frozen model at the tokens of an answer.

Dimensions: B rows, T positions, K tokens, N trained tokens.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hone.core.batch import Batch
from hone.models.logits import forward, inner
from hone.models.precision import computing


def teach(model: nn.Module, batch: Batch, top_k: int, micro: Iterable[Tensor]) -> Batch:
    """The batch with the columns ``teacher_ids`` and ``teacher_logprob``, [B,T,K] each.

    Rows stand in groups of two: the student's, and the same answer in the teacher's context, whose worth is NaN. What
    the teacher thinks at the answer's n-th token goes to the student's n-th.

    Args:
        model: the teacher.
        batch: both kinds of rows.
        top_k: how many tokens; 0 for the whole vocabulary.
        micro: which rows go through the model together.
    """
    vocabulary = inner(model).config.get_text_config().vocab_size
    count = min(top_k or vocabulary, vocabulary)
    shape = (*batch.tokens.shape, count)
    ids_BTK = torch.zeros(shape, dtype=torch.int64, device=batch.tokens.device)
    logprob_BTK = torch.zeros(shape, device=batch.tokens.device)
    teacher_B = ~batch.reward.sum(-1).isfinite()
    with torch.no_grad():
        for index in micro:
            index = index[teacher_B[index]]
            if len(index):
                part = batch.rows(index)
                ids_NK, logprob_NK = _likeliest(model, part, count)
                row_N, at_N = part.train.nonzero(as_tuple=True)
                ids_BTK[index[row_N], at_N], logprob_BTK[index[row_N], at_N] = ids_NK, logprob_NK
    for row in teacher_B.nonzero()[:, 0].tolist():
        (student,) = ((batch.group == batch.group[row]) & ~teacher_B).nonzero()[:, 0].tolist()
        for column in (ids_BTK, logprob_BTK):
            column[student, batch.train[student]] = column[row, batch.train[row]]
    return batch.with_(teacher_ids=ids_BTK, teacher_logprob=logprob_BTK)


def _likeliest(model: nn.Module, batch: Batch, count: int) -> tuple[Tensor, Tensor]:
    row_N, at_N = batch.train.nonzero(as_tuple=True)
    with computing(model):
        run = forward(model, batch.tokens)
        logits_NV = run.head(run.states[row_N, at_N - 1]).float()
    found = torch.log_softmax(logits_NV, -1).topk(count, -1)
    return found.indices, found.values
