"""GRPO: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300), outcome rewards.

An episode's advantage is its reward against the other samples of the same question; every token the policy
wrote in it shares that advantage, and a clipped surrogate moves the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from hone.algorithms._policy_gradient import Clipped
from hone.core.terms import Fixed, Normaliser, Sequences, Tokens
from hone.functional.advantages import group_centred, group_centred_batch_scaled, group_zscore


@dataclass(frozen=True)
class GRPO(Clipped):
    """``−min(ρA, clip(ρ)A) + β·KL`` per token, with ``A = (r − mean r) / (std r + 1e-4)`` within the group.

    The defaults are the paper's but for β, which is 0.04 there and 0 (no reference model) here, as in TRL.

    Attributes:
        advantage: "zscore"; "centred": not divided by the group's deviation (Dr. GRPO); "batch_std": divided by the
            deviation of all rewards of the step instead (Lite PPO, arXiv 2508.08221).
        normaliser: "sequences": mean over episodes of each episode's token mean (the paper); "tokens": mean
            over all tokens (DAPO); a number L: sum over tokens / L, mean over episodes (Dr. GRPO).
    """

    advantage: Literal["zscore", "centred", "batch_std"] = "zscore"
    normaliser: Literal["sequences", "tokens"] | int = "sequences"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.normaliser, int) and self.normaliser < 1:
            raise ValueError(f"normaliser as a fixed length must be at least 1, not {self.normaliser}")

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] against the group, scaled as ``advantage`` says."""
        scaled = {"zscore": group_zscore, "centred": group_centred, "batch_std": group_centred_batch_scaled}
        return scaled[self.advantage](reward_E, group_E, valid_E)

    def denominator(self) -> Normaliser:
        """As ``normaliser`` says."""
        if isinstance(self.normaliser, int):
            return Fixed(self.normaliser)
        return Sequences() if self.normaliser == "sequences" else Tokens()
