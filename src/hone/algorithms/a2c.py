"""A2C: synchronous advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783), with the KL where Gopher had it.

The plain policy gradient with a critic, without ratio or clip: one update on each step's rollouts. The KL to the
reference acts in the reward, as in PPO, or in the loss as for GopherCite (Menick et al. 2022, arXiv 2203.11147).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hone.algorithms._actor_critic import ActorCritic
from hone.algorithms.base import State
from hone.core.batch import Batch
from hone.core.terms import Term, Tokens
from hone.functional.kl import Estimator, kl_estimate
from hone.functional.losses import log_ratio
from hone.models.score import Scores


@dataclass(frozen=True)
class A2C(ActorCritic):
    """``α·KL + (1 − α)·(−log π·A + c_v·½(V − G)² − c_H·H)``, mean over all tokens of the batch.

    Attributes:
        alpha: α; 0 has no KL in the loss and needs no reference for it.
        alpha_kl: estimator of that KL; in a loss k2 has the gradient of KL(π‖reference), k3 that of KL(reference‖π)
            and k1 none.
    """

    trace: float = 1.0
    value_weight: float = 0.5
    whiten_advantages: bool = False
    alpha: float = 0.0
    alpha_kl: Estimator = "k2"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must be at least 0 and below 1, not {self.alpha}")
        if self.alpha == 0 and self.alpha_kl != "k2":
            raise ValueError("alpha_kl has no effect while alpha is 0: set alpha, or leave it out")

    @property
    def needs(self) -> frozenset[str]:
        """As every actor-critic, and the reference's log-probs if α > 0."""
        return super().needs | ({"ref_logprob"} if self.alpha else set())

    def loss(self, batch: Batch, scores: Scores, state: State) -> dict[str, Term]:
        """Terms "policy", "value" and, if weighted, "policy_entropy" and "kl"."""
        assert scores.value is not None
        rest = 1 - self.alpha
        value_BT = 0.5 * (scores.value - batch.need("returns")).square()
        terms = {
            "policy": Term(-batch.need("advantage") * scores.logprob, Tokens(), rest),
            "value": Term(value_BT, Tokens(), rest * self.value_weight),
        }
        if scores.entropy is not None:
            terms["policy_entropy"] = Term(scores.entropy, Tokens(), -rest * self.entropy_weight)
        if self.alpha:
            apart_BT = log_ratio(scores.logprob, batch.need("ref_logprob"), batch.train)
            terms["kl"] = Term(kl_estimate(apart_BT, torch.zeros_like(apart_BT), self.alpha_kl), Tokens(), self.alpha)
        return terms
