"""Sampling with ``transformers.generate`` as TRL calls it: prompts repeated and padded on the left, one batch."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, StoppingCriteria, StoppingCriteriaList

from benchmarks.speed.channel import Channel
from benchmarks.speed.models import PAD


class Given(StoppingCriteria):  # type: ignore[misc]
    """A row has ended when it has its given length."""

    def __init__(self, prompt: int, lengths: list[int]) -> None:
        self.prompt, self.lengths = prompt, torch.tensor(lengths)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        return (input_ids.shape[1] - self.prompt >= self.lengths).to(input_ids.device)


def run(channel: Channel, model: str, prompts: list[list[int]], lengths: list[int], dtype: str = "float32") -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval().to(device)
    policy.generation_config.eos_token_id = None  # lengths are given
    each = len(lengths) // len(prompts)
    rows = [prompt for prompt in prompts for _ in range(each)]
    width = max(map(len, rows))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    how = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=max(lengths), pad_token_id=PAD
    )
    ends = StoppingCriteriaList([Given(width, lengths)])
    half = torch.autocast(device, dtype=torch.bfloat16) if dtype == "bfloat16" else nullcontext()
    made = 0
    while True:
        channel.gate(tokens=made)
        with torch.no_grad(), half:
            out = policy.generate(input_ids=ids, attention_mask=mask, generation_config=how, stopping_criteria=ends)
        assert out.shape[1] - width == max(lengths)
        made = sum(lengths)
