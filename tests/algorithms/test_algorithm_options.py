"""Options: what they ask of the loop, what is refused and in which words, and the way in from TOML."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from random_batches import Act, Episode, build
from reducing import total_loss, with_advantages

from hone import A2C, CISPO, DAPO, GRPO, GSPO, PPO, REINFORCE, RLOO, DrGRPO
from hone.algorithms._policy_gradient import PolicyGradient
from hone.algorithms.base import Algorithm
from hone.algorithms.nll import NLL
from hone.core.config import build_named, plain
from hone.core.errors import HoneError
from hone.core.resolve import short_name


def test_every_algorithm_satisfies_the_protocol() -> None:
    everybody: list[Algorithm] = [GRPO(), RLOO(), NLL(), PPO(), A2C()]  # checked by the type checker
    assert [a.unit for a in everybody] == ["token", "group", "token", "token", "token"]
    assert [a.group_baseline for a in everybody] == [True, True, False, False, False]
    for algorithm in everybody:
        state = algorithm.init_state()
        assert algorithm.update_state(state, {"kl": 1.0}) == state


def test_needs_follow_from_the_options() -> None:
    assert GRPO().needs == RLOO().needs == {"old_logprob"}
    assert GRPO(beta=0.1).needs == RLOO(beta=0.1).needs == {"old_logprob", "ref_logprob"}
    assert NLL().needs == set()
    assert PPO().needs == A2C().needs == {"old_logprob", "value"}
    assert PPO(beta=0.1).needs == A2C(alpha=0.1).needs == {"old_logprob", "value", "ref_logprob"}
    assert PPO(entropy_weight=0.1).needs == {"old_logprob", "value", "entropy"}


def test_the_family_s_units_and_baselines() -> None:
    family: list[Algorithm] = [DAPO(), DrGRPO(length=8), GSPO(), CISPO(), REINFORCE()]
    assert [a.unit for a in family] == ["token", "token", "group", "token", "token"]
    assert [a.group_baseline for a in family] == [True, True, True, True, False]


@pytest.mark.parametrize("algorithm", [GRPO, RLOO, DAPO, GSPO, CISPO, REINFORCE])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tis": 0.0}, "tis must be positive"),
        ({"mis": (1.1, 2.0)}, "mis must be two bounds around 1"),
        ({"mis": (-0.1, 2.0)}, "mis must be two bounds around 1"),
        ({"tis": 2.0, "mis": (0.5, 2.0)}, "set one of them"),
        ({"kl": "k2"}, "kl and kl_in have no effect while beta is 0"),
        ({"clip_low": -0.1}, "clip_low must lie between 0 and 1"),
        ({"clip_low": 1.5}, "clip_low must lie between 0 and 1"),
        ({"clip_high": -0.1}, "clip_high must not be negative"),
        ({"beta": -0.1}, "beta must not be negative"),
    ],
)
def test_refused_options(algorithm: type[PolicyGradient], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        algorithm(**options)


def test_a_dual_clip_lies_above_the_clip() -> None:
    with pytest.raises(ValueError, match=r"dual_clip must be above 1 \+ clip_high = 1.28, not 1.28"):
        DAPO(dual_clip=1.28)
    with pytest.raises(TypeError, match="dual_clip"):  # every ratio of CISPO is bounded already
        CISPO(dual_clip=4.0)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": "dapo"}, DAPO()),
        ({"name": "dr_grpo", "length": 8, "tis": 2}, DrGRPO(length=8, tis=2.0)),
        ({"name": "gspo", "mis": [0.5, 2.0]}, GSPO(mis=(0.5, 2.0))),
        ({"name": "cispo", "clip_high": 1.0}, CISPO(clip_high=1.0)),
        (
            {"name": "reinforce", "advantage": "zscore", "normaliser": "tokens"},
            REINFORCE(advantage="zscore", normaliser="tokens"),
        ),
        ({"name": "grpo", "dual_clip": 4.0}, GRPO(dual_clip=4.0)),
    ],
)
def test_members_by_their_names(values: dict[str, Any], expected: PolicyGradient) -> None:
    assert build_named(values, "hone.algorithms", "algorithm") == expected


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "dr_grpo"}, "a setting is missing.*expected a value for length"),
        ({"name": "dr_grpo", "length": 0}, "length must be at least 1"),
        ({"name": "cispo", "dual_clip": 4.0}, "unknown key"),
        ({"name": "gspo", "normaliser": "tokens"}, "unknown key"),
        ({"name": "rloo", "kl": "k3"}, "no effect while beta is 0"),
    ],
)
def test_members_refuse_what_they_do_not_have(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HoneError, match=sentence):
        build_named(values, "hone.algorithms", "algorithm")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"normaliser": 0}, "at least 1, not 0"),
        ({"kl": "k1"}, "kl and kl_in have no effect while beta is 0"),
        ({"kl_in": "reward"}, "kl and kl_in have no effect while beta is 0"),
        ({"kl": "k4", "beta": 0.1}, "k4"),
        ({"normaliser": "rows"}, "rows"),
        ({"clip": 0.2}, 'did you mean "clip_low"|one of'),
    ],
)
def test_refused_in_toml(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HoneError, match=sentence):
        build_named({"name": "grpo", **values}, "hone.algorithms", "algorithm")


@pytest.mark.parametrize(
    "algorithm",
    [
        GRPO(),
        GRPO(0.1, 0.28, 0.04, "k2", "reward", "centred", 512),
        GRPO(normaliser="tokens"),
        RLOO(0.1, 0.3, 0.05),
        DAPO(0.1, 0.3, dual_clip=4.0),
        DrGRPO(length=17, mis=(0.5, 2.0)),
        GSPO(tis=2.0),
        CISPO(0.5, 3.0, 0.1, "k2"),
        REINFORCE(beta=0.1),
        NLL(),
    ],
    ids=str,
)
def test_to_toml_and_back(algorithm: PolicyGradient | NLL) -> None:
    table = plain(algorithm) | {"name": short_name(algorithm, "hone.algorithms")}
    assert build_named(table, "hone.algorithms", "algorithm") == algorithm


def test_without_old_logprobs_the_policy_is_its_own_old_one() -> None:
    act = Act(1, [0.0] * 2, [-1.0, -2.0], [-1.0, -2.0], [-1.5, -2.0], 1.0, False)
    worse = Act(1, [0.0], [-3.0], [-3.0], [-2.0], 0.0, False)
    for algorithm in (GRPO(beta=0.2), RLOO(beta=0.2), GRPO(beta=0.2, kl="k1", kl_in="reward")):
        results = []
        for known in (True, False):
            batch, logprob = build([Episode(0, [act]), Episode(0, [worse])])
            batch = with_advantages(algorithm, batch if known else batch.with_(old_logprob=None))
            leaf = logprob.clone().requires_grad_()
            loss, named = total_loss(algorithm, batch, leaf)
            assert leaf.grad is not None
            results.append((loss, named, leaf.grad))
        assert results[0][:2] == results[1][:2]
        assert torch.equal(results[0][2], results[1][2])
        assert results[0][1]["ratio"] == pytest.approx(1.0)


def test_a_missing_advantage_is_named() -> None:
    batch, logprob = build([Episode(0, [Act(0, [0.0], [-1.0], [-1.0], [-1.0], 1.0, False)])])
    with pytest.raises(LookupError, match='"advantage" was not computed'):
        total_loss(GRPO(), batch, logprob)
