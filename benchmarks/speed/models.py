"""What all sides work on: models with random weights, prompts, lengths. Written once, read by everybody.

A Llama whose next token is nearly uniform, but for the end token: its probability is set to 1 in ``MEAN_LENGTH`` in
every state, so that sampled completions have geometric lengths, whatever the vocabulary.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

MEAN_LENGTH = 23
"""Mean of the geometric lengths before they are cut: cut at 64 tokens their mean is 22."""
PAD, END, FIRST = 0, 1, 2

SIZES: dict[str, tuple[int, int, int, int]] = {
    "0.3M": (64, 2, 2, 1),
    "1M": (128, 3, 4, 2),
    "5M": (256, 5, 8, 4),
    "25M": (512, 8, 8, 4),
    "100M": (1024, 8, 16, 8),
}
"""Width, layers, heads and key-value heads; the names count embeddings of a vocabulary of 2,048 too."""


def make_model(folder: Path, size: str, vocabulary: int = 2048, seed: int = 0) -> dict[str, Any]:
    """Write a model with its tokenizer in Hugging Face layout, unless it is there; returns facts about it."""
    about = folder / "about.json"
    if about.exists():
        found: dict[str, Any] = json.loads(about.read_text())
        return found
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    width, layers, heads, kv_heads = SIZES[size]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=width * 8 // 3,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config).eval()
    _set_end(model, vocabulary)
    model.save_pretrained(folder)
    _tokenizer(vocabulary).save_pretrained(folder)
    matrices = sum(p.numel() for n, p in model.named_parameters() if p.dim() == 2 and "embed_tokens" not in n)
    facts = {
        "size": size,
        "vocabulary": vocabulary,
        "parameters": sum(p.numel() for p in model.parameters()),
        "matrix_parameters": matrices,
        "matrices": [list(p.shape) for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n],
        "cache_bytes_per_token": 2 * layers * kv_heads * (width // heads) * 4,
    }
    about.write_text(json.dumps(facts))
    return facts


def _set_end(model: Any, vocabulary: int) -> None:
    """Give every state a common direction, and the end token a logit along it."""
    import torch

    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        common = torch.nn.functional.normalize(torch.randn(embedding.shape[1]), dim=0)
        embedding += 3 * embedding.norm(dim=-1).mean() * common
        head = model.get_output_embeddings().weight
        head -= (head @ common)[:, None] * common
        ids = torch.randint(FIRST, vocabulary, (8, 32))
        along = (model.model(ids).last_hidden_state @ common).mean()
        head[END] = math.log((vocabulary - 1) / (MEAN_LENGTH - 1)) / along * common


def _tokenizer(vocabulary: int) -> Any:
    """Words ``t2`` to ``t<vocabulary − 1>``, one token each."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = {"<pad>": PAD, "<eos>": END} | {f"t{i}": i for i in range(FIRST, vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


def make_prompts(count: int, low: int, high: int, vocabulary: int = 2048, seed: int = 0) -> list[list[int]]:
    """Random ids; the lengths are uniform between ``low`` and ``high``."""
    draw = random.Random(f"prompts {seed}")
    return [[draw.randrange(FIRST, vocabulary) for _ in range(draw.randint(low, high))] for _ in range(count)]


def make_lengths(count: int, mean: int, most: int, seed: int = 0) -> list[int]:
    """Geometric lengths of this mean before the cut at ``most``."""
    draw = random.Random(f"lengths {seed}")
    return [min(most, 1 + int(math.log(1 - draw.random()) / math.log(1 - 1 / mean))) for _ in range(count)]


def words(ids: list[int]) -> str:
    """The text that encodes to these ids."""
    return " ".join(f"t{i}" for i in ids)


def write_questions(path: Path, prompts: list[list[int]]) -> None:
    """Prompts as JSON lines, with the known good answer that hone's preflight wants."""
    path.write_text("".join(json.dumps({"prompt": words(p), "answer": "t2"}) + "\n" for p in prompts))
