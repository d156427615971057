"""Estimators of KL(π‖ρ) from tokens sampled by the policy π, ρ being the reference; and the exact sum.

With ``d = log π(a) − log ρ(a)`` at a sampled token a (Schulman, "Approximating KL divergence", 2020):

======  ==================  ======================  ===============================================
name    estimate            expected value          expected gradient when put IN THE LOSS
======  ==================  ======================  ===============================================
``k1``  ``d``               KL(π‖ρ), may be < 0     0: ``E[∇ log π] = 0``; no penalty, only noise
``k2``  ``½ d²``            biased, ≥ 0             ∇ KL(π‖ρ), the right one
``k3``  ``e^−d − 1 + d``    KL(π‖ρ), ≥ 0            ∇ KL(ρ‖π), the other direction (GRPO, DeepSeekMath)
======  ==================  ======================  ===============================================

The sampling distribution is held fixed in the last column: automatic differentiation sees the estimate, not
the sampling. IN THE REWARD the estimate is a number and the policy gradient ``E[k ∇ log π]`` does the
differentiating: there ``k1`` gives ∇ KL(π‖ρ), the right one; ``k2`` and ``k3`` do not (``k3`` gives ∇KL(π‖ρ)
− ∇KL(ρ‖π), which vanishes to first order near ρ). All of this is for tokens sampled by π itself.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]
"""Which estimate of the KL a sampled token contributes."""

Place = Literal["loss", "reward"]
"""Where a KL penalty acts: differentiated in the loss, or subtracted from the reward."""


def kl_estimate(logprob: Tensor, ref_logprob: Tensor, estimator: Estimator) -> Tensor:
    """Per-token estimate of KL(π‖ρ) in nats, any shape; the table above says what its gradient is.

    Args:
        logprob: log π of the sampled tokens.
        ref_logprob: log ρ of the same tokens.
        estimator: "k1", "k2" or "k3".
    """
    difference = logprob - ref_logprob
    if estimator == "k1":
        return difference
    if estimator == "k2":
        return 0.5 * difference.square()
    # expm1 keeps the digits that exp(−d) − 1 loses near d = 0, where training spends its time
    return torch.expm1(-difference) + difference


def exact_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """``Σ_v π(v) (log π(v) − log ρ(v))`` in nats, [...] from logits [..., V]: no sampling, right gradient."""
    logprob = logits.log_softmax(-1)
    return (logprob.exp() * (logprob - ref_logits.log_softmax(-1))).sum(-1)


def best_of_n_kl(n: int) -> float:
    """``log n − (n − 1)/n`` nats: KL of choosing the best of n independent answers from the policy they came from.

    Exact for a continuous score and answers that are all different; where answers or scores coincide it is an upper
    bound (Beirami et al. 2024, arXiv 2401.01879; used by Stiennon et al. 2020, arXiv 2009.01325).
    """
    return math.log(n) - (n - 1) / n
