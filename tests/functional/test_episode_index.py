"""Gathering episodes out of rows, against rows counted by hand and plain loops."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_batches import Act, Episode, build, episode_lists, per_episode

from hone.functional.episodes import Episodes


def act(observation: int, value: list[float], reward: float = 0.0, restart: bool = False) -> Act:
    zeros = [0.0] * len(value)
    return Act(observation, value, zeros, zeros, zeros, reward, restart)


def test_observations_padding_and_row_borders_vanish() -> None:
    split = Episode(5, [act(2, [1, 2]), act(1, [3]), act(3, [4, 5], restart=True)])
    short = Episode(5, [act(1, [9])])
    batch, _ = build([split, short], shuffle=3)
    episodes = Episodes.index(batch, batch.sampled)
    assert batch.value is not None
    assert episodes.gather(batch.value).tolist() == [[1, 2, 3, 4, 5], [9, 0, 0, 0, 0]]
    assert episodes.turn_EA.tolist() == [[0, 0, 1, 2, 2], [0, 0, 0, 0, 0]]
    assert episodes.first_EA.tolist() == [
        [True, False, True, True, False],
        [True, False, False, False, False],
    ]
    assert episodes.turn_sum(episodes.gather(batch.value)).tolist() == [[3, 3, 9], [9, 0, 0]]
    assert episodes.turn_first(episodes.gather(batch.value)).tolist() == [[1, 3, 4], [9, 0, 0]]
    assert episodes.mask_EU.tolist() == [[True, True, True], [True, False, False]]
    assert batch.bootstrap[episodes.last_E].tolist() == [0.0, 0.0]  # not the 99 of the inner row
    assert episodes.group_E.tolist() == [5, 5]


def test_turns_numbered_afresh_in_every_row_are_still_apart() -> None:
    batch, _ = build([Episode(0, [act(1, [1, 2]), act(1, [3], restart=True)])], shuffle=1)
    batch = batch.with_(turn=torch.zeros_like(batch.turn))
    assert Episodes.index(batch, batch.sampled).turn_EA.tolist() == [[0, 0, 1]]


def test_an_episode_without_action_tokens_is_an_empty_row() -> None:
    batch, _ = build([Episode(0, [act(1, [1, 2])]), Episode(0, [act(1, [3])])])
    batch = batch.with_(sampled=batch.sampled & (batch.value == 3))
    episodes = Episodes.index(batch, batch.sampled)
    assert episodes.mask_EA.tolist() == [[False], [True]]
    assert episodes.mask_EU.tolist() == [[False], [True]]


def test_totals_do_not_depend_on_how_a_reward_was_spread() -> None:
    at_once = Episode(0, [act(1, [1], reward=0.1)])
    in_steps = Episode(0, [act(1, [1], reward=r) for r in (0.1, 1.0, -1.0)])
    batch, _ = build([at_once, in_steps])
    total = Episodes.index(batch, batch.sampled).total(batch.reward, batch.mask)
    assert total[0] == total[1] == torch.tensor(0.1)


def test_entries_off_the_mask_may_be_anything() -> None:
    batch, _ = build([Episode(0, [act(2, [1.0]), act(0, [2.0, 3.0])]), Episode(0, [act(0, [4.0])])])
    assert batch.value is not None
    dirty = batch.value.masked_fill(~batch.sampled, torch.nan).requires_grad_()
    episodes = Episodes.index(batch, batch.sampled)
    gathered = episodes.gather(dirty)
    assert gathered.tolist() == [[1, 2, 3], [4, 0, 0]]
    episodes.scatter(gathered * 2).sum().backward()  # type: ignore[no-untyped-call]
    assert dirty.grad is not None
    assert torch.equal(dirty.grad, batch.sampled * 2.0)


@settings(max_examples=30, deadline=None)
@given(episode_lists(), st.integers(0, 99))
def test_gather_and_scatter_against_loops(specs: list[Episode], shuffle: int) -> None:
    batch, logprob_BT = build(specs, shuffle)
    episodes = Episodes.index(batch, batch.sampled)
    assert len(episodes) == len(specs)
    gathered = episodes.gather(logprob_BT)
    for row, mask, spec in zip(gathered, episodes.mask_EA, specs, strict=True):
        assert row[mask].tolist() == torch.tensor(spec.flat("logprob")).tolist()
        assert not row[~mask].any()
    assert torch.equal(episodes.scatter(gathered), torch.where(batch.sampled, logprob_BT, torch.zeros(())))
    total = [sum(spec.flat("logprob")) for spec in specs]
    torch.testing.assert_close(episodes.total(logprob_BT, batch.sampled), torch.tensor(total))
    spread = episodes.spread(torch.arange(float(len(specs))), batch.sampled)
    for number, entries in enumerate(per_episode(batch, spread, len(specs))):
        assert entries == [number] * len(specs[number].flat("value"))
