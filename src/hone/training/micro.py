"""How a batch is cut into forward passes. The cut depends on tokens and shapes alone (law 11)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from hone.core.batch import Batch, compact
from hone.models.prefixes import common_prefixes


def micro_batches(batch: Batch, unit: str, micro_tokens: int, *, distinct: bool = False) -> Iterator[Tensor]:
    """Row indices of micro-batches of at most ``micro_tokens`` tokens each; a unit that is larger stays whole.

    Args:
        batch: rows of tokens.
        unit: what may not be split: "group", or anything else for rows.
        micro_tokens: most tokens.
        distinct: count tokens that rows begin with in common once and no padding, and cut so that rows with much in
            common stay together; otherwise count padded tokens, the longest rows first.
    """
    cut = _distinct(batch, unit, micro_tokens) if distinct else _padded(batch, unit, micro_tokens)
    for rows in cut:
        yield torch.tensor(rows, device=batch.mask.device)


def _padded(batch: Batch, unit: str, micro_tokens: int) -> Iterator[list[int]]:
    lengths = batch.mask.sum(-1).tolist()
    order = range(len(batch)) if unit == "group" else sorted(range(len(batch)), key=lambda row: -lengths[row])
    current: list[int] = []
    width = 0
    for rows in _units(batch, unit, order):
        own = max(lengths[row] for row in rows)
        wider = max(width, own)
        if current and wider * (len(current) + len(rows)) > micro_tokens:
            yield current
            current, wider = [], own
        current, width = current + rows, wider
    if current:
        yield current


def _distinct(batch: Batch, unit: str, micro_tokens: int) -> Iterator[list[int]]:
    length_B = batch.mask.sum(-1)
    if int(length_B.sum()) <= micro_tokens:
        if len(batch):
            yield list(range(len(batch)))
        return
    lengths = length_B.tolist()
    order, common = common_prefixes(batch.tokens.cpu().numpy(), length_B.cpu().numpy())
    shared = dict(zip(pairwise(order.tolist()), common[1:].tolist(), strict=False))
    current: list[int] = []
    count = 0
    for rows in _units(batch, unit, order.tolist()):
        alone = sum(lengths[row] for row in rows) - sum(shared.get(pair, 0) for pair in pairwise(rows))
        more = alone - (shared.get((current[-1], rows[0]), 0) if current else 0)
        if current and count + more > micro_tokens:
            yield current
            current, count, more = [], 0, alone
        current, count = current + rows, count + more
    if current:
        yield current


def _units(batch: Batch, unit: str, order: Iterator[int] | range | list[int]) -> list[list[int]]:
    """Rows by unit, units in the order in which their first row comes."""
    if unit != "group":
        return [[row] for row in order]
    group = compact(batch.group)[0].tolist()
    rows: dict[int, list[int]] = {}
    for row in order:
        rows.setdefault(group[row], []).append(row)
    return list(rows.values())
