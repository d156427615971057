"""RWR: reward-weighted regression (Peters & Schaal 2007), the policy improvement of RISE (arXiv 2407.18219).

An answer is imitated with weight ``exp(r / τ)``, or ``exp((r − mean over the prompt's answers) / τ)``: online on fresh
rollouts, where a prompt is a group, or on logged rows, where it is an example.

Dimensions: B rows, T positions, N answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hone.algorithms._weighted import Weighted
from hone.algorithms.base import State
from hone.core.batch import Batch, compact
from hone.functional.advantages import group_centred
from hone.functional.weights import exponential_weight


@dataclass(frozen=True)
class RWR(Weighted):
    """``L = 1/B Σ_b exp(A_b / τ) · NLL_b`` with the token mean NLL of answer b.

    Every turn of an episode is an answer of its own, worth the reward of that turn: RISE's attempts.

    Attributes:
        centring: "prompt": A is the reward less the mean over all answers to the prompt (the paper), so that easy
            prompts do not outweigh hard ones; "none": the reward itself (the released code).
        credit: an answer is worth its turn's reward, or that of the whole episode.
    """

    centring: Literal["prompt", "none"] = "prompt"
    credit: Literal["turn", "episode"] = "turn"

    @property
    def needs(self) -> frozenset[str]:
        """Nothing but log-probabilities."""
        return frozenset()

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] the weight of a token's answer on train tokens, else 0; answers of failed episodes have none."""
        episode_B, episodes = compact(batch.episode)
        turn_BT = batch.turn if self.credit == "turn" else torch.zeros_like(batch.turn)
        turns = int(turn_BT.max()) + 1 if turn_BT.numel() else 1
        answer_BT = episode_B[:, None] * turns + turn_BT
        answer_M = answer_BT[batch.mask]
        none_N = batch.reward.new_zeros(episodes * turns)
        reward_N = none_N.index_add(0, answer_M, batch.reward[batch.mask])
        failed_E = none_N.new_zeros(episodes).index_add(0, episode_B, (~batch.reward.isfinite()).any(-1).float()) > 0
        valid_N = (none_N.index_fill(0, answer_M, 1.0) > 0) & ~failed_E.repeat_interleave(turns)
        group_N = torch.zeros_like(none_N, dtype=torch.int64).index_copy(0, answer_M, _group(batch)[batch.mask])
        advantage_N = torch.where(valid_N, reward_N, 0.0)
        if self.centring == "prompt":
            advantage_N = group_centred(reward_N, group_N, valid_N)
        weight_N = exponential_weight(advantage_N, self.temperature, self.most)
        return torch.where(batch.train & valid_N[answer_BT], weight_N[answer_BT], 0.0)


def _group(batch: Batch) -> Tensor:
    """[B,T] the group of a token's episode."""
    return batch.group[:, None].expand(batch.tokens.shape)
