"""Tiny policies with random weights, of stock transformers architectures, for a CPU to train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from hone.core.errors import HoneError, nearest
from hone.models.policy import ModelConfig, Policy
from hone.models.reading import no_dropout


@dataclass(frozen=True)
class TinyConfig:
    """Size and architecture of a tiny policy.

    Attributes:
        architecture: "llama", "qwen2", "gemma2", "gpt2" (learned absolute positions) or "gpt_neox".
        width: size of the hidden states.
        layers: number of blocks.
        heads: attention heads; ``width`` is a multiple of it.
        kv_heads: key-value heads, as many as ``heads`` if None (gpt2 and gpt_neox have no other choice).
        intermediate: width of the feed-forward layer; if None 4 times ``width``, or 8/3 where it is gated
            (about the same number of parameters).
        max_length: positions of the context.
        initializer_range: standard deviation of the initial weights. 0.1, not the customary 0.02: at width 96
            a model that starts so small does not learn in the few steps it gets.
        tie: input and output embeddings are one matrix.
    """

    architecture: str = "llama"
    width: int = 96
    layers: int = 3
    heads: int = 4
    kv_heads: int | None = None
    intermediate: int | None = None
    max_length: int = 512
    initializer_range: float = 0.1
    tie: bool = False

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} is no multiple of kv_heads {self.kv_heads}")


def create_tiny(config: TinyConfig, tokenizer: Any, seed: int, *, device: str = "cpu") -> Policy:
    """A policy with random weights, a function of ``config``, the vocabulary's size and ``seed`` alone.

    Args:
        config: architecture and size.
        tokenizer: gives the vocabulary.
        seed: of the weights; the caller's random numbers are not touched.
        device: where the policy is moved to after it was made on the CPU.

    Raises:
        HoneError: an architecture that is not listed in :class:`TinyConfig`, or one that cannot have
            ``kv_heads``.
    """
    if config.architecture not in _CONFIGS:
        raise HoneError(
            "unknown architecture",
            got=f'"{config.architecture}"',
            expected=nearest(config.architecture, _CONFIGS),
        )
    built = _CONFIGS[config.architecture](
        config,
        {
            "vocab_size": len(tokenizer),
            "initializer_range": config.initializer_range,
            "tie_word_embeddings": config.tie,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
    )
    no_dropout(built)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            built,
            dtype=torch.float32,
            attn_implementation="eager" if config.architecture == "gemma2" else None,
        )
    return Policy(model.to(device).eval(), tokenizer, ModelConfig("", dtype="float32", device=device))


def _gated(config: TinyConfig, common: dict[str, Any]) -> dict[str, Any]:
    return {
        **common,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads or config.heads,
        "intermediate_size": config.intermediate or config.width * 8 // 3,
        "max_position_embeddings": config.max_length,
    }


def _gemma2(config: TinyConfig, common: dict[str, Any]) -> Any:
    head = config.width // config.heads
    return transformers.Gemma2Config(
        **_gated(config, common),
        head_dim=head,
        query_pre_attn_scalar=head,
        sliding_window=config.max_length,
    )


def _gpt2(config: TinyConfig, common: dict[str, Any]) -> Any:
    _one_key_per_head(config)
    return transformers.GPT2Config(
        **common,
        n_embd=config.width,
        n_layer=config.layers,
        n_head=config.heads,
        n_inner=config.intermediate,
        n_positions=config.max_length,
    )


def _gpt_neox(config: TinyConfig, common: dict[str, Any]) -> Any:
    _one_key_per_head(config)
    return transformers.GPTNeoXConfig(
        **common,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate or 4 * config.width,
        max_position_embeddings=config.max_length,
    )


def _one_key_per_head(config: TinyConfig) -> None:
    if config.kv_heads not in (None, config.heads):
        raise HoneError(f"{config.architecture} has one key-value head per head", where="kv_heads")


_CONFIGS: dict[str, Callable[[TinyConfig, dict[str, Any]], Any]] = {
    "llama": lambda config, common: transformers.LlamaConfig(**_gated(config, common)),
    "qwen2": lambda config, common: transformers.Qwen2Config(**_gated(config, common)),
    "gemma2": _gemma2,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
}
