"""Bandit environments: what arms pay, what is keyed by what, Gymnasium's rules, and faults of the user."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from hone.core.errors import HoneError
from hone.core.seeding import key, uniforms
from hone.core.streams import Streams, key_array
from hone.envs.arms import Bernoulli, Family, Gaussian, normal_quantile
from hone.envs.bandit import BanditEnv, Bandits
from hone.envs.contextual import ContextualBanditEnv, ContextualBandits, LatentFactors


def test_streams_give_the_keyed_uniforms_whatever_the_block() -> None:
    keys = np.array([key("a"), key("b")], dtype=np.uint64)
    expected = [[float(uniforms(keys[n : n + 1], np.array([p], np.uint64))[0]) for n in (0, 1)] for p in range(6)]
    for block in (1, 2, 5, None):
        stream = Streams(keys, width=2, block=block)
        for step in (2, 0, 1):  # also backwards
            assert stream.at(step).tolist() == expected[2 * step : 2 * step + 2]


def test_keys_of_many_episodes_are_distinct_and_independent_of_order() -> None:
    keys = key_array(("x", 1), range(1000), [0] * 1000)
    assert len(set(keys.tolist())) == 1000
    assert key_array(("x", 1), [999, 3], [0, 0]).tolist() == [keys[999], keys[3]]
    assert key_array(("x", 2), [3], [0])[0] != keys[3] != key_array(("x", 1), [3], [1])[0]


def test_normal_quantile_is_the_inverse_of_the_distribution() -> None:
    found = normal_quantile(np.array([0.5, 0.975, 0.15865525393145707, 0.0]))
    assert found[:3] == pytest.approx([0.0, 1.959963984540054, -1.0], abs=1e-12)
    assert -8.3 < found[3] < -8.2


@pytest.mark.parametrize(
    ("family", "mean", "spread"),
    [
        (Gaussian(), 0.0, 1.0),
        (Gaussian(centre=4.0, spread=3.0), 4.0, 3.0),
        (Gaussian("uniform01", noise=0.1), 0.5, 12**-0.5),
        (Bernoulli(), 0.5, 12**-0.5),
    ],
)
def test_means_have_their_distribution(family: Family, mean: float, spread: float) -> None:
    means = Bandits(family, 10, 4000).means_NK
    assert means.mean() == pytest.approx(mean, abs=4 * spread / 200)
    assert means.std() == pytest.approx(spread, rel=0.02)


def test_rewards_have_mean_and_noise_of_the_arm() -> None:
    gaussian = Bandits(Gaussian((0.3, -2.0), noise=0.5), 2, 20_000)
    bernoulli = Bandits(Bernoulli((0.2, 0.9)), 2, 20_000)
    for arm, mean, p in ((0, 0.3, 0.2), (1, -2.0, 0.9)):
        reward = gaussian.pull(np.full(20_000, arm))
        assert reward.mean() == pytest.approx(mean, abs=0.015)
        assert reward.std() == pytest.approx(0.5, rel=0.02)
        hits = bernoulli.pull(np.full(20_000, arm))
        assert set(hits.tolist()) == {0.0, 1.0}
        assert hits.mean() == pytest.approx(p, abs=0.012)


def test_gap_form_has_one_best_arm_anywhere() -> None:
    bandits = Bandits(Bernoulli("gap", 0.2), 5, 5000)
    assert np.allclose(np.sort(bandits.means_NK, axis=1), [0.4, 0.4, 0.4, 0.4, 0.6])
    assert np.bincount(bandits.means_NK.argmax(axis=1)) / 5000 == pytest.approx([0.2] * 5, abs=0.025)


def test_an_episode_is_the_same_in_any_company() -> None:
    together = Bandits(Gaussian(), 4, 8, seed=3)
    some = Bandits(Gaussian(), 4, [6, 2], seed=3)
    actions = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    for _ in range(300):
        assert together.pull(actions)[[6, 2]].tolist() == some.pull(actions[[6, 2]]).tolist()
    assert together.means_NK[[6, 2]].tolist() == some.means_NK.tolist()


def test_samples_share_arms_but_not_luck_and_splits_share_nothing() -> None:
    bandits = Bandits(Gaussian(), 4, [7, 7], sample=[0, 1])
    assert bandits.means_NK[0].tolist() == bandits.means_NK[1].tolist()
    first, second = bandits.pull(np.array([1, 1]))
    assert first != second
    bandits.reset()  # the same episodes with the next sample's luck
    assert bandits.pull(np.array([1, 1]))[0] == second
    assert Bandits(Gaussian(), 4, [7], split="test").means_NK.tolist() != bandits.means_NK[:1].tolist()
    assert Bandits(Gaussian(), 4, [7], seed=1).means_NK.tolist() != bandits.means_NK[:1].tolist()


def test_vector_step_tells_regret_and_ends_at_the_horizon() -> None:
    bandits = Bandits(Gaussian((1.0, 0.25)), 2, 3, horizon=2)
    observation, infos = bandits.reset(seed=5)
    assert observation.tolist() == [0, 0, 0] and infos == {}
    _, _, over, truncated, infos = bandits.step(np.array([0, 1, 1]))
    assert infos["regret"].tolist() == [0.0, 0.75, 0.75]
    assert not over.any() and not truncated.any()
    assert bandits.step(np.array([0, 0, 0]))[2].all()
    with pytest.raises(HoneError, match="episodes are over; got step 3 of 2"):
        bandits.step(np.array([0, 0, 0]))


@pytest.mark.parametrize("family", [Gaussian(), Bernoulli("gap", 0.5)])
def test_single_bandit_passes_gymnasiums_checker(family: Family) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(BanditEnv(family, 5), skip_render_check=True)


def test_single_bandit_walks_through_the_episodes_of_the_batch() -> None:
    env, batch = BanditEnv(Gaussian(), 3, horizon=2), Bandits(Gaussian(), 3, 3, sample=[0, 0, 4])
    reward = batch.pull(np.array([2, 2, 2]))
    assert env.reset() == (0, {"episode": 0})
    assert env.step(2)[1] == reward[0]
    assert env.reset()[1] == {"episode": 1}
    _, value, over, truncated, info = env.step(2)
    assert (value, over, truncated) == (reward[1], False, False)
    assert info == {"regret": pytest.approx(batch.best_N[1] - batch.means_NK[1, 2])}
    assert env.step(0)[2]
    env.reset(options={"episode": 2, "sample": 4})
    assert env.step(2)[1] == reward[2]


def test_contextual_rewards_are_the_product_of_the_factors() -> None:
    factors = LatentFactors(np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    product = {(1.0, 2.0): (1.0, 1.5), (0.0, -1.0): (0.0, -0.5), (3.0, 1.0): (3.0, 2.0)}
    bandits = ContextualBandits(factors, 50, train_users=2)
    context, _ = bandits.reset()
    for _ in range(5):
        expected = [product[tuple(row)] for row in context.tolist()]
        assert bandits.means_NK.tolist() == [list(row) for row in expected]
        context, reward, _, _, infos = bandits.step(np.arange(50) % 2)
        assert reward.tolist() == [row[n % 2] for n, row in enumerate(expected)]
        assert infos["regret"].tolist() == [max(row) - row[n % 2] for n, row in enumerate(expected)]


def test_contextual_splits_draw_from_their_own_users() -> None:
    factors = LatentFactors.drawn(users=10, arms=5, rank=3)
    for split, users in (("train", set(range(4))), ("test", set(range(4, 10)))):
        bandits = ContextualBandits(factors, 300, train_users=4, split=split)
        assert set(bandits.user_N.tolist()) == users
        before = bandits.user_N.copy()
        bandits.pull(np.zeros(300, dtype=int))
        assert (before == bandits.user_N).mean() == pytest.approx(1 / len(users), abs=0.1)


def test_drawn_factors_make_rewards_of_variance_one() -> None:
    stds = [
        (f := LatentFactors.drawn(users=400, arms=40, rank=d)) and np.std(f.users_MD @ f.arms_KD.T) for d in (5, 20)
    ]
    assert stds == pytest.approx([1.0, 1.0], abs=0.2)


def test_factors_of_ratings_are_the_best_approximation() -> None:
    ratings = np.array([[5.0, 3.0, 1.0], [4.0, 3.0, 1.0], [1.0, 1.0, 5.0], [1.0, 2.0, 4.0]])
    errors = []
    for rank in (1, 2, 3):
        factors = LatentFactors.from_ratings(ratings, rank)
        errors.append(float(np.square(factors.users_MD @ factors.arms_KD.T - ratings).sum()))
    # Eckart and Young: the squared error is the sum of the squared singular values left out.
    singular = np.sqrt(np.linalg.eigvalsh(ratings.T @ ratings)[::-1])
    assert errors == pytest.approx([float(np.square(singular[rank:]).sum()) for rank in (1, 2, 3)], abs=1e-9)
    assert all(a > b for a, b in pairwise(errors))


def test_single_contextual_bandit_passes_gymnasiums_checker() -> None:
    env = ContextualBanditEnv(LatentFactors.drawn(users=300, arms=5, rank=5), horizon=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)
    env.reset(seed=0)
    _, info = env.reset(options={"episode": 9})
    twin = ContextualBandits(env.bandits.factors, [9])
    assert info["user"] == twin.user_N[0]
    assert env.step(1)[1] == twin.pull([1])[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bernoulli((0.5, 1.2)), "not a probability; at arm 1 of Bernoulli.probabilities; got 1.2"),
        (lambda: Bernoulli((0.5, float("nan"))), "not numbers"),
        (lambda: Bernoulli("gap"), "Bernoulli.gap; got 0.0; expected above 0"),
        (lambda: Bernoulli("gap", 1.5), "got 1.5"),
        (lambda: Bernoulli(gap=0.5), "none without"),
        (lambda: Bernoulli("gab", 0.5), 'did you mean "gap"'),  # type: ignore[arg-type]
        (lambda: Gaussian(noise=-1.0), "Gaussian.noise; got -1.0"),
        (lambda: Gaussian(spread=float("inf")), "Gaussian.spread"),
        (lambda: Gaussian("uniform01", spread=2.0), "would be ignored"),
        (lambda: Gaussian("uniform"), 'did you mean "uniform01"'),  # type: ignore[arg-type]
        (lambda: Bandits(Gaussian((1.0, 2.0)), 3), "one mean is needed per arm; got 2 means; expected 3"),
        (lambda: Bandits(Gaussian(), 0), "got 0 arms"),
        (lambda: Bandits(Gaussian(), 3, []), "no episodes"),
        (lambda: Bandits(Gaussian(), 3, 4, sample=[1, 2]), "sample does not fit"),
        (lambda: Bandits(Gaussian(), 3, 2).pull([0, 3]), "row 1 of the actions; got 3; expected 0 to 2"),
        (lambda: Bandits(Gaussian(), 3, 2).pull([-1, 0]), "row 0 of the actions; got -1"),
        (lambda: Bandits(Gaussian(), 3, 2).pull([0.0, 1.0]), "wrong form"),
        (lambda: Bandits(Gaussian(), 3, 2).pull([0]), "expected 2 integers"),
        (lambda: LatentFactors(np.zeros((3, 2)), np.zeros((4, 3))), "do not multiply"),
        (lambda: LatentFactors.from_ratings(np.eye(3), 4), "got 4; expected 1 to 3"),
        (
            lambda: ContextualBandits(LatentFactors.drawn(users=9, arms=2, rank=2), split="test"),
            "has no user",
        ),
    ],
)
def test_faults_are_named(make: object, message: str) -> None:
    with pytest.raises(HoneError, match=message):
        make()  # type: ignore[operator]
