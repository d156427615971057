"""A value model of its own: the body of a language model or of a reward model, and a scalar head.

Dimensions: B rows, T positions, D width of the hidden states.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hone.core.batch import Batch
from hone.core.errors import HoneError
from hone.models.checkpointing import checkpointed
from hone.models.config import Layout, ModelConfig
from hone.models.heads import ValueHead
from hone.models.layout import run_rows
from hone.models.logits import inner
from hone.models.precision import compute_dtype, compute_in, computing

if TYPE_CHECKING:
    from hone.models.policy import Policy

CRITIC_FILE = "value_model.safetensors"


class Critic:
    """Values from a trunk that shares nothing trained with the policy, so neither loss disturbs the other's features.

    Args:
        body: a transformers model without head.
        head: scalar head on its last hidden states.
    """

    def __init__(self, body: nn.Module, head: ValueHead) -> None:
        self.body, self.head = body, head

    @classmethod
    def copy_of(cls, model: nn.Module, hidden: int = 0) -> Critic:
        """The body of a model, copied, and a new head (0 everywhere). Frozen weights are shared, not copied."""
        frozen: dict[int, Any] = {id(p): p for p in model.parameters() if not p.requires_grad}
        base = inner(model)
        body = copy.deepcopy(base.base_model, frozen)
        compute_in(body, compute_dtype(model))
        head = ValueHead.new(base.config.get_text_config().hidden_size, hidden)
        return cls(body, head.to(base.get_input_embeddings().weight.device))

    @classmethod
    def of_reward(cls, path: str, policy: Policy) -> Critic:
        """A reward model's body and head: the value of a state is the reward of the answer as it stands.

        Raises:
            HoneError: no reward model lies there, or its tokens are not the policy's.
        """
        from hone.models.reward_files import load_reward  # which imports policies

        reward = load_reward(ModelConfig(path, dtype=policy.config.dtype, device=str(policy.device)))
        if reward.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
            raise HoneError(
                "the reward model has another tokenizer than the policy, so it cannot read the policy's states",
                where="model.value.path",
                got=path,
                expected="a reward model trained from this policy's family",
                do="leave model.value.path out; as a grader a reward model reads text and may have any tokenizer",
            )
        reward.merge()
        base = inner(reward.model)
        head = ValueHead.new(base.config.get_text_config().hidden_size).to(policy.device)
        with torch.no_grad():
            head.linear.weight.copy_(reward.gain * reward.head.weight.float())
            head.linear.bias.fill_(reward.bias)
        body = base.base_model.requires_grad_(True)
        compute_in(body, compute_dtype(base))
        return cls(body, head)

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters that are trained."""
        for prefix, module in (("body", self.body), ("head", self.head)):
            for name, parameter in module.named_parameters():
                if parameter.requires_grad:
                    yield f"{prefix}.{name}", parameter

    def values(self, batch: Batch, layout: Layout = "auto") -> tuple[Tensor, Tensor]:
        """[B,T] value of the state before each scored token, 0 elsewhere; and [B] of the state after the last one.

        Args:
            batch: rows of tokens.
            layout: of the rows in the forward pass.
        """
        scored_BT = (batch.train | batch.sampled) & batch.mask
        scored_BT[:, 0] = False
        length_B = batch.mask.sum(-1).clamp(min=1)
        with computing(self.body), checkpointed(self.body):
            run, index_BT = run_rows(self.body, batch.tokens, length_B, layout)
        hidden = run.hidden.flatten(0, 1)
        row_N, at_N = scored_BT.nonzero(as_tuple=True)
        value_N = self.head(hidden[index_BT[row_N, at_N - 1]])
        value_BT = torch.zeros(scored_BT.shape, device=value_N.device).index_put((row_N, at_N), value_N)
        return value_BT, self.head(hidden[index_BT.gather(1, length_B[:, None] - 1).squeeze(1)])

    def save(self, folder: Path) -> None:
        """Write what is trained as ``value_model.safetensors`` into a folder."""
        save_file({name: p.detach().cpu().contiguous() for name, p in self.trainable()}, folder / CRITIC_FILE)

    def read(self, folder: Path) -> None:
        """Take over, bit for bit, what :meth:`save` wrote.

        Raises:
            HoneError: the file is missing or damaged, or of another value model.
        """
        try:
            saved = load_file(folder / CRITIC_FILE)
            with torch.no_grad():
                for name, parameter in self.trainable():
                    parameter.copy_(saved[name])
        except Exception as error:  # safetensors raises its own errors
            raise HoneError(
                "the value model cannot be read",
                where=str(folder / CRITIC_FILE),
                got=f"{type(error).__name__}: {error}",
                expected="one of the same shape, saved by this recipe",
            ) from error
