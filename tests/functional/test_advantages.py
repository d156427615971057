"""Group baselines and whitening: by hand and against the statistics module."""

from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hone.functional.advantages import (
    batch_mean,
    group_centred,
    group_centred_batch_scaled,
    group_zscore,
    leave_one_out,
    whiten,
)

ALL = torch.ones(4, dtype=torch.bool)
ONE_GROUP = torch.zeros(4, dtype=torch.int64)
NAN = float("nan")


def test_by_hand() -> None:
    reward = torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert group_centred(reward, ONE_GROUP, ALL).tolist() == [0.5, -0.5, -0.5, 0.5]
    assert leave_one_out(reward, ONE_GROUP, ALL).tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])
    # sample deviation: sqrt(4 · .25 / 3) = .57735
    assert group_zscore(reward, ONE_GROUP, ALL).tolist() == pytest.approx(
        [0.5 / (3**-0.5 + 1e-4) * s for s in (1, -1, -1, 1)]
    )


def test_a_failed_reward_is_in_no_baseline_and_gets_zero() -> None:
    reward = torch.tensor([1.0, NAN, 0.0, 2.0])
    valid = torch.tensor([True, False, True, True])
    assert group_centred(reward, ONE_GROUP, valid).tolist() == [0.0, 0.0, -1.0, 1.0]
    assert leave_one_out(reward, ONE_GROUP, valid).tolist() == [0.0, 0.0, -1.5, 1.5]
    assert group_zscore(reward, ONE_GROUP, valid).tolist() == pytest.approx([0, 0, -1 / 1.0001, 1 / 1.0001])


@pytest.mark.parametrize(
    "estimate", [group_centred, group_zscore, leave_one_out, batch_mean, group_centred_batch_scaled]
)
@pytest.mark.parametrize(
    ("reward", "valid"),
    [([0.1, 0.1, 0.1, 0.1], [1, 1, 1, 1]), ([0.7, NAN, NAN, NAN], [1, 0, 0, 0]), ([NAN] * 4, [0] * 4)],
)
def test_no_spread_and_groups_of_one_are_exactly_zero(estimate, reward, valid) -> None:  # type: ignore[no-untyped-def]
    found = estimate(torch.tensor(reward), ONE_GROUP, torch.tensor(valid, dtype=torch.bool))
    assert found.tolist() == [0.0] * 4
    assert estimate(torch.zeros(0), ONE_GROUP[:0], ALL[:0]).tolist() == []


rows = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.1, 0.3, -2.0]), st.integers(-1, 2), st.booleans()), max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_against_the_statistics_module(given_rows: list[tuple[float, int, bool]]) -> None:
    reward = torch.tensor([r if ok else NAN for r, _, ok in given_rows])
    group = torch.tensor([g for _, g, _ in given_rows], dtype=torch.int64)
    valid = torch.tensor([ok for _, _, ok in given_rows], dtype=torch.bool)
    centred, zscore, alone, whole, scaled = (list[float]() for _ in range(5))
    everybody = [r for r, _, ok in given_rows if ok]
    for i, (r, g, ok) in enumerate(given_rows):
        members = [x for x, other, fine in given_rows if fine and other == g]
        others = [x for j, (x, other, fine) in enumerate(given_rows) if fine and other == g and j != i]
        signal = ok and len(set(members)) > 1
        centred.append(r - statistics.mean(members) if signal else 0.0)
        zscore.append((r - statistics.mean(members)) / (statistics.stdev(members) + 1e-4) if signal else 0.0)
        alone.append(r - statistics.mean(others) if signal else 0.0)
        whole.append(r - statistics.mean(everybody) if ok else 0.0)
        scaled.append((r - statistics.mean(members)) / (statistics.stdev(everybody) + 1e-4) if signal else 0.0)
    for estimate, expected in (
        (group_centred, centred),
        (group_zscore, zscore),
        (leave_one_out, alone),
        (batch_mean, whole),
        (group_centred_batch_scaled, scaled),
    ):
        assert estimate(reward, group, valid).tolist() == pytest.approx(expected, abs=1e-5)


def test_whitening_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0, NAN], [5.0, 7.0, 1e9]])
    mask = torch.tensor([[True, True, False], [True, True, False]])
    # mean 4, population variance (9 + 1 + 1 + 9)/4 = 5
    z = [v / 5**0.5 for v in (-3, -1, 1, 3)]
    assert whiten(x, mask).flatten().tolist() == pytest.approx([*z[:2], 0, *z[2:], 0])
    assert whiten(x, mask, keep_mean=True).flatten().tolist() == pytest.approx(
        [z[0] + 4, z[1] + 4, 0, z[2] + 4, z[3] + 4, 0]
    )
    assert whiten(x, mask & False).tolist() == [[0.0] * 3] * 2
