"""Returns-to-go and generalised advantage estimation, on the token clock or the turn clock.

Dimensions: B rows, T positions, E episodes, A action tokens (see :mod:`hone.functional.episodes`).
``clock`` says what one step of the discount γ and of the trace decay λ is: an action token or a whole turn.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hone.functional.episodes import Episodes

Clock = Literal["token", "turn"]
"""What counts as one time step for γ and λ."""


def discounted_returns(
    reward_EA: Tensor, mask_EA: Tensor, discount: float, bootstrap_E: Tensor | None = None
) -> Tensor:
    """Returns-to-go ``G_t = r_t + γ G_{t+1}``, with ``bootstrap`` (default 0) after the last step.

    Args:
        reward_EA: [E,A] reward after each step.
        mask_EA: [E,A] bool, right-padded.
        discount: γ.
        bootstrap_E: [E] value of the state after the last step, 0 where the episode terminated.

    Returns:
        [E,A], 0 off the mask.
    """
    reward_EA = torch.where(mask_EA, reward_EA, torch.zeros_like(reward_EA))
    if bootstrap_E is not None:
        reward_EA = reward_EA + discount * _after_last(mask_EA, bootstrap_E)
    return torch.where(mask_EA, _discounted_sum(reward_EA, discount), torch.zeros_like(reward_EA))


def gae(
    reward_EA: Tensor,
    value_EA: Tensor,
    mask_EA: Tensor,
    discount: float,
    trace: float,
    bootstrap_E: Tensor | None = None,
) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438).

    ``δ_t = r_t + γ V_{t+1} − V_t`` and ``A_t = δ_t + γλ A_{t+1}``, with V after the last step =
    ``bootstrap``.

    Args:
        reward_EA: [E,A] reward after each step.
        value_EA: [E,A] value of the state before each step.
        mask_EA: [E,A] bool, right-padded.
        discount: γ.
        trace: λ; 0 is the one-step error, 1 is ``G_t − V_t``.
        bootstrap_E: [E] value of the state after the last step, 0 where the episode terminated.

    Returns:
        [E,A], 0 off the mask.
    """
    zero_EA = torch.zeros_like(reward_EA)
    value_EA = torch.where(mask_EA, value_EA, zero_EA)
    next_value_EA = torch.cat([value_EA[:, 1:], zero_EA[:, :1]], 1)
    if bootstrap_E is not None:
        next_value_EA = next_value_EA + _after_last(mask_EA, bootstrap_E)
    error_EA = torch.where(mask_EA, reward_EA + discount * next_value_EA - value_EA, zero_EA)
    return torch.where(mask_EA, _discounted_sum(error_EA, discount * trace), zero_EA)


def batch_returns(
    episodes: Episodes, reward_BT: Tensor, bootstrap_B: Tensor, *, discount: float, clock: Clock = "token"
) -> Tensor:
    """[B,T] returns-to-go at every action token, 0 elsewhere; see :func:`discounted_returns`.

    On the turn clock the rewards within a turn are summed, γ applies once a turn, and the turn's tokens share
    its return. An episode whose reward is not finite (its grader failed) gets 0.
    """
    reward_EA, valid_E = _rewards(episodes, reward_BT)
    bootstrap_E = bootstrap_B[episodes.last_E]
    if clock == "token":
        return_EA = discounted_returns(reward_EA, episodes.mask_EA, discount, bootstrap_E)
    else:
        return_EU = discounted_returns(episodes.turn_sum(reward_EA), episodes.mask_EU, discount, bootstrap_E)
        return_EA = episodes.turn_spread(return_EU)
    return episodes.scatter(return_EA * valid_E[:, None])


def batch_gae(
    episodes: Episodes,
    reward_BT: Tensor,
    value_BT: Tensor,
    bootstrap_B: Tensor,
    *,
    discount: float,
    trace: float,
    clock: Clock = "token",
) -> tuple[Tensor, Tensor]:
    """Advantages and value targets in the layout of the batch; see :func:`gae`.

    Token clock: GAE over the episode's action tokens, so what comes after a turn's last token is the first
    token of the next turn, however many observation tokens (or rows) lie between. Turn clock: GAE over turns;
    the value is read at the turn's first action token, the turn's reward is the sum over its tokens
    (per-token penalties such as a KL included), and its tokens share its advantage and its target.

    Args:
        episodes: index of the action tokens.
        reward_BT: [B,T] rewards with penalties already subtracted.
        value_BT: [B,T] value of the state before each token.
        bootstrap_B: [B] value after each row's last token; an episode uses that of its last row.
        discount: γ.
        trace: λ.
        clock: what one step of γ and λ is.

    Returns:
        (advantage, return) [B,T] each, where return = advantage + value; 0 off the action tokens, and in
        episodes whose reward is not finite (their grader failed).
    """
    reward_EA, valid_E = _rewards(episodes, reward_BT)
    value_EA = episodes.gather(value_BT)
    bootstrap_E = bootstrap_B[episodes.last_E]
    if clock == "token":
        advantage_EA = gae(reward_EA, value_EA, episodes.mask_EA, discount, trace, bootstrap_E)
        return_EA = advantage_EA + value_EA
    else:
        value_EU = episodes.turn_first(value_EA)
        reward_EU = episodes.turn_sum(reward_EA)
        advantage_EU = gae(reward_EU, value_EU, episodes.mask_EU, discount, trace, bootstrap_E)
        advantage_EA = episodes.turn_spread(advantage_EU)
        return_EA = episodes.turn_spread(advantage_EU + value_EU)
    keep_E1 = valid_E[:, None]
    return episodes.scatter(advantage_EA * keep_E1), episodes.scatter(return_EA * keep_E1)


def _rewards(episodes: Episodes, reward_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Rewards [E,A] with those of failed episodes replaced by 0, and which episodes [E] have finite ones."""
    reward_EA = episodes.gather(reward_BT)
    valid_E = reward_EA.isfinite().all(-1)
    return torch.where(valid_E[:, None], reward_EA, torch.zeros_like(reward_EA)), valid_E


def _discounted_sum(x_EA: Tensor, factor: float) -> Tensor:
    """[E,A] ``Σ_k factor^k x_{t+k}`` by doubling: ``S_2m(t) = S_m(t) + factor^m S_m(t + m)``: log A steps, not A."""
    total_EA, reach, weight = x_EA.clone(), 1, factor
    while reach < x_EA.shape[1] and weight != 0:
        later_EA = weight * total_EA[:, reach:]
        total_EA[:, :-reach] += later_EA
        reach, weight = 2 * reach, weight * weight
    return total_EA


def _after_last(mask_EA: Tensor, x_E: Tensor) -> Tensor:
    """[E,A] a number at the last entry of every row's mask, 0 elsewhere."""
    last_EA = mask_EA.clone()
    last_EA[:, :-1] &= ~mask_EA[:, 1:]
    return torch.where(last_EA, x_E.to(torch.float32)[:, None], torch.zeros((), device=x_E.device))
