"""GRPO: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300), outcome rewards.

An episode's advantage is its reward against the other samples of the same question; every token the policy
wrote in it shares that advantage, and a clipped surrogate moves the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hone.algorithms.base import State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import Fixed, Normaliser, Sequences, Term, Tokens
from hone.functional.advantages import group_centred, group_zscore
from hone.functional.episodes import Episodes
from hone.functional.kl import Estimator, Place, kl_estimate
from hone.functional.losses import clipped_surrogate, is_clipped, log_ratio
from hone.models.score import Scores


@dataclass(frozen=True)
class GRPO(Stateless):
    """``−min(ρA, clip(ρ)A) + β·KL`` per token, with ``A = (r − mean r) / (std r + 1e-4)`` within the group.

    The defaults are the paper's but for β, which is 0.04 there and 0 (no reference model) here, as in TRL.

    Attributes:
        clip_low: ε below: a token with A < 0 gets no gradient once ρ < 1 − ε.
        clip_high: ε above: a token with A > 0 gets no gradient once ρ > 1 + ε (DAPO: 0.28).
        beta: weight of the KL to the reference policy; 0 needs no reference.
        kl: its estimator; see :mod:`hone.functional.kl` for what each one's gradient is.
        kl_in: per token in the loss (the paper), or summed over the episode and subtracted from its reward.
        advantage: "zscore", or "centred": not divided by the group's deviation (Dr. GRPO).
        normaliser: "sequences": mean over episodes of each episode's token mean (the paper); "tokens": mean
            over all tokens (DAPO); a number L: sum over tokens / L, mean over episodes (Dr. GRPO).
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    beta: float = 0.0
    kl: Estimator = "k3"
    kl_in: Place = "loss"
    advantage: Literal["zscore", "centred"] = "zscore"
    normaliser: Literal["sequences", "tokens"] | int = "sequences"

    unit: ClassVar[Unit] = "token"
    group_baseline: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low <= 1:
            raise ValueError(f"clip_low must lie between 0 and 1 (the ratio is never below 0), not {self.clip_low}")
        if self.clip_high < 0:
            raise ValueError(f"clip_high must not be negative, not {self.clip_high}")
        if self.beta < 0:
            raise ValueError(f"beta must not be negative: that would reward leaving the reference ({self.beta})")
        if self.beta == 0 and (self.kl, self.kl_in) != ("k3", "loss"):
            raise ValueError("kl and kl_in have no effect while beta is 0: set beta, or leave them out")
        if isinstance(self.normaliser, int) and self.normaliser < 1:
            raise ValueError(f"normaliser as a fixed length must be at least 1, not {self.normaliser}")

    @property
    def needs(self) -> frozenset[str]:
        """The learner's own log-probs before the update, and the reference's if β > 0."""
        return frozenset({"old_logprob"} | ({"ref_logprob"} if self.beta else set()))

    def advantages(self, batch: Batch, state: State) -> Tensor:
        """[B,T] the advantage of the episode's summed reward, on all of its train tokens."""
        episodes = Episodes.index(batch, batch.sampled)
        reward_E = episodes.total(batch.reward, batch.mask)
        if self.beta and self.kl_in == "reward":
            # without an update in between, the sampler's log-probs are the learner's
            logprob_BT = batch.behaviour_logprob if batch.old_logprob is None else batch.old_logprob
            kl_BT = kl_estimate(logprob_BT, batch.need("ref_logprob"), self.kl)
            reward_E = reward_E - self.beta * episodes.total(kl_BT, batch.sampled)
        valid_E = episodes.mask_EA.any(-1) & reward_E.isfinite()
        baseline = group_zscore if self.advantage == "zscore" else group_centred
        return episodes.spread(baseline(reward_E, episodes.group_E, valid_E), batch.train)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Terms "policy" and, with a reference, "kl"; those of coefficient 0 are metrics."""
        old_BT = scores.logprob.detach() if batch.old_logprob is None else batch.old_logprob
        advantage_BT = batch.need("advantage")
        ratio_BT = log_ratio(scores.logprob, old_BT, batch.train).exp()
        surrogate_BT = clipped_surrogate(ratio_BT, advantage_BT, self.clip_low, self.clip_high)
        clipped_BT = is_clipped(ratio_BT.detach(), advantage_BT, self.clip_low, self.clip_high)
        terms = {
            "policy": Term(surrogate_BT, self._normaliser()),
            "ratio": Term(ratio_BT.detach(), Tokens(), 0.0),
            "clip_fraction": Term(clipped_BT.float(), Tokens(), 0.0),
        }
        if self.beta:
            apart_BT = log_ratio(scores.logprob, batch.need("ref_logprob"), batch.train)
            kl_BT = kl_estimate(apart_BT, torch.zeros_like(apart_BT), self.kl)
            if self.kl_in == "loss":
                terms["kl"] = Term(kl_BT, self._normaliser(), self.beta)
            else:
                terms["kl"] = Term(kl_BT.detach(), Tokens(), 0.0)
        return terms

    def _normaliser(self) -> Normaliser:
        if isinstance(self.normaliser, int):
            return Fixed(self.normaliser)
        return Sequences() if self.normaliser == "sequences" else Tokens()
