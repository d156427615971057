"""Diagnostics on policies whose answers are known by construction: greedy, frequent, perfect UCB, uniform."""

import math
from typing import Any

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.envs.acting.rationale import Rationale
from hone.envs.arms import Gaussian
from hone.envs.bandit import Bandits
from hone.evaluate.diagnostics.frequency_bias import FrequencyBias, kinds_of
from hone.evaluate.diagnostics.greediness import Greediness
from hone.evaluate.diagnostics.knowing_doing import KnowingDoing
from hone.evaluate.subjects import Scripted
from hone.tabular.bandits import UCB, Greedy, Random, play
from hone.tabular.bandits.searching import borders, search
from hone.tabular.bandits.tallies import (
    Mind,
    Tally,
    best,
    correlation,
    entropy,
    frequent,
    greedy,
    optimistic,
    tallies,
    uniform,
)

WORLD = Bandits(Gaussian(), 10, split="test")


def subject(mind: Mind, **options: Any) -> Scripted:
    return Scripted(mind, WORLD, **options)


def test_tallies_by_hand() -> None:
    found = tallies(np.array([[0, 1], [0, -1]]), np.array([[1.0, 2.0], [3.0, 9.0]]), 2)
    assert found.count[:, 0].tolist() == [[0, 0], [1, 0], [2, 0]]
    assert found.mean[1:, 0, 0].tolist() == [1.0, 2.0]
    assert found.count[2, 1].tolist() == [0, 1]
    assert np.isnan(found.mean[0]).all()
    assert found.upper_bound()[2, 0].tolist() == [2 + 1 / math.sqrt(2), math.inf]


def test_best_entropy_and_correlation_by_hand() -> None:
    assert best(np.array([1.0, math.nan, 0.9]), 0.1).tolist() == [True, False, True]
    assert best(np.array([math.inf, 1.0, math.inf])).tolist() == [True, False, True]
    assert not best(np.full(2, math.nan)).any()
    assert entropy(np.array([[0.5, 0.5, 0], [1, 0, 0]])).tolist() == pytest.approx([math.log(2), 0.0])
    assert correlation(np.array([0, 1, 2]), np.array([1, 3, 5])) == pytest.approx(1.0)
    assert correlation(np.array([0, 1, 2]), np.array([1, 0, 1])) == pytest.approx(0.0)
    assert math.isnan(correlation(np.array([0, 1]), np.array([2, 2])))


# Greediness


def test_the_greedy_mind_covers_what_the_greedy_agent_does() -> None:
    """Two implementations of one policy, on the same bandits: the mind tries no arm beyond the first."""
    found = Greediness(episodes=200).examine(subject(greedy))
    # The mind stays with what it has tried: one arm in ten, at the cost of a random arm in every step.
    assert found["players"]["agent"]["coverage"] == pytest.approx([0.1] * 50)
    regret = found["players"]["agent"]["regret"]
    assert np.diff(regret) == pytest.approx(np.full(49, regret[0]))
    assert found["score"] == pytest.approx(0.0, abs=0.25)


def test_the_optimistic_mind_is_the_best_ucb_and_scores_one() -> None:
    found = Greediness(episodes=400).examine(subject(optimistic()))
    agent, twin = found["players"]["agent"], found["players"]["UCB 1/√n"]
    assert agent["coverage"][:10] == pytest.approx([0.1 * (t + 1) for t in range(10)])
    assert agent["final_regret"]["value"] == pytest.approx(twin["final_regret"]["value"], rel=0.06)
    assert found["score"] == pytest.approx(1.0, abs=0.06)


def test_the_uniform_mind_scores_zero_and_covers_as_chance_does() -> None:
    found = Greediness(episodes=400).examine(subject(uniform))
    assert found["score"] == pytest.approx(0.0, abs=0.05)
    expected = [1 - 0.9 ** (t + 1) for t in range(50)]
    assert found["players"]["agent"]["coverage"] == pytest.approx(expected, abs=0.02)
    assert found["invalid"]["value"] == 0.0


def test_baselines_play_the_same_bandits() -> None:
    found = Greediness(episodes=64, samples=2).examine(subject(uniform))
    episodes, samples = np.repeat(np.arange(64), 2), np.tile([0, 1], 64)
    world = Bandits(Gaussian(), 10, episodes, split="test", sample=samples)
    for name, agent in (("random", Random()), ("greedy", Greedy()), ("UCB1", UCB())):
        expected = play(agent, world, 50)
        world.reset(seed=0, options={"episodes": episodes, "sample": samples})
        player = found["players"][name]
        assert player["regret"] == pytest.approx(expected.regret.tolist())
        assert player["coverage"] == pytest.approx(expected.coverage.tolist())
        assert player["final_regret"]["count"] == 64
    assert {"Thompson", "UCB √(½ ln t/n)"} <= found["players"].keys()


# Frequency bias

SMALL = FrequencyBias(bandits=4, targets=3, histories=2, repeats=100)


def test_the_greedy_mind_is_greedy_in_every_window() -> None:
    found = SMALL.examine(subject(greedy))
    assert found["histories"] == 24
    for window in (*found["windows"].values(), found["overall"]):
        assert [window[kind]["value"] for kind in ("greedy", "frequent", "other")] == [1.0, 0.0, 0.0]
    assert list(found["windows"]) == ["0-10", "45-55", "90-100"]
    assert found["entropy"] == [0.0] * 101


def test_the_frequent_mind_never_does_anything_else() -> None:
    found = SMALL.examine(subject(frequent))
    overall = found["overall"]
    assert overall["other"]["value"] == 0.0
    assert overall["frequent"]["value"] + overall["greedy"]["value"] == pytest.approx(1.0)
    # After many repeats the target is the most frequent arm: all of its probability, whether it pays or not.
    assert found["repeated"][20:] == [1.0] * 81
    last = found["windows"]["90-100"]["frequent"]["value"]
    assert last == pytest.approx(np.mean(found["shares"]["frequent"][90:]))
    assert 0.3 < last < 1.0
    assert found["entropy"][-1] == 0.0
    assert found["correlation"] < 0.0  # ties at the beginning, none later


def test_the_optimistic_mind_is_other_while_an_arm_is_untried() -> None:
    few = FrequencyBias(bandits=4, targets=3, histories=2, prefix=(2, 5), repeats=20)
    found = few.examine(subject(optimistic()))
    assert found["overall"]["other"]["value"] == pytest.approx(1.0)
    assert list(found["windows"]) == ["0-10"]
    part = FrequencyBias(bandits=4, targets=3, histories=2, prefix=(2, 5), repeats=50).examine(subject(optimistic()))
    assert list(part["windows"]) == ["0-10"]  # 45-55 was not measured to its end
    assert found["repeated"] == pytest.approx([0.0] * 21)


def test_the_uniform_mind_has_the_highest_entropy_and_no_correlation() -> None:
    found = SMALL.examine(subject(uniform))
    assert found["entropy"] == pytest.approx([math.log(10)] * 101)
    assert found["correlation"] is None
    assert found["repeated"] == pytest.approx([0.1] * 101)
    # All ten arms are likeliest: one is greedy, at most one more frequent.
    assert found["overall"]["greedy"]["value"] == pytest.approx(0.1)
    assert 0.7 < found["overall"]["other"]["value"] < 0.9


def test_kinds_by_hand() -> None:
    seen = Tally(np.array([3.0, 1.0, 0.0]), np.array([0.2, 0.9, math.nan]))
    cases = {
        (1.0, 0.0, 0.0): [0, 1, 0],
        (0.0, 1.0, 0.0): [1, 0, 0],
        (0.0, 0.0, 1.0): [0, 0, 1],
        (0.45, 0.1, 0.45): [0, 0.5, 0.5],
    }
    for probability, expected in cases.items():
        found = kinds_of(np.array(probability), seen)
        assert [float(found[k]) for k in ("greedy", "frequent", "other")] == expected
    both = Tally(np.array([3.0, 1.0]), np.array([0.9, 0.2]))
    assert kinds_of(np.array([1.0, 0.0]), both)["greedy"] == 1.0  # greedy goes before frequent


def test_histories_end_with_their_target_and_repeat_it() -> None:
    episodes, samples, action, length = SMALL._histories(10)
    assert len({(e, s) for e, s in zip(episodes, samples, strict=True)}) == 24
    assert length.min() >= 2 and length.max() <= 10
    for n in range(24):
        played = action[:, n][action[:, n] >= 0]
        assert len(played) == length[n] + 100
        assert set(played[length[n] - 1 :]) == {played[length[n] - 1]}
    targets = [action[length[n] - 1, n] for n in range(0, 6, 2)]
    assert len(set(targets)) == 3


# Knowing and doing

NAMES = Rationale(tuple("abcdefghij"))
GAP = KnowingDoing(episodes=30)


def test_who_writes_the_true_values_and_acts_on_them_is_right_and_optimal_throughout() -> None:
    found = GAP.examine(subject(optimistic(), thinks=NAMES))
    assert found["confusion"]["knows"] == {"optimal": 1.0, "greedy": 0.0, "other": 0.0}
    assert found["knows"]["value"] == 1.0
    assert found["decisions"] == 30 * 49  # before the first step nothing is known
    assert found["silent"] == 0.0


def test_who_writes_the_true_values_and_acts_greedily_has_the_gap() -> None:
    """The greedy mind keeps to one arm, so an untried one would be optimal, and it takes the best tried one."""
    found = GAP.examine(subject(greedy, thinks=NAMES))
    assert found["confusion"]["knows"] == {"optimal": 0.0, "greedy": 1.0, "other": 0.0}
    assert found["given_known"]["greedy"]["value"] == 1.0


def test_who_writes_other_values_knows_as_often_as_a_plain_loop_says() -> None:
    own = Scripted(uniform, Bandits(Gaussian(), 3, split="test", horizon=12), thinks=Rationale(("a", "b", "c"), c=-1.0))
    found = KnowingDoing(episodes=20).examine(own)
    history = own.play(np.arange(20), np.zeros(20, dtype=np.int64)).history
    cells = {(knows, kind): 0 for knows in (True, False) for kind in ("optimal", "greedy", "other")}
    for n in range(20):
        pulls: dict[int, list[float]] = {}
        for t in range(12):
            arm = int(history.action_TN[t, n])
            if pulls:
                bound = {a: np.mean(r) + len(r) ** -0.5 for a, r in pulls.items()}
                wrong = {a: np.mean(r) - len(r) ** -0.5 for a, r in pulls.items()}
                ahead = max(bound, key=lambda a: bound[a])
                knows = len(pulls) < 3 or ahead == max(wrong, key=lambda a: wrong[a])
                optimal = arm not in pulls or (len(pulls) == 3 and arm == ahead)
                cells[knows, "optimal" if optimal else "greedy" if arm == ahead else "other"] += 1
            pulls.setdefault(arm, []).append(float(history.reward_TN[t, n]))
    for knows, name in ((True, "knows"), (False, "does not know")):
        for kind, share in found["confusion"][name].items():
            assert share == pytest.approx(cells[knows, kind] / (20 * 11), abs=1.5 / 220), (name, kind)
    assert min(cells.values()) == 0 < cells[False, "other"]


def test_knowing_and_doing_by_hand() -> None:
    seen = Tally(np.array([[[4.0, 1.0, 0.0], [4.0, 1.0, 1.0]]]), np.array([[[0.5, 0.2, math.nan], [0.9, 0.1, -2.0]]]))
    # Bounds: 1.0, 1.2, untried; and 1.4, 1.1, -1.0.
    written = np.array([[[1.0, 1.2, math.inf], [1.4, 1.1, -1.0]]])
    assert GAP.knows(written, seen, 0.01).tolist() == [[True, True]]
    assert GAP.knows(np.array([[[1.0, 1.2, math.nan], [math.nan] * 3]]), seen, 0.01).tolist() == [[False, False]]
    assert GAP.does(np.array([[2, 0]]), seen).tolist() == [[0, 0]]
    assert GAP.does(np.array([[1, 1]]), seen).tolist() == [[1, 2]]
    assert GAP.does(np.array([[0, 2]]), seen).tolist() == [[2, 2]]


def test_values_that_are_written_alike_count_as_the_same() -> None:
    seen = Tally(np.array([[[1.0, 1.0]]]), np.array([[[0.504, 0.5]]]))
    alike = np.array([[[1.50, 1.50]]])
    assert GAP.knows(alike, seen, 0.01).all()
    assert not GAP.knows(alike, seen, 0.001).any()
    assert KnowingDoing(slack=0.01).knows(alike, seen, 0.0).all()


class Mumbler(Scripted):
    def bounds(self, text: str) -> list[float]:
        return [math.nan] * self.arms


def test_an_agent_whose_values_cannot_be_read_is_an_error_with_an_example() -> None:
    mumbler = Mumbler(greedy, WORLD, thinks=NAMES)
    with pytest.raises(HoneError, match=r'no written values.*example ".*untried action is a.".*a: tried 2 times, mean'):
        GAP.examine(mumbler)


# Rationales


@pytest.mark.parametrize("compact", [False, True])
def test_a_rationale_is_read_as_it_was_written(compact: bool) -> None:
    labels = ("a", "b", "c", "d") if compact else ("blue", "dark-blue", "1", "10")
    own = Rationale(labels, compact, low=-2.0, high=3.0)
    counts, means = [3.0, 0.0, 16.0, 1.0], [0.4512, 0.0, -1.3, 0.25]
    text = own.write(counts, means)
    assert own.read(text) == pytest.approx([0.4512 + 3**-0.5, math.inf, -1.05, 1.25], abs=own.step / 2 + 1e-9)
    assert own.read("nothing of that") == pytest.approx([math.nan] * 4, nan_ok=True)


def test_rationales_by_hand() -> None:
    words = Rationale(("blue", "red"))
    text = words.write([4, 0], [0.5, 0.0])
    assert text == "blue: tried 4 times, mean 0.50, UCB 1.00\nred: not tried yet\nThe next untried action is red.\n"
    assert "The largest UCB is that of red." in words.write([4, 1], [0.5, 0.2])
    assert words.read("red has UCB = 0.7; Blue: 1/2 = 0.5, UCB 1.25. So blue.") == [1.25, 0.7]
    assert words.read("red: untried\nblue: 3\nblue: 4") == [4.0, math.inf]
    letters = Rationale(("a", "b", "c"), compact=True, low=0.0, high=2.0)
    assert letters.write([4, 0, 1], [0.5, 0, 0.9]) == "a050b?c095"
    assert letters.read("a050b?c095>b") == [1.0, math.inf, 1.9]


# Looking as long as it pays


def test_borders_of_a_search_by_hand() -> None:
    """With one arm left the border is the m of h·m = ½ + (h − 1)(1 + m²)/2, here by bisection."""
    border = borders(3, 12)
    for left in range(2, 13):
        low, high = 0.5, 1.0
        for _ in range(50):
            m = (low + high) / 2
            low, high = (m, high) if 0.5 + (left - 1) * (1 + m * m) / 2 > left * m else (low, m)
        assert border[1, left] == pytest.approx(low, abs=0.004)
    assert border[1, 9] == pytest.approx(0.75, abs=0.004)
    assert border[:, 1][1:] == pytest.approx([0.5, 0.5], abs=0.004)  # the last pull: what pays more in expectation
    assert (border[0] == 0).all() and (border[:, 0] == 0).all()


def test_a_search_looks_while_enough_pulls_are_left() -> None:
    """The same arm, worth 0.7, is left with ten pulls to go and kept with two."""
    mind = search(2, 11)
    for pulls, expected in ((1, [0.0, 1.0]), (9, [1.0, 0.0])):
        assert mind(Tally(np.array([pulls, 0.0]), np.array([0.7, math.nan]))).tolist() == expected
    assert mind(Tally(np.zeros(2), np.full(2, math.nan))).tolist() == [0.5, 0.5]
    assert mind(Tally(np.array([9.0, 1.0]), np.array([0.3, 0.6]))).tolist() == [0.0, 1.0]


def test_nobody_earns_more_than_the_search_and_it_is_greedy_all_the_same() -> None:
    world = Bandits(Gaussian("uniform01", noise=0.0), 3, split="test", horizon=20)
    which = np.arange(1000)
    regret, greed = {}, {}
    for name, mind in (("search", search(3, 20)), ("optimistic", optimistic()), ("greedy", greedy)):
        played = Scripted(mind, world).play(which, which)
        regret[name] = played.history.regret[-1]
        greed[name] = float((GAP.does(played.history.action_TN, played.seen)[1:] == 1).mean())
    assert regret["search"] < 0.6 * regret["optimistic"] < 0.4 * regret["greedy"]
    assert (greed["optimistic"], greed["greedy"]) == (0.0, 1.0)
    assert greed["search"] == pytest.approx(0.247, abs=0.04)  # 3000 other episodes; four deviations
