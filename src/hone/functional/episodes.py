"""Episodes out of rows: gather the action tokens of every episode, in order, and scatter them back.

An episode may be one row with observations between its turns, or many rows (sliding contexts, re-rendered
histories). Credit knows neither: it works on matrices [E,A] that hold action tokens only, so observation
tokens, padding and the borders of rows vanish.

Dimensions: B rows, T positions, E episodes, A action tokens of the longest episode, U turns of the longest
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hone.core.batch import Batch, compact


@dataclass(frozen=True)
class Episodes:
    """Where the action tokens of every episode stand in a batch. Matrices are right-padded.

    Attributes:
        row_B: [B] number of the episode a row belongs to, 0..E-1 (in the order of the ids).
        last_E: [E] the last row of an episode: its ``bootstrap`` and ``terminated`` are the episode's.
        group_E: [E] the group of an episode.
        mask_EA: [E,A] bool, an action token.
        mask_EU: [E,U] bool, a turn with at least one action token.
        flat_EA: [E,A] position of an action token in the flattened [B,T]; 0 on padding.
        turn_EA: [E,A] number of the turn within its episode, counted from 0; 0 on padding.
        first_EA: [E,A] bool, the first action token of its turn.
        shape: (B, T).
    """

    row_B: Tensor
    last_E: Tensor
    group_E: Tensor
    mask_EA: Tensor
    mask_EU: Tensor
    flat_EA: Tensor
    turn_EA: Tensor
    first_EA: Tensor
    shape: tuple[int, int]

    @classmethod
    def index(cls, batch: Batch, mask_BT: Tensor) -> Episodes:
        """Index the tokens of ``mask_BT`` (``batch.sampled`` for credit): rows by step, then by position.

        A turn ends where the turn number or the row changes: one action is never split over rows.
        """
        rows, width = mask_BT.shape
        device = mask_BT.device
        row_B, count = compact(batch.episode)
        order_B = torch.argsort(batch.step, stable=True)
        order_B = order_B[torch.argsort(row_B[order_B], stable=True)]
        last_E = order_B[torch.bincount(row_B, minlength=count).cumsum(0) - 1]

        # N action tokens, sorted by episode, then by step, then by position
        ordered_N, position_N = mask_BT[order_B].nonzero(as_tuple=True)
        token_row_N = order_B[ordered_N]
        episode_N = row_B[token_row_N]
        length_E = torch.bincount(episode_N, minlength=count)
        longest = int(length_E.max()) if count else 0
        mask_EA = torch.arange(longest, device=device) < length_E[:, None]

        start_N = torch.ones_like(episode_N, dtype=torch.bool)
        turn_N = batch.turn[token_row_N, position_N]
        start_N[1:] = (turn_N[1:] != turn_N[:-1]) | (token_row_N[1:] != token_row_N[:-1])
        turns_E = torch.zeros(count, dtype=torch.int64, device=device).index_add(0, episode_N, start_N.long())
        before_E = turns_E.cumsum(0) - turns_E
        number_N = start_N.cumsum(0) - 1 - before_E[episode_N]
        most = int(turns_E.max()) if count else 0

        def fill(values_N: Tensor) -> Tensor:
            matrix = torch.zeros(count, longest, dtype=values_N.dtype, device=device)
            matrix[mask_EA] = values_N
            return matrix

        return cls(
            row_B=row_B,
            last_E=last_E,
            group_E=batch.group[last_E],
            mask_EA=mask_EA,
            mask_EU=torch.arange(most, device=device) < turns_E[:, None],
            flat_EA=fill(token_row_N * width + position_N),
            turn_EA=fill(number_N),
            first_EA=fill(start_N),
            shape=(rows, width),
        )

    def __len__(self) -> int:
        return int(self.mask_EA.shape[0])

    def gather(self, x_BT: Tensor) -> Tensor:
        """[E,A] the action tokens' entries of a column; 0 on padding."""
        return _keep(self.mask_EA, x_BT.reshape(-1)[self.flat_EA])

    def scatter(self, x_EA: Tensor) -> Tensor:
        """[B,T] the entries at their tokens; 0 elsewhere. Inverse of :meth:`gather` on the action tokens."""
        flat = x_EA.new_zeros(self.shape[0] * self.shape[1])
        flat = flat.index_put((self.flat_EA[self.mask_EA],), x_EA[self.mask_EA])
        return flat.reshape(self.shape)

    def total(self, x_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """[E] sum of a column over an episode's tokens of ``mask_BT``, whatever rows they stand in.

        Summed in float64, so that equal outcomes stay equal however their rewards were spread over turns and
        rows: a difference in the last digit would be signal to a group's baseline.
        """
        row_sum_B = _keep(mask_BT, x_BT).double().sum(-1)
        return row_sum_B.new_zeros(len(self)).index_add(0, self.row_B, row_sum_B).to(x_BT.dtype)

    def spread(self, x_E: Tensor, mask_BT: Tensor) -> Tensor:
        """[B,T] the episode's number on all its tokens of ``mask_BT``; 0 elsewhere."""
        return _keep(mask_BT, x_E[self.row_B][:, None].expand(self.shape))

    def turn_sum(self, x_EA: Tensor) -> Tensor:
        """[E,U] sum over the action tokens of each turn."""
        zeros = x_EA.new_zeros(self.mask_EU.shape)
        return zeros.scatter_add(1, self.turn_EA, _keep(self.mask_EA, x_EA))

    def turn_first(self, x_EA: Tensor) -> Tensor:
        """[E,U] the entry at the first action token of each turn."""
        return self.turn_sum(_keep(self.first_EA, x_EA))

    def turn_spread(self, x_EU: Tensor) -> Tensor:
        """[E,A] the turn's number on all its action tokens."""
        return _keep(self.mask_EA, x_EU.gather(1, self.turn_EA))


def _keep(mask: Tensor, x: Tensor) -> Tensor:
    """``x`` on the mask and 0 elsewhere, also where x is not finite."""
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))
