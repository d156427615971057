"""Special tokens: which ids end a completion, and a padding id that is none of them."""

from __future__ import annotations

import re
from typing import Any

import torch

from hone.models.chat import Renderer

_SPARE = re.compile(r"pad|unused|reserved", re.IGNORECASE)
_PAD = "<|pad|>"


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that ends a completion: of both configs, the tokenizer and its chat template.

    A chat model often has two (one ends a turn, one a document); leaving one out makes completions run on.
    """
    named = [model.config.get_text_config().eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id]
    named.append(Renderer(tokenizer).end_id)
    if getattr(model, "generation_config", None) is not None:
        named.append(model.generation_config.eos_token_id)
    found: set[int] = set()
    for ids in named:
        found.update(ids if isinstance(ids, list | tuple) else [] if ids is None else [ids])
    return frozenset(found)


def ensure_pad(model: Any, tokenizer: Any, ends: frozenset[int]) -> int:
    """Give model and tokenizer a padding id that ends nothing, and return it.

    In this order: the tokenizer's own; a special token that was put aside (its name says pad, unused or
    reserved); the unknown token; a new token, for which the embedding grows only if it has no spare row.
    """
    pad = tokenizer.pad_token_id
    if pad is None or pad in ends or pad == tokenizer.bos_token_id:
        if (spare := _spare(tokenizer, ends)) is not None:
            tokenizer.pad_token = spare
        else:
            tokenizer.add_special_tokens({"pad_token": _PAD})
    pad = int(tokenizer.pad_token_id)
    grow(model, max(len(tokenizer), pad + 1))
    model.config.pad_token_id = pad
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.pad_token_id = pad
    return pad


def _spare(tokenizer: Any, ends: frozenset[int]) -> str | None:
    """A token of the vocabulary that no text contains, preferring one named for padding."""
    taken = {tokenizer.bos_token_id, *ends}
    names = {str(t): i for i, t in tokenizer.added_tokens_decoder.items() if i not in taken and t.special}
    spare = [name for name in names if _SPARE.search(name)]
    if spare:
        return min(spare, key=lambda name: ("pad" not in name.lower(), names[name]))
    unknown = tokenizer.unk_token_id
    return str(tokenizer.unk_token) if unknown is not None and unknown not in taken else None


def grow(model: Any, rows: int) -> None:
    """Grow the embeddings to at least ``rows``.

    A new row is the mean of the old ones. The new token's logit is then the mean logit, so its probability is
    at most that of a uniform choice (Jensen), and no random numbers are drawn.
    """
    old = model.get_input_embeddings().weight.shape[0]
    if rows <= old:
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model.resize_token_embeddings(rows, mean_resizing=False)
        layers = {id(m): m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m is not None}
        for layer in layers.values():  # a reward model has no output embeddings
            layer.weight[old:] = layer.weight[:old].mean(0)
            if getattr(layer, "bias", None) is not None:
                layer.bias[old:] = layer.bias[:old].mean()
