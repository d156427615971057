"""Dr. GRPO: GRPO without its two biases (Liu et al. 2025, arXiv 2503.20783).

Dividing by the group's deviation favours questions that are nearly always or nearly never answered, dividing by an
answer's own length favours long wrong answers: both divisions are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from hone.algorithms._policy_gradient import Clipped
from hone.core.terms import Fixed, Normaliser
from hone.functional.advantages import group_centred


@dataclass(frozen=True)
class DrGRPO(Clipped):
    """``−min(ρA, clip(ρ)A)``, summed over tokens, divided by a constant; ``A = r − mean r`` within the group.

    Attributes:
        length: the constant, by custom the longest completion (``sampling.max_tokens``); it only scales the loss.
    """

    length: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1:
            raise ValueError(f"length must be at least 1, not {self.length}")

    def credit(self, reward_E: Tensor, group_E: Tensor, valid_E: Tensor) -> Tensor:
        """[E] against the group's mean."""
        return group_centred(reward_E, group_E, valid_E)

    def denominator(self) -> Normaliser:
        """``1/(length · episodes)``."""
        return Fixed(self.length)
