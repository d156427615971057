"""The matrix products of decoding alone: for every token of a batch of rows each matrix of the model once."""

from __future__ import annotations

import torch

from benchmarks.speed.channel import Channel
from hone.models.limits import matrix_product_rate, memory_rate, synchronise


def run(channel: Channel, matrices: list[list[int]], tokens: int, rows: int = 64, dtype: str = "float32") -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind: torch.dtype = getattr(torch, dtype)
    gflops = matrix_product_rate(kind, device) / 1e9
    gbytes = memory_rate(device) / 1e9
    weights = [torch.randn(shape, device=device).to(kind) for shape in matrices]
    inputs = {width: torch.randn(rows, width, device=device).to(kind) for width in {w.shape[1] for w in weights}}
    while True:
        channel.gate(tokens=tokens, gflops=gflops, gbytes=gbytes, rows=rows, device=device.type)
        with torch.inference_mode():
            for _ in range(-(-tokens // rows)):
                for weight in weights:
                    torch.nn.functional.linear(inputs[weight.shape[1]], weight)
        synchronise(device)
