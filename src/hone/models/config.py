"""What is to be loaded: the configuration of a policy. Importing this file is light."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DType = Literal["auto", "float32", "bfloat16", "float16"]
Layout = Literal["auto", "padded", "packed", "tree"]
"""Of rows in a forward pass, see :mod:`hone.models.layout`. ``auto`` is chosen by shapes alone: ``tree`` if it saves
enough tokens, else ``padded``."""


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters: ``W x + (alpha/rank) · B A x``, W frozen, A random, B = 0 at the start.

    Source: Hu et al., arXiv 2106.09685.
    There is no dropout: a learner whose log-probabilities depend on the draw of a mask is not the sampler
    (law 5).

    Attributes:
        rank: inner dimension of A and B.
        alpha: scale; the update is multiplied by ``alpha / rank``.
        targets: names of the layers that get an adapter, for example ``("q_proj", "v_proj")``; () is every
            linear layer but the language-model head.
    """

    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a rank or scale that means nothing."""
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; it must be at least 1")
        if self.alpha <= 0:
            raise ValueError(f"alpha is {self.alpha}; it must be positive")


@dataclass(frozen=True)
class ValueConfig:
    """Where values come from, for algorithms that need them.

    Attributes:
        model: "shared": a head on the policy's own hidden states; "separate": a model of its own with such a head, its
            weights trained beside the policy's.
        path: a reward model's directory that the separate model starts as, gain, bias and head included; "" starts it
            as a copy of the policy with a head of 0.
        hidden: width of a hidden layer of the head; 0 is a linear head.
    """

    model: Literal["shared", "separate"] = "shared"
    path: str = ""
    hidden: int = 0

    def __post_init__(self) -> None:
        """Refuse a width that means nothing and keys that would have no effect."""
        if self.path and self.model == "shared":
            raise ValueError('model.value.path has no effect unless model.value.model = "separate"')
        if self.path and self.hidden:
            raise ValueError("model.value.hidden has no effect beside path: a reward model's head is linear")
        if self.hidden < 0:
            raise ValueError(f"model.value.hidden is a width, not {self.hidden}")


@dataclass(frozen=True)
class ModelConfig:
    """A policy and how it is held.

    Attributes:
        path: a directory in Hugging Face layout, a directory with a peft adapter, a finished run's directory (its
            ``model/`` is meant), or a hub id (``owner/name``).
        dtype: of computing; "auto" is bfloat16 on a GPU that has it and float32 elsewhere. Weights that are trained
            are held and saved in float32 whatever it is: half precision would round small steps away. Only beside
            an adapter, which is float32, are the frozen weights held in this dtype. With "float16" small gradients
            underflow, as the loss is not scaled: bfloat16 is the one to train in.
        device: "auto" is the GPU where there is one, else the CPU; else a torch device such as "cuda:1".
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third more
            time.
        lora: train a low-rank adapter and leave the weights as they are.
        last_layers: train only so many layers, counted from the last, and what follows them; 0 trains all. All
            embeddings are frozen then, and with them an output head that is tied to them.
        frozen_share: the same by the share of layers, counted from the first, that is frozen.
        value: where values come from.
        trust_remote_code: run Python code that comes with the model.
        revision: branch, tag or commit on the hub.
    """

    path: str
    dtype: DType = "auto"
    device: str = "auto"
    gradient_checkpointing: bool = False
    lora: LoraConfig | None = None
    last_layers: int = 0
    frozen_share: float = 0.0
    value: ValueConfig = field(default_factory=ValueConfig)
    trust_remote_code: bool = False
    revision: str | None = None

    def __post_init__(self) -> None:
        """Refuse two ways of training a part of the weights at once."""
        if self.last_layers < 0 or not 0 <= self.frozen_share < 1:
            raise ValueError("model.last_layers is not negative, model.frozen_share a share from 0 to below 1")
        ways = {"lora": self.lora, "last_layers": self.last_layers, "frozen_share": self.frozen_share}
        if len(given := [name for name, value in ways.items() if value]) > 1:
            raise ValueError(f"{' and '.join(given)} each say what is trained: set one of them")
