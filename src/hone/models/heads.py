"""Heads on the hidden states of a policy."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hone.core.errors import HoneError

VALUE_HEAD_FILE = "value_head.safetensors"


class ValueHead(nn.Module):
    """The value of a state as a function of the last layer's hidden state; 0 everywhere at the start.

    It is kept in float32 whatever the dtype of the policy. Starting at 0 follows Ziegler et al. (arXiv
    1909.08593); a hidden layer, with ReLU, Menick et al. (arXiv 2203.11147).

    Args:
        width: size D of the hidden states.
        hidden: width of a hidden layer; 0 has none, so that the head is linear.
    """

    def __init__(self, width: int, hidden: int = 0) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.linear = nn.Linear(hidden or width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., D] → [...], float32."""
        state = hidden.float() if self.hidden is None else self.hidden(hidden.float()).relu()
        value: Tensor = self.linear(state).squeeze(-1)
        return value

    def save(self, folder: Path) -> None:
        """Write ``value_head.safetensors`` into a folder."""
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, folder / VALUE_HEAD_FILE)

    @classmethod
    def new(cls, width: int, hidden: int = 0) -> ValueHead:
        """A head that is the same every time; the caller's random numbers are not consumed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return cls(width, hidden)

    @classmethod
    def load(cls, folder: Path, width: int) -> ValueHead | None:
        """The head saved in a folder, None where there is none.

        Raises:
            HoneError: the file does not fit hidden states of this width, or is no safetensors file.
        """
        file = folder / VALUE_HEAD_FILE
        if not file.is_file():
            return None
        try:
            state = load_file(file)
            head = cls.new(width, len(state["hidden.bias"]) if "hidden.bias" in state else 0)
            head.load_state_dict(state)
        except Exception as error:  # safetensors raises its own errors, torch RuntimeError
            raise HoneError("the value head cannot be read", where=str(file), got=str(error)) from error
        return head
