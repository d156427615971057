"""What a model asks of the machine, and what the machine does."""

from __future__ import annotations

import time

import pytest
import torch

from hone.models.limits import matrix_parameters, matrix_product_rate, memory_rate, shortest
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer


@pytest.mark.parametrize("tie", [False, True])
def test_every_matrix_but_the_input_embedding_counts(tie: bool) -> None:
    config = TinyConfig(width=8, layers=2, heads=2, kv_heads=1, intermediate=20, max_length=16, tie=tie)
    policy = create_tiny(config, char_tokenizer("abc"), 0)  # 6 tokens
    attention = 8 * 8 + 2 * 8 * 4 + 8 * 8
    assert matrix_parameters(policy.model) == 2 * (attention + 3 * 8 * 20) + 8 * 6


def test_the_shortest_call_counts_and_the_first_does_not() -> None:
    pauses = iter([0.5, 0.02, 0.001, 0.02])
    found = shortest(lambda: time.sleep(next(pauses, 0.01)), torch.device("cpu"), 0.05)
    assert 0.001 <= found < 0.009


def test_rates_are_of_the_order_of_a_machine() -> None:
    assert 1e8 < matrix_product_rate(seconds=0.02) < 1e15
    assert 1e8 < memory_rate(seconds=0.05) < 1e14
