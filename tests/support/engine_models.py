"""Tiny models with random weights, large enough that near ties are rare."""

from __future__ import annotations

import random
from typing import Any

import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

END = 1
VOCABULARY = 61
CACHED = ("llama", "qwen2", "gemma2", "mistral", "gpt_neox", "gpt2")
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
    "bos_token_id": 2,
    "eos_token_id": END,
    "pad_token_id": 0,
}
_GROUPED = {"num_key_value_heads": 2, **_SHAPE}
_OLD = {"vocab_size": VOCABULARY, "initializer_range": 0.3, "n_layer": 2, "n_head": 4}
_OLD |= {"bos_token_id": 2, "eos_token_id": END, "pad_token_id": 0}
_GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 6}


def tiny(name: str) -> Any:
    """A model by the name of its architecture, in evaluation mode."""
    torch.manual_seed(3)
    match name:
        case "llama":
            model: Any = LlamaForCausalLM(LlamaConfig(**_SHAPE))
        case "qwen2":
            model = Qwen2ForCausalLM(Qwen2Config(**_GROUPED))
        case "gemma2":
            model = Gemma2ForCausalLM(Gemma2Config(**_GEMMA, **_GROUPED))
        case "mistral":
            model = MistralForCausalLM(MistralConfig(sliding_window=6, **_GROUPED))
        case "gpt_neox":
            model = GPTNeoXForCausalLM(GPTNeoXConfig(**_SHAPE))
        case "gpt2":
            model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_positions=96, **_OLD))
        case "bloom":
            model = BloomForCausalLM(BloomConfig(hidden_size=32, **_OLD))
        case _:
            raise LookupError(name)
    return model.eval()


def prompts(count: int, longest: int = 14, seed: int = 0) -> list[tuple[int, ...]]:
    """Ragged random prompts."""
    draw = random.Random(seed)
    return [tuple(draw.randrange(2, VOCABULARY) for _ in range(draw.randrange(1, longest + 1))) for _ in range(count)]


def full_logprobs(model: Any, prompt: tuple[int, ...], tokens: tuple[int, ...]) -> list[float]:
    """Log-probabilities of ``tokens`` after ``prompt``: one forward pass, no cache, mask or padding."""
    row_1T = torch.tensor([[*prompt, *tokens]])
    with torch.no_grad():
        logprob_TV = model(input_ids=row_1T, use_cache=False).logits[0].float().log_softmax(-1)
    first = len(prompt) - 1
    return [float(logprob_TV[first + i, token]) for i, token in enumerate(tokens)]
