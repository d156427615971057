"""RLFT: reinforcement-learning fine-tuning of agents in episodes of fixed length ("LLMs are Greedy Agents", Schmied et
al. 2025, arXiv 2504.16078).

An action is credited with the rewards that follow it, against those that follow the same step in the other episodes of
the same bandit: the parallel episodes are the baseline, and no value network is needed. (Where episodes have different
lengths a step means something else in each: use PPO with ``clock = "turn"``.)

Dimensions: B rows, T positions, E episodes, U turns of the longest episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hone.algorithms._policy_gradient import Clipped
from hone.algorithms.base import State
from hone.core.batch import Batch, compact
from hone.core.terms import Normaliser, Term, Tokens
from hone.functional.advantages import group_centred, leave_one_out, whiten
from hone.functional.episodes import Episodes
from hone.functional.kl import kl_estimate
from hone.functional.returns import discounted_returns
from hone.models.score import Scores


@dataclass(frozen=True)
class RLFT(Clipped):
    """``−min(ρA, clip(ρ)A) + β·KL − c_H·H`` per token, where the tokens of an action share its A.

    With ``G_u = Σ_{v≥u} γ^{v−u} r_v`` of the turns from u on, ``A_u = G_u − mean of G_u over the group's episodes``,
    then whitened over all trained tokens of the step. The paper gives ε = 0.2 and β = 0.05, says that advantages are
    Monte-Carlo rewards-to-go with a baseline, and leaves baseline, γ and estimator of the KL open.

    Attributes:
        discount: γ, per turn.
        baseline: what the mean runs over: all episodes of the group, or all the *others* (then the gradient is
            unbiased); "none" takes the return itself.
        whiten: advantages of a step get mean 0 and deviation 1.
        entropy_weight: c_H, weight of the entropy bonus (exact, over the vocabulary).
    """

    discount: float = 1.0
    baseline: Literal["group", "others", "none"] = "group"
    whiten: bool = True
    entropy_weight: float = 0.0
    beta: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.discount <= 1:
            raise ValueError(f"discount must lie between 0 and 1, not {self.discount}")
        if self.entropy_weight < 0:
            raise ValueError(f"entropy_weight must not be negative, not {self.entropy_weight}")

    @property
    def needs(self) -> frozenset[str]:
        """Also the entropy, if weighted."""
        return super().needs | ({"entropy"} if self.entropy_weight else set())

    @property
    def same_steps(self) -> bool:
        """Whether a turn is compared with the same turn of other episodes, so it must be the same step in each."""
        return self.baseline != "none"

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """Against the group; here an entry is a turn, and its group the same turn of the group's episodes."""
        if self.baseline == "none":
            return torch.where(valid_E, reward_E, torch.zeros_like(reward_E))
        return (group_centred if self.baseline == "group" else leave_one_out)(reward_E, group_E, valid_E)

    def denominator(self) -> Normaliser:
        """All tokens."""
        return Tokens()

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] the turn's return-to-go against the same turn of the group's other episodes."""
        episodes = Episodes.index(batch, batch.sampled)
        reward_EA = episodes.gather(batch.reward)
        valid_E = reward_EA.isfinite().all(-1)
        reward_EU = episodes.turn_sum(torch.where(valid_E[:, None], reward_EA, torch.zeros_like(reward_EA)))
        if self.beta and self.kl_in == "reward":
            logprob_BT = batch.behaviour_logprob if batch.old_logprob is None else batch.old_logprob
            kl_BT = kl_estimate(logprob_BT, batch.need("ref_logprob"), self.kl)
            reward_EU = reward_EU - self.beta * episodes.turn_sum(episodes.gather(kl_BT))
        return_EU = discounted_returns(reward_EU, episodes.mask_EU, self.discount)
        number_E, _ = compact(episodes.group_E)
        turns = return_EU.shape[1]
        group_EU = number_E[:, None] * turns + torch.arange(turns, device=number_E.device)
        valid_EU = episodes.mask_EU & valid_E[:, None]
        advantage_EU = self.credit(return_EU.reshape(-1), group_EU.reshape(-1), valid_EU.reshape(-1))
        advantage_BT = episodes.scatter(episodes.turn_spread(advantage_EU.reshape(return_EU.shape)))
        return whiten(advantage_BT, batch.train) if self.whiten else torch.where(batch.train, advantage_BT, 0.0)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Terms "policy" and, if weighted, "kl" and "policy_entropy"; those of coefficient 0 are metrics."""
        terms = super().loss(batch, scores, state)
        if scores.entropy is not None:
            terms["policy_entropy"] = Term(scores.entropy, Tokens(), -self.entropy_weight)
        return terms
