"""What the policy gradients of this folder share: credit for whole episodes, ratio, KL, correction of the sampler.

A member adds its advantage (:meth:`PolicyGradient.credit`), its normaliser (:meth:`PolicyGradient.denominator`) and
its surrogate; all members but CISPO have the clipped one of :class:`Clipped`.

Dimensions: B rows, T positions, E episodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from hone.algorithms.base import State, Stateless, Unit
from hone.core.batch import Batch
from hone.core.terms import Normaliser, Sequences, Term, Tokens
from hone.functional.episodes import Episodes
from hone.functional.kl import Estimator, Place, kl_estimate
from hone.functional.losses import (
    Level,
    clipped_surrogate,
    is_clipped,
    log_ratio,
    log_ratio_at,
    masked_weight,
    ratio_of,
    truncated_weight,
)
from hone.models.score import Scores


@dataclass(frozen=True)
class PolicyGradient(Stateless, ABC):
    """``surrogate(ρ, A) · w + β·KL`` per token, with one advantage A per episode.

    ρ is the ratio of the policy to what it was before the step's updates, at the member's ``level``; w corrects what
    the sampler did differently from the learner, if asked for.

    Attributes:
        clip_low: ε below: the clip's lower border is 1 − ε.
        clip_high: ε above: the clip's upper border is 1 + ε.
        beta: weight of the KL to the reference policy; 0 needs no reference.
        kl: its estimator; see :mod:`hone.functional.kl` for what each one's gradient is.
        kl_in: per token in the loss, or summed over the episode and subtracted from its reward.
        tis: C; the loss is multiplied by ``min(π_learner/π_sampler, C)`` (truncated importance sampling).
        mis: [low, high]; the loss is multiplied by ``π_learner/π_sampler``, and by 0 where that lies outside (masked
            importance sampling).
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    beta: float = 0.0
    kl: Estimator = "k3"
    kl_in: Place = "loss"
    tis: float | None = field(default=None, kw_only=True)
    mis: tuple[float, float] | None = field(default=None, kw_only=True)

    level: ClassVar[Level] = "token"
    group_baseline: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low <= 1:
            raise ValueError(f"clip_low must lie between 0 and 1 (the ratio is never below 0), not {self.clip_low}")
        if self.clip_high < 0:
            raise ValueError(f"clip_high must not be negative, not {self.clip_high}")
        if self.beta < 0:
            raise ValueError(f"beta must not be negative: that would reward leaving the reference ({self.beta})")
        if self.beta == 0 and (self.kl, self.kl_in) != (type(self).kl, type(self).kl_in):
            raise ValueError("kl and kl_in have no effect while beta is 0: set beta, or leave them out")
        if self.tis is not None and self.mis is not None:
            raise ValueError("tis and mis are two treatments of the same ratio: set one of them")
        if self.tis is not None and self.tis <= 0:
            raise ValueError(f"tis must be positive, not {self.tis}")
        if self.mis is not None and not 0 <= self.mis[0] <= 1 <= self.mis[1]:
            raise ValueError(f"mis must be two bounds around 1, the lower not negative, not {self.mis}")

    @abstractmethod
    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] advantages from :mod:`hone.functional.advantages`."""

    @abstractmethod
    def denominator(self) -> Normaliser:
        """How the loss is averaged."""

    @abstractmethod
    def surrogate(self, ratio_BT: Tensor, advantage_BT: Tensor, logprob_BT: Tensor) -> Tensor:
        """[B,T] the loss per token before any correction."""

    @abstractmethod
    def clipped(self, ratio_BT: Tensor, advantage_BT: Tensor) -> Tensor:
        """[B,T] bool: where the clip is active, for the metrics."""

    @property
    def needs(self) -> frozenset[str]:
        """The learner's own log-probs before the update, and the reference's if β > 0."""
        return frozenset({"old_logprob"} | ({"ref_logprob"} if self.beta else set()))

    @property
    def unit(self) -> Unit:
        """A ratio of whole sequences needs all rows of an episode; groups keep them together."""
        return "token" if self.level == "token" else "group"

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
        return episodes.spread(self.credit(reward_E, episodes.group_E, valid_E), batch.train)

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Terms "policy" and, with a reference, "kl"; those of coefficient 0 are metrics."""
        metric = Tokens() if self.level == "token" else Sequences()
        old_BT = scores.logprob.detach() if batch.old_logprob is None else batch.old_logprob
        advantage_BT = batch.need("advantage")
        ratio_BT = ratio_of(log_ratio_at(self.level, batch, log_ratio(scores.logprob, old_BT, batch.train)))
        policy_BT = self.surrogate(ratio_BT, advantage_BT, scores.logprob)
        terms = {
            "policy": Term(policy_BT, self.denominator()),
            "ratio": Term(ratio_BT.detach(), metric, 0.0),
            "clip_fraction": Term(self.clipped(ratio_BT.detach(), advantage_BT).float(), metric, 0.0),
        }
        if self.tis is not None or self.mis is not None:
            weight_BT = self._sampler_weight(batch, old_BT)
            terms["policy"] = Term(policy_BT * weight_BT, self.denominator())
            terms["sampler_weight"] = Term(weight_BT, metric, 0.0)
        if self.beta:
            apart_BT = log_ratio(scores.logprob, batch.need("ref_logprob"), batch.train)
            kl_BT = kl_estimate(apart_BT, torch.zeros_like(apart_BT), self.kl)
            in_loss = self.kl_in == "loss"
            terms["kl"] = Term(kl_BT, self.denominator(), self.beta) if in_loss else Term(kl_BT.detach(), Tokens(), 0.0)
        return terms

    def _sampler_weight(self, batch: Batch, old_BT: Tensor) -> Tensor:
        """[B,T] weight of what the sampler drew, by the learner's probability of it before the update."""
        apart_BT = log_ratio_at(self.level, batch, log_ratio(old_BT, batch.behaviour_logprob, batch.train))
        if self.mis is not None:
            return masked_weight(ratio_of(apart_BT), *self.mis)
        assert self.tis is not None
        return truncated_weight(ratio_of(apart_BT), self.tis)


@dataclass(frozen=True)
class Clipped(PolicyGradient):
    """``−min(ρA, clip(ρ, 1 − ε_low, 1 + ε_high) A)``.

    Attributes:
        dual_clip: upper bound of ρ where A < 0, where the clip has none; without it one token can weigh without limit.
    """

    dual_clip: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dual_clip is not None and self.dual_clip <= 1 + self.clip_high:
            raise ValueError(f"dual_clip must be above 1 + clip_high = {1 + self.clip_high:g}, not {self.dual_clip}")

    def surrogate(self, ratio_BT: Tensor, advantage_BT: Tensor, logprob_BT: Tensor) -> Tensor:
        """The clipped surrogate; the log-probs act through the ratio alone."""
        return clipped_surrogate(ratio_BT, advantage_BT, self.clip_low, self.clip_high, self.dual_clip)

    def clipped(self, ratio_BT: Tensor, advantage_BT: Tensor) -> Tensor:
        """Where the surrogate has no gradient."""
        return is_clipped(ratio_BT, advantage_BT, self.clip_low, self.clip_high, self.dual_clip)
