"""The learner's view of a batch: log-probability, entropy and value of every token.

``score`` is the only place that knows how rows are laid out for the forward pass (:mod:`hone.models.layout`).

Dimensions: B rows, T positions, D width, V vocabulary, N scored tokens (``train | sampled``) of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own custom)
from torch.utils.checkpoint import checkpoint

from hone.core.batch import Batch
from hone.functional.losses import entropy_of
from hone.models.checkpointing import checkpointed
from hone.models.config import Layout
from hone.models.heads import ValueHead
from hone.models.layout import run_rows
from hone.models.logits import inner
from hone.models.precision import computing

if TYPE_CHECKING:
    from hone.models.policy import Policy

_CHUNK = {"cpu": 1 << 24, "cuda": 1 << 27}
"""Most float32 logits alive at once, by kind of device."""


@dataclass(frozen=True)
class Scores:
    """Columns aligned with the batch: entry t speaks of token t given the tokens before it.

    Attributes:
        logprob: [B,T] float32; 0 at position 0 and on tokens that are neither trained nor sampled.
        entropy: [B,T] float32 entropy of the distribution token t was drawn from, or None; 0 as above.
        value: [B,T] float32 value of the state before token t, or None; 0 as above.
        last_value: [B] float32 value of the state after a row's last token (for bootstrapping), or None.
        teacher: [B,T,K] float32 log-probability of the batch's ``teacher_ids`` in the place of token t, or None.
        row_score: [B] float32 what a reward model makes of the row (:mod:`hone.models.reward`), or None.
    """

    logprob: Tensor
    entropy: Tensor | None = None
    value: Tensor | None = None
    last_value: Tensor | None = None
    teacher: Tensor | None = None
    row_score: Tensor | None = None

    def need(self, column: str) -> Tensor:
        """A column that must be there; a missing one means an algorithm did not list it in ``needs``."""
        found = getattr(self, column)
        if found is None:
            raise LookupError(f'"{column}" was not computed: list it in the algorithm\'s `needs`')
        assert isinstance(found, Tensor)
        return found


def score(
    policy: Policy | nn.Module,
    batch: Batch,
    *,
    needs: frozenset[str] = frozenset(),
    temperature: float = 1.0,
    value_head: ValueHead | None = None,
    layout: Layout = "auto",
) -> Scores:
    """Score the tokens of a batch that are trained or were sampled.

    ``logprob[b,t] = log softmax(logits[b,t−1] / temperature)[tokens[b,t]]`` in float32. Gradients flow unless
    they are switched off around the call; a batch with nothing to score still has a graph, with gradients of
    zero. Logits are made for scored tokens only, in chunks that the backward pass makes again, so [B,T,V]
    never exists. The model runs in its compute dtype (:mod:`hone.models.precision`); what follows the logits is
    float32.

    Args:
        policy: the policy, or a causal language model.
        batch: rows of tokens.
        needs: what to compute besides log-probabilities: "entropy", "value", "teacher"; other names are ignored.
        temperature: the sampler's; 0 (greedy) scores at temperature 1.
        value_head: by default the policy's own.
        layout: of the rows in the forward pass; it changes what is computed twice, not the result.

    Raises:
        LookupError: a value is needed and there is no value head.
        HoneError: the layout is one that this model cannot be trusted with, or a row is too long for a model whose
            beginnings of rows depend on what follows (:mod:`hone.models.steady`).
    """
    model = policy if isinstance(policy, nn.Module) else policy.model
    value_head = value_head or (None if isinstance(policy, nn.Module) else policy.value_head)
    if "value" in needs and value_head is None:
        raise LookupError("values are needed but the policy has no value head: call policy.add_value_head() first")
    scored_BT = (batch.train | batch.sampled) & batch.mask
    scored_BT[:, 0] = False
    row_N, at_N = scored_BT.nonzero(as_tuple=True)
    last_B = (batch.mask.sum(-1) - 1).clamp(min=0)

    # The value head stays outside: it computes in float32.
    with computing(model):
        with checkpointed(model):
            run, index_BT = run_rows(model, batch.tokens, _reach(scored_BT, last_B, needs), layout)
        states, before_N = run.states.flatten(0, 1), index_BT[row_N, at_N - 1]
        others_NK = batch.need("teacher_ids")[row_N, at_N] if "teacher" in needs else None
        logprob_N, entropy_N, others_NK = _token_scores(
            states[before_N],
            batch.tokens[row_N, at_N],
            run.head,
            inner(model).config.get_text_config().vocab_size,
            temperature or 1.0,
            "entropy" in needs,
            others_NK,
        )

    def spread(x_N: Tensor) -> Tensor:
        zeros = torch.zeros((*batch.tokens.shape, *x_N.shape[1:]), device=x_N.device)
        return zeros.index_put((row_N, at_N), x_N)

    value = last_value = None
    if "value" in needs:
        assert value_head is not None
        hidden = run.hidden.flatten(0, 1)
        value = spread(value_head(hidden[before_N]))
        last_value = value_head(hidden[index_BT.gather(1, last_B[:, None]).squeeze(1)])
    entropy = None if entropy_N is None else spread(entropy_N)
    return Scores(spread(logprob_N), entropy, value, last_value, None if others_NK is None else spread(others_NK))


def _reach(scored_BT: Tensor, last_B: Tensor, needs: frozenset[str]) -> Tensor:
    """[B] leading tokens that are needed: those before the last scored one, or all of the row for its last value."""
    columns_T = torch.arange(scored_BT.shape[1], device=scored_BT.device)
    return last_B + 1 if "value" in needs else (scored_BT * columns_T).amax(-1)


def _token_scores(
    state_ND: Tensor,
    token_N: Tensor,
    head: Callable[[Tensor], Tensor],
    vocabulary: int,
    temperature: float,
    entropy: bool,
    others_NK: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Log-probability and entropy [N] of tokens, and log-probabilities [N,K] of others, a chunk of logits at a time."""

    def one(state: Tensor, token: Tensor, others: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        logits = head(state).float()
        logits = logits if temperature == 1 else logits / temperature
        nothing = logits.new_zeros(0)
        if not entropy and others is None:
            return -F.cross_entropy(logits, token, reduction="none"), nothing, nothing
        logp = torch.log_softmax(logits, -1)
        spread = entropy_of(logp) if entropy else nothing
        rest = nothing if others is None else logp.gather(-1, others)
        return logp.gather(-1, token[:, None]).squeeze(-1), spread, rest

    step = max(_CHUNK.get(state_ND.device.type, 1 << 24) // vocabulary, 1)
    parts_N = list(torch.split(token_N, step))
    others = [None] * len(parts_N) if others_NK is None else list(torch.split(others_NK, step))
    chunks = list(zip(torch.split(state_ND, step), parts_N, others, strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        parts = [one(*chunk) for chunk in chunks]
    else:
        parts = [checkpoint(one, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
    joined = [torch.cat([part[i] for part in parts]) for i in range(3)]
    return joined[0], joined[1] if entropy else None, None if others_NK is None else joined[2]
