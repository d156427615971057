"""The text face, turn by turn: what is shown, what is read, what is rewarded, against the numeric environments."""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections import Counter
from types import FrameType
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from hone.core.config import build_named
from hone.core.errors import HoneError
from hone.core.types import Scored
from hone.envs import minimax
from hone.envs.acting.aids import Aids
from hone.envs.acting.env import ActingEnv
from hone.envs.acting.face import Face, ucb_bonus
from hone.envs.acting.names import COLOURS
from hone.envs.acting.task import ActingTask
from hone.envs.arms import Bernoulli, Gaussian
from hone.envs.base import Step
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.envs.tasks.gym import Gym
from hone.envs.tasks.tictactoe import TicTacToe

COMPACT = Face("compact")
UNIFORM = Gaussian("uniform01", noise=0.1)


def opened(task: ActingTask, *, split: str = "train", episode: int = 0, seed: int = 0) -> tuple[ActingEnv, str]:
    env = task.env(split)
    assert isinstance(env, ActingEnv)
    return env, env.reset(seed=seed, options={"episode": episode})[0]


def value(step: Step) -> float:
    assert isinstance(step.outcome, Scored)
    return step.outcome.value


@pytest.mark.parametrize(
    "options",
    [{"gaussian": UNIFORM}, {"gaussian": Gaussian(noise=3.0)}, {"family": "bernoulli"}],
)
def test_rewards_and_regrets_are_those_of_the_numeric_bandits(options: dict[str, Any]) -> None:
    task = Bandit(arms=5, horizon=6, face=COMPACT, normalise="none", **options)
    for split, episode, seed in (("train", 3, 7), ("test", 3, 7), ("test", 200, 123456789)):
        env, _ = opened(task, split=split, episode=episode, seed=seed)
        bandits = task.bandits(split, [episode], seed)
        for step, action in enumerate((2, 2, 0, 4, 1, 2)):
            found = env.answer("abcde"[action])
            _, reward, over, _, info = bandits.step(np.array([action]))
            assert value(found) == reward[0]
            assert env.history[-1].regret == info["regret"][0]
            assert found.terminated == over[0] == (step == 5)
    assert found.info["metrics"]["regret"] == pytest.approx(sum(t.regret or 0 for t in env.history))
    assert found.info["metrics"]["coverage"] == 4 / 5


def test_games_are_those_of_the_numeric_environment() -> None:
    for opponent in ("random", "noisy"):
        task = TicTacToe(opponent=opponent, agent="both", face=COMPACT)
        rng = np.random.default_rng(0)
        for episode in range(12):
            env, said = opened(task, episode=episode, seed=episode + 5)
            games = task.games("train", [episode], episode + 5)
            assert said == "T|" + minimax.decode(int(games.codes_N[0]))
            over = False
            while not over:
                action = int(rng.choice(list(env.play.legal)))
                found = env.answer("abcdefghi"[action])
                codes, reward, ends, _, _ = games.step([action])
                over = bool(ends[0])
                assert (value(found), found.terminated) == (reward[0], over)
                assert over or found.observation == minimax.decode(int(codes[0]))


def test_users_and_ratings_are_those_of_the_numeric_contextual_bandits() -> None:
    task = ContextualBandit(arms=4, rank=3, users=20, test_users=30, horizon=5, normalise="none")
    for split in ("train", "test"):
        env, said = opened(task, split=split, episode=2)
        bandits = task.bandits(split, [2])
        for action in (0, 3, 3, 1, 2):
            vector = ", ".join(f"{x:.2f}" for x in bandits.context_ND[0])
            assert f"State=({vector})\n" in said
            found = env.answer(f"ACTION={action}")
            _, reward, _, _, info = bandits.step(np.array([action]))
            said = found.observation
            assert (value(found), env.history[-1].regret) == (reward[0], info["regret"][0])


def test_a_gymnasium_world_is_walked() -> None:
    task = Gym("FrozenLake-v1", options={"is_slippery": False}, names=("left", "down", "right", "up"))
    env, said = opened(task)
    assert "State=0\n" in said
    assert "exactly one of: left, down, right, up." in said
    for name, state in (("down", 4), ("down", 8), ("right", 9), ("right", 10), ("down", 14)):
        found = env.answer(f"ACTION={name}")
        assert f"State={state}\n" in found.observation.split("Step=")[-1]
    found = env.answer("ACTION=right")
    assert (value(found), found.terminated, found.info["metrics"]["return"]) == (1.0, True, 1.0)
    env, _ = opened(Gym("FrozenLake-v1", limit=2))
    assert [env.answer("ACTION=0").truncated, env.answer("ACTION=0").truncated] == [False, True]


def test_a_raw_context_word_by_word() -> None:
    task = Bandit(arms=3, horizon=4, gaussian=Gaussian((0.0, 1.0, 2.0), noise=0.0), normalise="none")
    env, said = opened(task)
    assert said == (
        "You are a decision-making agent in a room with 3 buttons of different colours: blue, green, red. Each has "
        "an unknown mean reward, which is the same throughout. You choose 4 times, and your goal is to maximise the "
        "total reward.\n\nAnswer with ACTION=X and nothing else, where X is exactly one of: blue, green, red.\n\n"
        "What do you predict next?\n"
    )
    found = env.answer("ACTION=red")
    assert found.observation == "\nStep=1 Action=red Reward=2.00\n\nWhat do you predict next?\n"
    assert "anew" not in found.info


def test_a_window_and_a_summary_are_written_anew() -> None:
    gaussian = Gaussian((0.0, 1.0, 2.0), noise=0.0)
    env, _ = opened(Bandit(arms=3, horizon=9, gaussian=gaussian, face=Face(window=2)))
    for name in ("red", "blue", "green"):
        found = env.answer(f"ACTION={name}")
    assert found.info["anew"] is True
    assert found.observation.startswith("You are a decision-making agent")
    assert re.findall(r"Step=.*", found.observation) == [
        "Step=2 Action=blue Reward=0.00",
        "Step=3 Action=green Reward=1.00",
    ]
    env, _ = opened(Bandit(arms=3, horizon=9, gaussian=gaussian, face=Face("summary")))
    for name in ("red", "red", "green"):
        found = env.answer(f"ACTION={name}")
    seen = "blue: not tried yet\ngreen: tried 1 time, average reward 1.00\nred: tried 2 times, average reward 2.00\n"
    assert seen in found.observation
    env, _ = opened(Bandit(arms=3, horizon=9, gaussian=gaussian, face=Face("guided")))
    for name in ("red", "red", "green"):
        found = env.answer(f"ACTION={name}")
    # BanditBench: √(½ ln 3 / n)
    assert "average reward 1.00, exploitation value 1.00, exploration bonus 0.74\n" in found.observation
    assert "average reward 2.00, exploitation value 2.00, exploration bonus 0.52\n" in found.observation
    assert ucb_bonus(2, 3) == pytest.approx(0.5241, abs=1e-4)


def test_the_compact_form() -> None:
    task = Bandit(arms=10, gaussian=UNIFORM, face=COMPACT)
    env, said = opened(task)
    reward = task.bandits("train", [0]).pull([3])[0]
    assert (said, env.answer("d").observation) == ("Gj|", str(int(10 * reward)))
    task = Bandit(arms=2, family="bernoulli", bernoulli=Bernoulli((0.0, 1.0)), face=COMPACT)
    env, said = opened(task)
    assert (said, env.answer("a").observation, env.answer("b").observation) == ("Bb|", "0", "9")
    assert env.answer("?").observation in ("a0", "b9")
    env, said = opened(TicTacToe(face=Face("compact", legal=True)))
    assert said == "T|000000000/abcdefghi>"
    env, said = opened(ContextualBandit(rank=2, face=COMPACT))
    assert re.fullmatch(r"C\|\d\d", said)
    assert re.fullmatch(r"\d\d\d", env.answer("a").observation)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("ACTION=green", 1),
        ("I tried ACTION=red, so now action = **Blue**.", 0),
        ("ACTION=blue ACTION=violet", None),
        ("green", None),
        ("", None),
    ],
)
def test_the_last_match_is_the_action(text: str, action: int | None) -> None:
    assert Face().read(text, COLOURS[:3]) == action


def test_a_pattern_of_ones_own() -> None:
    face = Face(pattern=r"<(\w+)>")
    assert [face.read(text, ("a", "b")) for text in ("<a> then <b>", "ACTION=a")] == [1, None]
    with pytest.raises(HoneError, match=r'does not read an action.*got "<\(\\w\+\)>" on "ACTION=blue"'):
        Bandit(face=face).preflight()


def test_an_answer_without_an_action_takes_a_random_one_and_costs_five() -> None:
    task = Bandit(arms=4, horizon=400, gaussian=UNIFORM)
    env, _ = opened(task)
    mean, deviation = task.scale
    for _ in range(400):
        found = env.answer("I cannot decide.")
        last = env.history[-1]
        assert value(found) == pytest.approx((last.reward - mean) / deviation - 5)
        assert last.by == "chance"
    assert found.info["metrics"]["invalid"] == 1.0
    counts = np.bincount([t.action for t in env.history])
    assert counts == pytest.approx([100] * 4, abs=30)
    env, _ = opened(TicTacToe())
    env.answer("ACTION=4")
    board = env.play.state
    assert value(env.answer("ACTION=4")) <= -4.0  # taken
    assert env.history[-1].action != 4
    assert board[env.history[-1].action] == "0"


def test_normalised_rewards_of_a_random_player_have_mean_0_and_deviation_1() -> None:
    for task in (
        Bandit(gaussian=Gaussian(noise=0.5, spread=2.0, centre=7.0)),
        Bandit(family="bernoulli", bernoulli=Bernoulli("gap", 0.4)),
        ContextualBandit(),
    ):
        bandits = task.bandits("train", range(task.train))
        rng = np.random.default_rng(1)
        rewards = np.concatenate([bandits.pull(rng.integers(10, size=task.train)) for _ in range(40)])
        mean, deviation = task.scale
        assert rewards.mean() == pytest.approx(mean, abs=0.03 * deviation)
        assert rewards.std() == pytest.approx(deviation, rel=0.03)


def test_splits_share_no_bandit_and_no_user() -> None:
    task = Bandit(train=50, test=40)
    means = [task.bandits(split, range(task.size(split))).means_NK for split in ("train", "test")]
    assert not np.isin(means[0], means[1]).any()
    contextual = ContextualBandit(users=10, test_users=5, horizon=30)
    seen = [{t for _ in range(30) for t in contextual.begin(split, 1, 0)._users} for split in ("train", "test")]
    assert seen[0] <= set(range(10))
    assert seen[1] <= set(range(10, 15))


def test_every_arm_is_tried_first() -> None:
    env, said = opened(Bandit(arms=4, horizon=6, gaussian=UNIFORM, face=COMPACT, aids=Aids(try_all=True)))
    assert re.fullmatch(r"Gd\|a\db\dc\dd\d", said)
    assert [t.by for t in env.history] == ["aid"] * 4
    assert not env.answer("a").terminated
    found = env.answer("b")
    assert found.terminated
    assert found.info["metrics"]["coverage"] == 1.0


def test_random_steps_stand_between_the_agents_and_pay_the_step_before() -> None:
    task = Bandit(arms=4, horizon=1000, gaussian=UNIFORM, face=COMPACT, aids=Aids(epsilon=0.25))
    env, _ = opened(task)
    mean, deviation = task.scale
    over, taken = False, 0
    while not over:
        before = len(env.history)
        found = env.answer("b")
        new = env.history[before:]
        assert [t.by for t in new] == ["policy"] + ["aid"] * (len(new) - 1)
        assert value(found) == pytest.approx(sum((t.reward - mean) / deviation for t in new))
        digits = "".join(("" if i == 0 else "abcd"[t.action]) + str(int(10 * t.reward)) for i, t in enumerate(new))
        over = found.terminated
        taken += len(new) - 1
        if not over and all(0 <= t.reward < 1 for t in new):
            assert found.observation == digits
    assert taken == pytest.approx(250, abs=45)


def test_random_steps_leave_the_agent_the_last() -> None:
    aids = Aids(epsilon=0.9)
    short, board = Bandit(arms=4, horizon=3, face=COMPACT, aids=aids), TicTacToe(face=COMPACT, aids=aids)
    begun: set[int] = set()
    for episode in range(200):
        env, _ = opened(short, episode=episode)
        begun.add(len(env.history))
        over = False
        while not over:
            over = env.answer("b").terminated
        assert len(env.history) == 3
        assert sum(t.by == "policy" for t in env.history) >= 1
        with pytest.raises(ResetNeeded):
            env.answer("b")
        env, observation = opened(board, episode=episode)
        assert observation
        assert all(t.by == "aid" for t in env.history)
        assert len(env.play.legal) == 9 - 2 * len(env.history) > 0
    assert begun == {0, 1, 2}


def test_shuffled_labels_are_mapped_back() -> None:
    task = Bandit(arms=3, horizon=60, gaussian=Gaussian((0.0, 1.0, 2.0), noise=0.0), aids=Aids(shuffle=True))
    env, _ = opened(task)
    seen = set()
    for _ in range(59):
        labels = env.labels
        seen.add(labels)
        found = env.answer(f"ACTION={labels[2]}")
        assert env.history[-1].reward == 2.0
        assert found.info["anew"]
        assert f"Step=1 Action={env.labels[2]} Reward=2.00" in found.observation
    assert len(seen) == 6


def test_only_the_checked_answer_counts() -> None:
    env, _ = opened(Bandit(arms=3, horizon=2, aids=Aids(correct=True)))
    first = env.answer("ACTION=red")
    assert (value(first), first.info["learn"], env.history) == (0.0, False, [])
    assert "Check your action" in first.observation
    second = env.answer("ACTION=blue")
    assert [t.action for t in env.history] == [0]
    assert "learn" not in second.info
    env.answer("ACTION=blue")
    assert env.answer("ACTION=blue").terminated


def test_a_new_action_earns_the_bonus_once() -> None:
    tasks = [Bandit(arms=3, horizon=5, face=COMPACT, aids=Aids(bonus=bonus)) for bonus in (0.0, 0.6)]
    plain, helped = (opened(task)[0] for task in tasks)
    gains = [round(value(helped.answer(a)) - value(plain.answer(a)), 9) for a in "abaca"]
    assert gains == [0.6, 0.6, 0.0, 0.6, 0.0]


def test_a_step_of_64_environments_costs_microseconds() -> None:
    """The fastest of some tries, since other programs may run: a quarter of a millisecond where nothing does."""
    task = Bandit(gaussian=UNIFORM, face=COMPACT)
    envs = [task.env("train") for _ in range(64)]
    fastest = 1.0
    for _ in range(3):
        for number, env in enumerate(envs):
            env.reset(seed=number, options={"episode": number})
        for _ in range(50):
            began = time.process_time()
            task.step_many(envs, ["a"] * 64)
            fastest = min(fastest, time.process_time() - began)
    assert fastest < 1e-3


def test_a_step_makes_few_calls_and_leaves_little_behind() -> None:
    """What can be held without a clock: calls of Python functions, constructors included, and a step's own objects."""
    task = Bandit(gaussian=UNIFORM, face=COMPACT)
    envs = [task.env("train") for _ in range(64)]
    for number, env in enumerate(envs):
        env.reset(seed=number, options={"episode": number})
    calls: Counter[str] = Counter()

    def counted(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1

    sys.setprofile(counted)
    try:
        steps = task.step_many(envs, ["a"] * 64)
    finally:
        sys.setprofile(None)
    # answer, _act, act, following, digit; Moved, Transition, Step, Scored
    assert calls.total() <= 9 * 64 + 2, calls  # and step_many and its cast
    assert {id(step.info) for step in steps} == {id(env._info) for env in envs if isinstance(env, ActingEnv)}
    assert all(len(env.history) == 1 for env in envs if isinstance(env, ActingEnv))


def test_answers_are_looked_up_as_they_would_be_read() -> None:
    for task in (Bandit(arms=12, scenario="continuous"), Bandit(face=COMPACT), TicTacToe(face=COMPACT)):
        labels = task.face.labels(task.scene)
        assert task.plain == {task.face.write(label): place for place, label in enumerate(labels)}
    assert Bandit(aids=Aids(shuffle=True)).plain == {}  # names of actions change


@pytest.mark.parametrize("task", [Bandit(horizon=3), TicTacToe(), ContextualBandit(horizon=3), Gym("CliffWalking-v1")])
def test_it_is_a_gymnasium_environment_and_passes_its_own_preflight(task: ActingTask) -> None:
    task.preflight()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(task.env("train"), skip_render_check=True)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "bandit", "arms": 21}, "more actions than names.*got 21 actions.*at most 20"),
        (
            {"name": "bandit", "arms": 60, "scenario": "continuous", "face": {"style": "compact"}},
            "more actions than le",
        ),
        ({"name": "bandit", "face": {"window": 5, "style": "summary"}}, "window has no effect"),
        ({"name": "bandit", "face": {"pattern": "ACTION"}}, "must have one group"),
        ({"name": "bandit", "face": {"pattern": "("}}, "no regular expression"),
        ({"name": "bandit", "face": {"styel": "raw"}}, 'unknown key.*did you mean "style"'),
        ({"name": "bandit", "aids": {"epsilon": 1.5}}, "must be a probability"),
        ({"name": "bandit", "aids": {"bonus": -1.0}}, "punish exploring"),
        ({"name": "bandit", "aids": {"shuffle": True, "try_all": True}}, "takes away"),
        ({"name": "bandit", "aids": {"try_all": True}, "horizon": 10}, "none are left"),
        ({"name": "bandit", "bernoulli": {"probabilities": "gap", "gap": 0.2}}, "bernoulli has no effect"),
        ({"name": "tictactoe", "face": {"style": "guided"}}, "counts actions"),
        ({"name": "tictactoe", "opponent": "prefect"}, "wrong value"),
        ({"name": "gym", "id": "FrozenLake-v9"}, "cannot be made"),
        ({"name": "gym", "id": "Pendulum-v1"}, "cannot be made|not numbered"),
        ({"name": "gym", "id": "FrozenLake-v1", "names": ["up"]}, "got 1 names; expected 4"),
        ({"name": "contextual_bandit", "movies": "x"}, "no effect without ratings"),
        ({"name": "contextual_bandit", "ratings": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_faults_are_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(HoneError, match=message):
        build_named(table, "hone.envs.tasks", "task").preflight()
