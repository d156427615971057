"""Tiny policies and ragged batches that the tests of this folder share."""

import torch

from hone.core.batch import Batch
from hone.models.policy import Policy
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer

ALPHABET = "0123456789+-*= \n"
ARCHITECTURES = ("llama", "qwen2", "gemma2", "gpt2", "gpt_neox")


def tiny(architecture: str = "llama", seed: int = 0, **size: int) -> Policy:
    shape = {"width": 16, "layers": 2, "heads": 2, "max_length": 32} | size
    return create_tiny(TinyConfig(architecture, **shape), char_tokenizer(ALPHABET), seed)  # type: ignore[arg-type]


def ragged(lengths: tuple[int, ...] = (9, 4, 7, 1), vocabulary: int = 19, pad: int = 0, extra: int = 0) -> Batch:
    """Rows of these lengths with random tokens; some are sampled, some trained, some neither."""
    noise = torch.Generator().manual_seed(1)
    shape = (len(lengths), max(lengths) + extra)
    mask = torch.arange(shape[1])[None] < torch.tensor(lengths)[:, None]
    tokens = torch.randint(3, vocabulary, (len(lengths), max(lengths)), generator=noise)
    tokens = torch.nn.functional.pad(tokens, (0, extra))
    wanted = torch.rand((2, len(lengths), max(lengths)), generator=noise) < 0.5
    sampled, train = torch.nn.functional.pad(wanted, (0, extra)) & mask
    zeros = torch.zeros(shape)
    index = torch.arange(len(lengths))
    return Batch(
        tokens=torch.where(mask, tokens, pad),
        mask=mask,
        sampled=sampled,
        train=train,
        turn=zeros.long(),
        reward=zeros,
        behaviour_logprob=zeros,
        episode=index,
        step=torch.zeros_like(index),
        group=index,
        terminated=torch.ones_like(index).bool(),
        bootstrap=torch.zeros(len(lengths)),
    )
