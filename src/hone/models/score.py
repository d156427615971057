"""The learner's view of a batch: log-probability, entropy and value of every token, in whatever layout is fastest.

``score`` is the only place that knows how rows are laid out for the forward pass; here the plain padded layout.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """Columns aligned with the batch: entry t speaks of token t given the tokens before it.

    Attributes:
        logprob: [B,T] float32; 0 at position 0 and on padding.
        entropy: [B,T] float32 entropy of the distribution token t was drawn from, or None.
        value: [B,T] float32 value of the state before token t, or None.
    """

    logprob: Tensor
    entropy: Tensor | None = None
    value: Tensor | None = None
