"""Bandit agents: single steps by hand, plain-loop oracles, and the known regrets of short and long play."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.core.streams import key_array
from hone.envs.arms import Bernoulli, Family, Gaussian
from hone.envs.bandit import Bandits
from hone.envs.contextual import ContextualBandits, LatentFactors
from hone.tabular.bandits import (
    UCB,
    Agent,
    Boltzmann,
    EpsilonGreedy,
    Estimates,
    GradientBandit,
    Greedy,
    LinUCB,
    Optimistic,
    Random,
    Sweep,
    ThompsonBeta,
    ThompsonGaussian,
    WithoutContext,
    play,
    play_contextual,
)
from hone.tabular.bandits.base import Floats, argmax_random, choose
from hone.tabular.bandits.play import History

KEYS = key_array(("test",), range(4000))


def test_estimates_by_hand() -> None:
    average, recent = Estimates(2, 1, initial=9.0), Estimates(2, 1, initial=9.0, step_size=0.1)
    for action, reward in ((0, 1.0), (0, 2.0), (1, -4.0), (0, 6.0)):
        for estimates in (average, recent):
            estimates.learn(np.array([action]), np.array([reward]))
    assert average.value_KN[:, 0].tolist() == [3.0, -4.0]
    assert average.count_KN[:, 0].tolist() == [3.0, 1.0]
    # 9 → 8.2 → 7.58 → 7.422 and 9 → 7.7
    assert recent.value_KN[:, 0] == pytest.approx([7.422, 7.7])


@pytest.mark.parametrize("arms", [3, 200])  # beyond 127 arms the positions need wider integers
def test_argmax_breaks_ties_uniformly_and_only_ties(arms: int) -> None:
    uniform = (np.arange(3000) + 0.5) / 3000
    index = np.zeros((arms, 3000))
    index[[0, arms - 1]] = 2.0
    chosen = argmax_random(index, uniform)
    assert np.bincount(chosen, minlength=arms)[[0, arms - 1]].tolist() == [1500, 1500]
    index[1, ::2] = 3.0
    assert (argmax_random(index, uniform)[::2] == 1).all()
    index[0] = 5.0
    assert (argmax_random(index, uniform) == 0).all()


def test_choose_inverts_the_cumulative_weights() -> None:
    weight = np.repeat([[1.0], [0.0], [2.0], [1.0]], 5, axis=1)
    assert choose(weight, np.array([0.0, 0.2499, 0.25, 0.7499, 0.75])).tolist() == [0, 0, 2, 2, 3]


def test_epsilon_greedy_explores_as_often_as_it_says() -> None:
    player = EpsilonGreedy(0.2).begin(4, KEYS)
    player.learn(np.full(4000, 2), np.ones(4000))  # arm 2 now is best everywhere
    share = np.bincount(player.act(), minlength=4) / 4000
    assert share == pytest.approx([0.05, 0.05, 0.85, 0.05], abs=0.02)


def test_decaying_epsilon_follows_its_power() -> None:
    player = EpsilonGreedy(3.0, decay=1.0).begin(2, KEYS)
    for time in range(1, 13):
        player.learn(np.zeros(4000, dtype=np.int64), np.ones(4000))
        epsilon = min(1.0, 3.0 / (time + 1))
        assert player.act().mean() == pytest.approx(epsilon / 2, abs=0.03)


def test_ucb_index_by_hand() -> None:
    value, count = np.array([0.5, 0.2, 0.0]), np.array([4.0, 1.0, 0.0])
    assert UCB(2.0).index(value, count, 5)[:2] == pytest.approx(
        [0.5 + math.sqrt(math.log(5)), 0.2 + 2 * math.sqrt(math.log(5))]
    )
    assert UCB(1.0, logarithm=False).index(value, count, 5).tolist() == [1.0, 1.2, math.inf]
    assert UCB(0.0).index(value, count, 1).tolist() == [0.5, 0.2, math.inf]


def test_gradient_step_by_hand() -> None:
    one = KEYS[:1]
    for baseline, rise in (("before", 2.0), ("including", 0.0), ("none", 2.0)):
        player = GradientBandit(0.5, baseline).begin(2, one)  # type: ignore[arg-type]
        player.learn(np.array([0]), np.array([4.0]))
        # H ← α(r − r̄)(1[a] − π) with π = ½
        assert player.preference_KN[:, 0].tolist() == [rise / 2, -rise / 2]
    player = GradientBandit(0.5).begin(2, one)
    player.learn(np.array([0]), np.array([4.0]))
    player.learn(np.array([1]), np.array([2.0]))
    p = 1 / (1 + math.exp(-2))  # π after the first step
    assert player.preference_KN[:, 0] == pytest.approx([1.0 + p, -1.0 - p])


def test_boltzmann_draws_from_the_softmax() -> None:
    player = Boltzmann(0.5).begin(3, KEYS)
    player.learn(np.full(4000, 1), np.full(4000, 0.8))
    weights = np.exp(np.array([0.0, 1.6, 0.0]))
    assert np.bincount(player.act()) / 4000 == pytest.approx(weights / weights.sum(), abs=0.03)


def test_thompson_posteriors_by_hand() -> None:
    beta = ThompsonBeta().begin(2, KEYS[:1])
    gaussian = ThompsonGaussian(prior_mean=1.0, prior_spread=2.0, noise=0.5).begin(2, KEYS[:1])
    for reward in (1.0, 0.0, 1.0):
        for player in (beta, gaussian):
            player.learn(np.array([1]), np.array([reward]))
    assert (beta.success_KN[:, 0].tolist(), beta.failure_KN[:, 0].tolist()) == ([1.0, 3.0], [1.0, 2.0])
    precision = 1 / 4 + 3 / 0.25
    assert gaussian.mean_KN[:, 0] == pytest.approx([1.0, (1.0 / 4 + 2.0 / 0.25) / precision])
    assert gaussian.spread_KN[:, 0] == pytest.approx([2.0, precision**-0.5])


def test_linucb_equals_ridge_regression() -> None:
    draw = np.random.default_rng(0)
    player = LinUCB(0.7).begin(3, 4, KEYS[:5])
    contexts, actions, rewards = (
        draw.normal(size=(40, 5, 4)),
        draw.integers(0, 3, (40, 5)),
        draw.normal(size=(40, 5)),
    )
    for x, a, r in zip(contexts, actions, rewards, strict=True):
        player.learn(x, a, r)
    query = draw.normal(size=(5, 4))
    index = player.index(query)
    for run in range(5):
        for arm in range(3):
            rows = actions[:, run] == arm
            design = contexts[rows, run]
            gram = np.eye(4) + design.T @ design
            theta = np.linalg.solve(gram, design.T @ rewards[rows, run])
            width = math.sqrt(query[run] @ np.linalg.solve(gram, query[run]))
            assert index[run, arm] == pytest.approx(theta @ query[run] + 0.7 * width)
    assert player.act(query).tolist() == index.argmax(axis=1).tolist()


AGENTS: list[Agent] = [
    Greedy(),
    EpsilonGreedy(0.1),
    Optimistic(),
    UCB(),
    GradientBandit(),
    Boltzmann(),
    ThompsonGaussian(),
]


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: type(agent).__name__)
def test_a_run_is_the_same_in_any_company(agent: Agent) -> None:
    together = play(agent, Bandits(Gaussian(), 5, 30), 60)
    some = play(agent, Bandits(Gaussian(), 5, [17, 4]), 60)
    assert together.action_TN[:, [17, 4]].tolist() == some.action_TN.tolist()
    assert play(agent, Bandits(Gaussian(), 5, 30), 60, seed=1).action_TN.tolist() != together.action_TN.tolist()


def test_history_measures_by_hand() -> None:
    gap = np.array([[0.0, 1.0], [0.5, 1.0], [0.0, 0.0]])
    history = History(np.array([[2, 0], [1, 0], [2, 2]], dtype=np.int16), np.array([[1.0, 2], [3, 4], [5, 6]]), gap, 4)
    assert history.mean_reward.tolist() == [1.5, 3.5, 5.5]
    assert history.regret.tolist() == [0.5, 1.25, 1.25]
    assert history.final_regret.tolist() == [0.5, 2.0]
    assert history.optimal_share.tolist() == [0.5, 0.0, 1.0]
    assert history.coverage.tolist() == [2 / 8, 3 / 8, 4 / 8]


def plain_loop(family: str, arms: int, steps: int, runs: int, epsilon: float, sweep: bool, seed: int) -> float:
    """The oracle: mean final regret of (ε-)greedy, one run and one step after the other, with its own
    randomness."""
    draw = np.random.default_rng(seed)
    total = 0.0
    for _ in range(runs):
        if family == "gap":
            means = np.where(np.arange(arms) == 0, 0.75, 0.25)
        else:
            means = draw.standard_normal(arms) * (3 if family == "hard" else 1)
        sums, counts = np.zeros(arms), np.zeros(arms)
        for t in range(steps):
            value = [s / c if c else 0.0 for s, c in zip(sums, counts, strict=True)]
            best = [a for a in range(arms) if value[a] == max(value)]
            arm = int(draw.choice(best)) if len(best) > 1 else best[0]
            if sweep and t < arms:
                arm = t
            elif draw.random() < epsilon:
                arm = int(draw.integers(arms))
            noise = draw.standard_normal() * (3 if family == "hard" else 1)
            sums[arm] += float(draw.random() < means[arm]) if family == "gap" else means[arm] + noise
            counts[arm] += 1
            total += means.max() - means[arm]
    return total / runs


@pytest.mark.parametrize(
    ("name", "epsilon", "sweep", "family", "agent"),
    [
        ("normal", 0.1, False, Gaussian(), EpsilonGreedy(0.1)),
        ("gap", 0.0, True, Bernoulli("gap", 0.5), Sweep()),
    ],
)
def test_regret_equals_a_plain_loop(name: str, epsilon: float, sweep: bool, family: Family, agent: Agent) -> None:
    found = play(agent, Bandits(family, 5, 8000), 50).final_regret
    expected = plain_loop(name, 5, 50, 800, epsilon, sweep, seed=0)
    assert found.mean() == pytest.approx(expected, abs=3.5 * found.std() * math.sqrt(1 / 800 + 1 / 8000))


COLUMNS: tuple[tuple[str, Agent], ...] = (
    ("random", Random()),
    ("greedy", Greedy()),
    ("epsilon", EpsilonGreedy(0.1)),
    ("sweep", Sweep()),
    ("ucb 1/sqrt(n)", UCB(1.0, logarithm=False)),
    ("ucb .5", UCB(math.sqrt(0.5))),
    ("ucb 2", UCB(math.sqrt(2))),
)


@dataclass(frozen=True)
class Row:
    """Cumulative regret of 50 steps by column (NaN: unknown) and final coverage of greedy and ε-greedy."""

    family: Family
    arms: int
    regret: tuple[float, ...]
    coverage: tuple[float, ...] = ()


nan = math.nan
EASY, HARD = Gaussian(), Gaussian(spread=3.0, noise=3.0)
UNIT, UNIT_LOW = Gaussian("uniform01"), Gaussian("uniform01", noise=0.1)
GAP5, GAP2 = Bernoulli("gap", 0.5), Bernoulli("gap", 0.2)
TABLE = (
    # Three numbers are not of the 4,000-run table that all others come from, which has 18.2, 54 and 8.1
    # in their place: separately written simulations of 200,000 runs say 18.73, 56.1 and 7.87.
    Row(EASY, 5, (57.9, 17.3, 18.73, 12.6, 11.7, 12.1, 15.8), (0.55, 0.83)),
    Row(EASY, 10, (77.3, 32.0, 32.6, 23.8, 23.9, 24.9, 32.0), (0.32, 0.57)),
    Row(EASY, 20, (93.6, 48.7, 47.5, 45.4, 47.9, 49.8, 58.7), (0.16, 0.33)),
    Row(Gaussian(noise=0.1), 10, (77.3, 37.6, 32.3, 15.6, 17.1, 18.8, 28.6), (0.21, 0.52)),
    Row(Gaussian(noise=3.0), 10, (77.3, 41.6, 44.7, 44.1, 44.8, 45.5, 47.3), (0.50, 0.67)),
    Row(HARD, 5, (174, 52, 56.1, 38, 36, 36, 35)),
    Row(HARD, 10, (232, 96, 98, 71, 70, 70, 71)),
    Row(HARD, 20, (281, 146, 142, 136, 138, 138, 143)),
    Row(UNIT, 5, (16.7, 11.6, 10.5, 8.8, 8.8, 9.2, 11.0)),
    Row(UNIT, 10, (20.4, 15.3, 13.8, 12.2, 13.4, 14.0, 16.0)),
    Row(UNIT, 20, (22.6, 17.3, 16.0, 16.7, 18.1, 18.6, 19.8)),
    Row(UNIT_LOW, 5, (16.7, 15.6, 8.7, 2.0, 5.0, 6.6, 10.3)),
    Row(UNIT_LOW, 10, (20.4, 19.2, 11.6, 4.6, 9.3, 11.7, 15.5)),
    Row(UNIT_LOW, 20, (22.6, 21.4, 13.2, 9.6, 14.3, 16.4, 19.7)),
    Row(GAP5, 5, (20.0, 14.4, nan, 7.87, 7.1, 8.7, 14.0)),
    Row(GAP5, 10, (22.5, 18.8, nan, 11.3, 13.8, 15.8, 19.9)),
    Row(GAP5, 20, (23.8, 21.7, nan, 17.1, 19.6, 21.9, 23.2)),
    Row(GAP2, 5, (8.0, 7.3, nan, 5.9, 6.0, 6.4, 7.2)),
    Row(GAP2, 10, (9.0, 8.6, nan, 7.5, 8.1, 8.3, 8.7)),
    Row(GAP2, 20, (9.5, 9.2, nan, 8.9, 9.2, 9.3, 9.4)),
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.family}-{row.arms}")
def test_regret_of_fifty_steps_is_within_three_per_cent(row: Row) -> None:
    """Seven agents in twenty kinds of bandit; the numbers of HARD are known to whole units only."""
    rounding = 0.5 if row.family == HARD else 0.0
    for (name, agent), expected in zip(COLUMNS, row.regret, strict=True):
        if math.isnan(expected):
            continue
        chunks = [play(agent, Bandits(row.family, row.arms, range(c, c + 2000)), 50) for c in range(0, 8000, 2000)]
        regret = float(np.mean([chunk.final_regret for chunk in chunks]))
        assert regret == pytest.approx(expected, abs=0.03 * expected + rounding), name
        if row.coverage and name in ("greedy", "epsilon"):
            covered = float(np.mean([chunk.coverage[-1] for chunk in chunks]))
            assert covered == pytest.approx(row.coverage[name == "epsilon"], abs=0.015), name


def test_coverage_of_random_play_is_that_of_coupons() -> None:
    for arms in (5, 10, 20):
        found = play(Random(), Bandits(Gaussian(), arms, 4000), 50).coverage
        assert found == pytest.approx(1 - (1 - 1 / arms) ** np.arange(1, 51), abs=0.01)


def test_thompson_beats_ucb_on_bernoulli_arms_and_all_beat_random() -> None:
    regret = {
        type(a).__name__: play(a, Bandits(Bernoulli(), 10, 2000), 300).regret[-1]
        for a in (ThompsonBeta(), UCB(), Random())
    }
    assert regret["Random"] == pytest.approx(300 * (10 / 11 - 1 / 2), rel=0.02)  # E[max of 10 uniforms] = 10/11
    assert regret["ThompsonBeta"] < 0.5 * regret["UCB"] < 0.5 * regret["Random"]


def test_linucb_learns_tastes_and_ignoring_them_is_random() -> None:
    factors = LatentFactors.drawn(users=300, arms=10, rank=5)

    def regret(agent: object) -> Floats:
        return play_contextual(agent, ContextualBandits(factors, 500, split="test"), 50).final_regret  # type: ignore[arg-type]

    worst = factors.users_MD[100:] @ factors.arms_KD.T
    exact = 50 * float((worst.max(axis=1) - worst.mean(axis=1)).mean())
    assert regret(WithoutContext(Random())).mean() == pytest.approx(exact, rel=0.02)
    assert regret(WithoutContext(UCB())).mean() == pytest.approx(exact, rel=0.05)
    assert regret(LinUCB()).mean() < 0.5 * exact


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EpsilonGreedy(1.5), "epsilon; got 1.5; expected at most 1"),
        (lambda: EpsilonGreedy(-0.1), "epsilon; got -0.1"),
        (lambda: EpsilonGreedy(step_size=0.0), "step_size; got 0.0"),
        (lambda: Optimistic(initial=math.inf), "initial; got inf"),
        (lambda: UCB(c=-1.0), "at c; got -1.0"),
        (lambda: GradientBandit(0.0), "step_size; got 0.0"),
        (lambda: GradientBandit(0.1, "mean"), "baseline; got mean; expected before"),  # type: ignore[arg-type]
        (lambda: Boltzmann(0.0), "temperature; got 0.0"),
        (lambda: ThompsonBeta(successes=0.0), "successes; got 0.0"),
        (lambda: ThompsonGaussian(noise=0.0), "noise; got 0.0"),
        (lambda: LinUCB(-1.0), "alpha; got -1.0"),
        (lambda: play(Greedy(), Bandits(Gaussian(), 3), 0), "at least one step; got 0"),
        (
            lambda: play(ThompsonBeta(), Bandits(Gaussian(noise=9.0), 3, 9), 9),
            "rewards from 0 to 1.*ThompsonGaussian",
        ),
    ],
)
def test_faults_are_named(make: object, message: str) -> None:
    with pytest.raises(HoneError, match=message):
        make()  # type: ignore[operator]
