"""Columns without gradient: in forward passes of the recipe's size and layout, with the numbers of one pass."""

from typing import Any

import pytest
import torch
from policies import ragged, tiny

from hone.core.batch import Batch
from hone.models.policy import Policy
from hone.training.columns import score_all


class Watched:
    """A policy that remembers what it was asked."""

    def __init__(self, policy: Policy) -> None:
        self.policy, self.asked = policy, list[tuple[int, str]]()

    def score(self, batch: Batch, **how: Any) -> Any:
        self.asked.append((batch.tokens.numel(), how["layout"]))
        return self.policy.score(batch, **how)

    def skips_padding(self, layout: Any) -> bool:
        return self.policy.skips_padding(layout)


@pytest.mark.parametrize("layout", ["padded", "packed", "tree", "auto"])
def test_small_passes_give_the_numbers_of_one(layout: Any) -> None:
    policy = tiny()
    with torch.no_grad():
        policy.add_value_head().linear.weight.normal_()
    batch = ragged(tuple(3 + i % 9 for i in range(20)))
    whole = policy.score(batch, needs=frozenset({"value"}), temperature=0.7, layout="padded")
    watched = Watched(policy)
    found = score_all(watched, batch, micro_tokens=30, needs=frozenset({"value"}), temperature=0.7, layout=layout)
    assert len(watched.asked) > 3
    assert max(tokens for tokens, _ in watched.asked) <= (30 if layout == "padded" else 60)
    assert {asked for _, asked in watched.asked} == {layout}
    torch.testing.assert_close(found.logprob, whole.logprob, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.need("value"), whole.need("value"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.need("last_value"), whole.need("last_value"), rtol=1e-5, atol=1e-5)
    assert not found.logprob.requires_grad


def test_values_are_made_only_where_they_are_needed() -> None:
    found = score_all(tiny(), ragged(), micro_tokens=8)
    assert found.value is None
    assert found.last_value is None
