"""Losses of preferences on the policy itself: its log-ratio to the reference stands in for a reward.

With ``h = Σ_t (log π − log π_ref)`` over an answer, ``β h`` is the reward whose optimal policy under a KL of weight β
is π (Rafailov et al. 2023, arXiv 2305.18290). Elementwise over any shape.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own custom)


def dpo_loss(gap: Tensor, beta: float, smoothing: Tensor | float = 0.0) -> Tensor:
    """``−(1 − s) log σ(β Δ) − s log σ(−β Δ)`` with ``Δ = h_chosen − h_rejected``.

    s is the chance that the label is wrong (conservative DPO); ½ is a tie.
    """
    return -(1 - smoothing) * F.logsigmoid(beta * gap) - smoothing * F.logsigmoid(-beta * gap)


def ipo_loss(gap: Tensor, beta: float, tied: Tensor | bool = False) -> Tensor:
    """``(Δ − 1/2β)²``, and ``Δ²`` of a tie (Azar et al. 2023, arXiv 2310.12036).

    Δ is of log-ratios per token, as in TRL: sums would make the target depend on length.
    """
    target = torch.where(torch.as_tensor(tied, device=gap.device), 0.0, 1 / (2 * beta))
    return (gap - target).square()


def kto_loss(log_ratio: Tensor, desirable: Tensor, baseline: Tensor, beta: float) -> Tensor:
    """``1 − σ(β (h − z))`` of a desirable answer, ``1 − σ(β (z − h))`` of an undesirable one (arXiv 2402.01306).

    Args:
        log_ratio: h of the answer.
        desirable: bool.
        baseline: z, an estimate of KL(π‖reference), without gradient.
        beta: β.
    """
    sign = torch.where(desirable, 1.0, -1.0)
    return 1 - torch.sigmoid(beta * sign * (log_ratio - baseline))
