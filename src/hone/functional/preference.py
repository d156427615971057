"""Losses of what people said about answers. Not reduced: one number per row, for a normaliser to average.

People's judgement of a row is a number, its *worth*, and only its order or its size counts: of a comparison 1 and 0,
of a ranking minus the rank, of a thumb 1 or 0, of a rating the score. Rows of one group answer the same prompt.

Letters: B rows (answers), P pairs of rows of one group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own custom)

from hone.core.batch import compact


def bradley_terry_loss(gap: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """``−log σ(r_c − r_r − m)``, elementwise over ``gap = r_c − r_r``; exact for gaps of any size.

    Bradley and Terry (1952); the margin is Llama 2's (arXiv 2307.09288).
    """
    return -F.logsigmoid(gap - margin)


def logistic_loss(score: Tensor, target: Tensor) -> Tensor:
    """``−t log σ(r) − (1 − t) log σ(−r)``: σ(r) is the probability of a thumb up, t is 1 for up, 0 for down."""
    return F.binary_cross_entropy_with_logits(score, target, reduction="none")


@dataclass(frozen=True)
class Pairs:
    """All pairs of rows of one group, the better one first.

    Attributes:
        better_P, worse_P: [P] indices of rows; of a tie the earlier row comes first.
        gap_P: [P] difference of their worths, at least 0; 0 is a tie.
        rows: B.
    """

    better_P: Tensor
    worse_P: Tensor
    gap_P: Tensor
    rows: int

    @classmethod
    def of(cls, group_B: Tensor, worth_B: Tensor) -> Pairs:
        """The pairs of a batch."""
        group_B, _ = compact(group_B)
        order_B = torch.argsort(group_B, stable=True)
        counts = torch.bincount(group_B).tolist()
        first, parts = 0, []
        for count in counts:
            if count > 1:
                parts.append(first + torch.combinations(torch.arange(count, device=group_B.device)))
            first += count
        pairs_P2 = order_B[torch.cat(parts)] if parts else group_B.new_zeros((0, 2))
        i_P, j_P = pairs_P2[:, 0], pairs_P2[:, 1]
        swap_P = worth_B[j_P] > worth_B[i_P]
        better_P, worse_P = torch.where(swap_P, j_P, i_P), torch.where(swap_P, i_P, j_P)
        return cls(better_P, worse_P, worth_B[better_P] - worth_B[worse_P], len(group_B))

    def difference(self, score_B: Tensor) -> Tensor:
        """[P] the better row's score less the other's."""
        return score_B[self.better_P] - score_B[self.worse_P]

    def share(self, value_P: Tensor) -> Tensor:
        """[B] every pair's value, half on each of its rows."""
        half_P = 0.5 * value_P
        zeros = half_P.new_zeros(self.rows)
        return zeros.index_add(0, self.better_P, half_P).index_add(0, self.worse_P, half_P)


def preference_loss(pairs: Pairs, score_B: Tensor, margin: float = 0.0) -> Tensor:
    """[P] Bradley-Terry loss of every pair; a tie counts half each way: ``−½ log σ(Δ) − ½ log σ(−Δ)``.

    Args:
        pairs: who is better.
        score_B: the model's scores.
        margin: asked for per unit of difference in worth: ``m = margin · (worth_c − worth_r)``.
    """
    difference_P = pairs.difference(score_B)
    won_P = bradley_terry_loss(difference_P, margin * pairs.gap_P)
    tied_P = 0.5 * (bradley_terry_loss(difference_P) + bradley_terry_loss(-difference_P))
    return torch.where(pairs.gap_P > 0, won_P, tied_P)


def centring(pairs: Pairs, score_B: Tensor) -> Tensor:
    """[P] ``(r_c + r_r)²``: pulls scores to mean 0, which a loss of differences leaves free."""
    return (score_B[pairs.better_P] + score_B[pairs.worse_P]).square()


def in_order(pairs: Pairs, score_B: Tensor) -> Tensor:
    """[P] 1 where the better row has the higher score, 0 where it has the lower; equal scores and ties are ½."""
    difference_P = pairs.difference(score_B)
    right_P = 0.5 * (difference_P.sign() + 1)
    return torch.where(pairs.gap_P > 0, right_P, torch.full_like(right_P, 0.5))


def group_centred_values(value_B: Tensor, group_B: Tensor) -> Tensor:
    """[B] values less the mean of their group."""
    group_B, count = compact(group_B)
    size_G = torch.bincount(group_B, minlength=count)
    total_G = value_B.new_zeros(count).index_add(0, group_B, value_B)
    return value_B - (total_G / size_G)[group_B]
