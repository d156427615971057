"""Heads on the hidden states of a policy."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hone.core.errors import HoneError

VALUE_HEAD_FILE = "value_head.safetensors"


class ValueHead(nn.Module):
    """The value of a state as a linear function of the last layer's hidden state; 0 everywhere at the start.

    It is kept in float32 whatever the dtype of the policy. Starting at 0 follows Ziegler et al. (arXiv
    1909.08593).

    Args:
        width: size D of the hidden states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., D] → [...], float32."""
        value: Tensor = self.linear(hidden.float()).squeeze(-1)
        return value

    def save(self, folder: Path) -> None:
        """Write ``value_head.safetensors`` into a folder."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / VALUE_HEAD_FILE)

    @classmethod
    def load(cls, folder: Path, width: int) -> ValueHead | None:
        """The head saved in a folder, None where there is none.

        Raises:
            HoneError: the file does not fit hidden states of this width, or is no safetensors file.
        """
        file = folder / VALUE_HEAD_FILE
        if not file.is_file():
            return None
        # Loading must not consume the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            head = cls(width)
        try:
            head.load_state_dict(load_file(file))
        except Exception as error:  # safetensors raises its own errors, torch RuntimeError
            raise HoneError("the value head cannot be read", where=str(file), got=str(error)) from error
        return head
