"""RLOO: REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

The whole answer is one action: its log-probability is the sum over its tokens, its baseline the mean reward
of the other answers to the same question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from hone.algorithms.base import State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import Sequences, Term
from hone.functional.advantages import leave_one_out
from hone.functional.episodes import Episodes
from hone.functional.kl import kl_estimate
from hone.functional.losses import clipped_surrogate, is_clipped, log_ratio, sequence_log_ratio
from hone.models.score import Scores


@dataclass(frozen=True)
class RLOO(Stateless):
    """``−min(ρA, clip(ρ)A)`` per episode, ``ρ = exp Σ_t (log π − log π_old)``, A the leave-one-out advantage.

    Exactly on-policy ρ is 1 and the gradient is the paper's ``−A Σ_t ∇ log π``; the clip (PPO's, per
    sequence, as in TRL) only matters from the second update on the same rollouts on.

    Attributes:
        clip_low: ε below, on the ratio of the whole sequence.
        clip_high: ε above, on the ratio of the whole sequence.
        beta: weight of the k1 KL to the reference, summed over the episode and subtracted from its reward; 0
            needs no reference (TRL: 0.05).
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    beta: float = 0.0

    unit: ClassVar[Unit] = "group"  # an episode's rows have to stay together, and groups keep them so
    group_baseline: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low <= 1:
            raise ValueError(f"clip_low must lie between 0 and 1 (the ratio is never below 0), not {self.clip_low}")
        if self.clip_high < 0:
            raise ValueError(f"clip_high must not be negative, not {self.clip_high}")
        if self.beta < 0:
            raise ValueError(f"beta must not be negative: that would reward leaving the reference ({self.beta})")

    @property
    def needs(self) -> frozenset[str]:
        """The learner's own log-probs before the update, and the reference's if β > 0."""
        return frozenset({"old_logprob"} | ({"ref_logprob"} if self.beta else set()))

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] ``R_i − mean of the others' R`` on the episode's train tokens; ``R = Σ r − β Σ_t k1``."""
        episodes = Episodes.index(batch, batch.sampled)
        reward_E = episodes.total(batch.reward, batch.mask)
        if self.beta:
            # without an update in between, the sampler's log-probs are the learner's
            logprob_BT = batch.behaviour_logprob if batch.old_logprob is None else batch.old_logprob
            kl_BT = kl_estimate(logprob_BT, batch.need("ref_logprob"), "k1")
            reward_E = reward_E - self.beta * episodes.total(kl_BT, batch.sampled)
        valid_E = episodes.mask_EA.any(-1) & reward_E.isfinite()
        return episodes.spread(leave_one_out(reward_E, episodes.group_E, valid_E), batch.train)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Term "policy": the episode's loss on each of its tokens, so their mean is it; and two metrics."""
        old_BT = scores.logprob.detach() if batch.old_logprob is None else batch.old_logprob
        advantage_BT = batch.need("advantage")
        token_BT = log_ratio(scores.logprob, old_BT, batch.train)
        ratio_BT = sequence_log_ratio(Episodes.index(batch, batch.train), token_BT, batch.train).exp()
        surrogate_BT = clipped_surrogate(ratio_BT, advantage_BT, self.clip_low, self.clip_high)
        clipped_BT = is_clipped(ratio_BT.detach(), advantage_BT, self.clip_low, self.clip_high)
        return {
            "policy": Term(surrogate_BT, Sequences()),
            "ratio": Term(ratio_BT.detach(), Sequences(), 0.0),
            "clip_fraction": Term(clipped_BT.float(), Sequences(), 0.0),
        }
