"""Whether weights are what they were: cheap enough to ask before every generation, and no proof."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_SAMPLES = 8
"""About this many numbers are read of every parameter."""


class Fingerprint:
    """A few numbers of every parameter, their addresses and torch's count of changes in place.

    The count alone is not enough: a fused optimiser step and a change through ``.data`` do not raise it. An update of
    all weights is noticed; one of a few numbers, made in such a way, may not be.

    Args:
        parameters: what is watched.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.numel()]
        self._places: list[tuple[int, int]] = []
        self._views: list[Tensor] = []
        self._numbers = torch.empty(0)

    def changed(self) -> bool:
        """Whether the weights are others than at the last call; True at the first."""
        places = [(parameter.data_ptr(), parameter._version) for parameter in self._parameters]
        if [pointer for pointer, _ in places] != [pointer for pointer, _ in self._places]:
            self._views = [_some(parameter.detach()) for parameter in self._parameters]
        numbers = torch.cat(self._views)
        same = places == self._places and torch.equal(numbers, self._numbers)
        self._places, self._numbers = places, numbers
        return not same


def _some(weight: Tensor) -> Tensor:
    """A view of some numbers in the middle row of a parameter."""
    while weight.dim() > 1:
        weight = weight[len(weight) // 2]
    weight = weight.reshape(-1)
    return weight[:: max(1, len(weight) // _SAMPLES)]
