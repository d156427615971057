"""What PPO and A2C share: credit by a critic. Penalties go into the reward, GAE makes advantages and value targets.

Dimensions: B rows, T positions, E episodes, A action tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from hone.algorithms.base import Credit, State, Unit
from hone.core.batch import Batch
from hone.functional.advantages import whiten
from hone.functional.episodes import Episodes
from hone.functional.kl import Estimator, kl_estimate
from hone.functional.kl_control import Controller, adaptive_beta, doubling_beta
from hone.functional.returns import Clock, batch_gae


@dataclass(frozen=True)
class Penalty(State):
    """The weight of the KL penalty in force.

    Attributes:
        beta: its value; changed by a controller after every step.
    """

    beta: float = 0.0


@dataclass(frozen=True)
class ActorCritic:
    """GAE on ``r − β·KL``, and everything that is done to rewards before it.

    Attributes:
        discount: γ.
        trace: λ of GAE; 1 is return minus value.
        clock: what one step of γ and λ is: an action token or a whole turn.
        value_weight: c_v, weight of the value loss.
        entropy_weight: c_H, weight of the entropy bonus (exact, over the vocabulary); 0 computes no entropy.
        beta: weight of the KL to the reference policy, subtracted per token from the reward; with a controller its
            first value. 0 needs no reference.
        kl: its estimator; in a reward only k1 has the gradient of KL(π‖reference).
        kl_controller: "fixed"; "adaptive": Ziegler's; "doubling": twice or half as much outside [target/1.5,
            1.5·target].
        kl_target: KL of an episode, in nats, that a controller steers to.
        kl_horizon: of the adaptive controller, in episodes.
        reward_clip: the reward of a turn is clipped to ±this before any penalty; 0 does not clip.
        missing_end: the reward of an episode whose last completion met its token limit, instead of what it was given
            (the "EOS trick"); none leaves it.
        whiten_rewards: divide the per-token rewards of a step, penalties included, by their standard deviation; their
            mean stays.
        whiten_advantages: advantages of a step get mean 0 and standard deviation 1.
    """

    discount: float = 1.0
    trace: float = 0.95
    clock: Clock = "token"
    value_weight: float = 0.1
    entropy_weight: float = 0.0
    beta: float = 0.0
    kl: Estimator = "k1"
    kl_controller: Controller = "fixed"
    kl_target: float | None = None
    kl_horizon: float = 10000.0
    reward_clip: float = 0.0
    missing_end: float | None = None
    whiten_rewards: bool = False
    whiten_advantages: bool = True

    unit: ClassVar[Unit] = "token"
    group_baseline: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("discount", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("value_weight", "entropy_weight", "reward_clip"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.beta < 0:
            raise ValueError(f"beta must not be negative: that would reward leaving the reference ({self.beta})")
        self._check_controller()

    def _check_controller(self) -> None:
        steered = self.kl_controller != "fixed"
        if self.beta == 0 and (steered or self.kl_target is not None):
            raise ValueError("a KL target with beta = 0 is never reached: a controller multiplies beta, so set it")
        if self.beta == 0 and self.kl != "k1":
            raise ValueError("kl has no effect while beta is 0: set beta, or leave it out")
        if steered and (self.kl_target is None or self.kl_target <= 0):
            raise ValueError(f'kl_controller "{self.kl_controller}" needs a positive kl_target, not {self.kl_target}')
        if not steered and self.kl_target is not None:
            raise ValueError('kl_target has no effect while kl_controller is "fixed"')
        if self.kl_horizon <= 0:
            raise ValueError(f"kl_horizon must be positive, not {self.kl_horizon}")
        if self.kl_controller != "adaptive" and self.kl_horizon != type(self).kl_horizon:
            raise ValueError('kl_horizon has no effect unless kl_controller is "adaptive"')

    @property
    def needs(self) -> frozenset[str]:
        """Values and the learner's log-probs before the update; the reference's and the entropy if weighted."""
        more = {name for name, used in (("ref_logprob", self.beta), ("entropy", self.entropy_weight)) if used}
        return frozenset({"old_logprob", "value"} | more)

    def init_state(self) -> State:
        """The first β."""
        return Penalty(self.beta)

    def update_state(self, state: State, metrics: Mapping[str, float]) -> State:
        """β after a step in which the KL of an episode was ``metrics["kl_episode"]``; unchanged if not finite."""
        assert isinstance(state, Penalty)
        kl = metrics.get("kl_episode", float("nan"))
        if self.kl_target is None or kl != kl:
            return state
        if self.kl_controller == "doubling":
            return replace(state, beta=doubling_beta(state.beta, kl, self.kl_target))
        beta = adaptive_beta(state.beta, kl, self.kl_target, metrics["episodes"], self.kl_horizon)
        return replace(state, beta=beta)

    def advantages(self, batch: Batch, state: State) -> Credit:
        """GAE on the rewards after penalties; ``returns`` is advantage + value before any whitening."""
        episodes = Episodes.index(batch, batch.sampled)
        reward_BT, metrics = self._rewards(episodes, batch, state)
        advantage_BT, returns_BT = batch_gae(
            episodes,
            reward_BT,
            batch.need("value"),
            batch.bootstrap,
            discount=self.discount,
            trace=self.trace,
            clock=self.clock,
        )
        metrics |= _fit_of_values(batch, returns_BT)
        if self.whiten_advantages:
            advantage_BT = whiten(advantage_BT, batch.train)
        return Credit(torch.where(batch.train, advantage_BT, 0.0), returns_BT, metrics=metrics)

    def _rewards(self, episodes: Episodes, batch: Batch, state: State) -> tuple[Tensor, dict[str, float]]:
        """[B,T] rewards per token: clipped, replaced where no end came, less the KL, scaled; and metrics."""
        reward_BT, metrics = batch.reward, dict[str, float]()
        if self.reward_clip:
            reward_BT = reward_BT.clamp(-self.reward_clip, self.reward_clip)  # NaN stays NaN
        if self.missing_end is not None:
            reward_BT = _without_end(episodes, batch, reward_BT, self.missing_end)
        graded_E = episodes.mask_EA.any(-1) & episodes.total(batch.reward, batch.mask).isfinite()
        graded_BT = batch.sampled & graded_E[episodes.row_B][:, None]
        if self.beta:
            assert isinstance(state, Penalty)
            apart_BT = kl_estimate(batch.need("old_logprob"), batch.need("ref_logprob"), self.kl)
            reward_BT = torch.where(batch.sampled, reward_BT - state.beta * apart_BT, reward_BT)
            k1_BT = batch.need("old_logprob") - batch.need("ref_logprob")
            apart_E = episodes.total(k1_BT, batch.sampled)[graded_E]
            metrics |= {"kl_episode": float(apart_E.mean()), "episodes": float(len(apart_E)), "beta": state.beta}
        if self.whiten_rewards:
            reward_BT = torch.where(graded_BT, whiten(reward_BT, graded_BT, keep_mean=True), reward_BT)
        return reward_BT, metrics


def _without_end(episodes: Episodes, batch: Batch, reward_BT: Tensor, instead: float) -> Tensor:
    """Rewards in which an episode cut by its token limit gets ``instead`` on its last token and nothing before."""
    cut_E = batch.need("truncated")[episodes.last_E] & episodes.mask_EA.any(-1)
    failed_E = ~episodes.total(batch.reward, batch.mask).isfinite()  # has no reward, and is not to get one
    replaced_E = cut_E & ~failed_E
    length_E = episodes.mask_EA.sum(-1)
    last_EA = torch.arange(episodes.mask_EA.shape[1], device=length_E.device) == length_E[:, None] - 1
    given_BT = episodes.scatter(torch.where(last_EA & replaced_E[:, None], instead, 0.0))
    return torch.where(replaced_E[episodes.row_B][:, None], given_BT, reward_BT)


def _fit_of_values(batch: Batch, returns_BT: Tensor) -> dict[str, float]:
    """Mean return and value, and the share of the returns' variance that the values explain, over train tokens."""
    target_N, value_N = returns_BT[batch.train], batch.need("value")[batch.train]
    if not len(target_N):
        return {}
    spread = target_N.var(correction=0)
    left = (target_N - value_N).var(correction=0)
    explained = float(1 - left / spread) if float(spread) > 1e-12 else 0.0
    return {
        "return": float(target_N.mean()),
        "value_mean": float(value_N.mean()),
        "value_explained": explained,
    }
