"""A model before a bandit: what it sees, how probable the arms are to it, and the same diagnostics as for a script."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hone.core.errors import HoneError
from hone.engines.base import Request, Sampling
from hone.engines.scripted import ScriptedEngine
from hone.envs.acting.aids import Aids
from hone.envs.acting.face import Face
from hone.envs.acting.rationale import rationale_of
from hone.envs.arms import Gaussian
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.evaluate.agents import ModelAgent
from hone.evaluate.choices import answer_probabilities
from hone.evaluate.diagnostics.frequency_bias import FrequencyBias
from hone.evaluate.diagnostics.greediness import Greediness
from hone.evaluate.diagnostics.knowing_doing import KnowingDoing
from hone.models.policy import Policy
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer

ALPHABET = ["Gbcade|?>0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789.,=/:;'\n-?()"]
TASK = Bandit(arms=4, gaussian=Gaussian("uniform01", noise=0.1), horizon=12, face=Face("compact"))


def model(max_length: int = 256, seed: int = 0) -> Policy:
    shape = TinyConfig(width=16, layers=2, heads=2, max_length=max_length)
    return create_tiny(shape, char_tokenizer(ALPHABET), seed)


def slow(policy: Policy, context: Sequence[int], answer: Sequence[int]) -> float:
    """Log-probability of an answer by one plain forward pass."""
    ids = torch.tensor([[*context, *answer]])
    with torch.no_grad():
        logp = policy.model(input_ids=ids).logits[0].float().log_softmax(-1)
    return float(sum(logp[len(context) + i - 1, token] for i, token in enumerate(answer)))


@pytest.mark.parametrize(
    "answers", [[[3], [9], [5]], [[3, 4], [9], [5, 6, 7]], [[8, 3, 4], [8, 9, 4]], [[8, 3], [8, 5]]]
)
def test_probabilities_of_answers_are_those_of_a_plain_forward_pass(answers: list[list[int]]) -> None:
    policy = model()
    contexts = [[1, 2], [1, 2, 5], [1, 2, 5, 6, 7], [1, 2], [4, 2, 5, 5]]
    found = answer_probabilities(policy, contexts, answers, "")
    for context, row in zip(contexts, found, strict=True):
        expected = np.exp([slow(policy, context, answer) for answer in answers])
        assert row == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_the_context_of_a_forced_history_is_the_one_that_a_rollout_makes() -> None:
    policy = model()
    actions = [2, 0, 0, 3, 1, 2, 2, 2, 0, 1, 3, 3]
    for style, tokens in (("compact", 1), ("compact", 2), ("counts", 2), ("raw", 40), ("summary", 40)):
        task = replace(TASK, face=Face(style))  # type: ignore[arg-type]
        agent = ModelAgent(policy, task, Sampling(max_tokens=tokens))
        policy.model.config.max_position_embeddings = 4096
        labels = task.face.labels(task.scene)
        turn = {"n": -1}

        def script(request: Request, task: Bandit = task, labels: tuple[str, ...] = labels, turn: Any = turn) -> str:
            turn["n"] += 1
            return task.face.write(labels[actions[turn["n"]]])

        engine = ScriptedEngine(script, encode=agent._ids, end_id=agent.renderer.end_id)
        agent.engine = engine
        played = agent.play(np.array([5]), np.array([0]))
        assert played.history.action_TN[:, 0].tolist() == actions
        assert not played.invalid_TN.any()
        forced = list(agent._contexts(actions, played.history.reward_TN[:, 0].tolist()))
        assert [list(request.prompt) for request in engine.requests] == forced[:-1], style
        # The same luck in the numeric bandit.
        bandits = agent.bandits(np.array([5]), np.array([0]))
        assert [bandits.pull([a])[0] for a in actions] == pytest.approx(played.history.reward_TN[:, 0].tolist())


def test_probabilities_after_forced_actions() -> None:
    policy = model(seed=3)
    agent = ModelAgent(policy, TASK, Sampling(max_tokens=2))
    action = np.array([[1, 3], [1, 0], [1, -1]])
    wanted = np.array([[True, False], [True, False], [False, True], [True, False]])
    found = agent.probabilities(np.array([0, 4]), np.array([0, 1]), action, wanted)
    assert np.isnan(found[~wanted]).all()
    assert found[wanted].sum(axis=-1) == pytest.approx(1.0)
    bandits = agent.bandits(np.array([0, 4]), np.array([0, 1]))
    reward = [bandits.pull([max(a, 0), max(b, 0)]) for a, b in action]
    for s, n in zip(*np.nonzero(wanted), strict=True):
        steps = "".join(f"{'abcd'[action[t, n]]}{TASK.scene.digit(reward[t][n])}" for t in range(s))
        # The policy would have ended its answer, so the end token follows every letter.
        ids: list[int] = agent.renderer.opening("Gd|")
        for letter in steps:
            ids += agent._ids(letter) + ([agent.renderer.end_id] if letter.isalpha() else [])  # type: ignore[list-item]
        expected = np.exp([slow(policy, ids, agent._ids(letter)) for letter in "abcd"])
        assert found[s, n] == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_with_thoughts_the_arms_are_weighed_where_the_thought_named_one() -> None:
    policy = model(seed=3)
    task = replace(TASK, face=Face("counts", thoughts=True))
    agent = ModelAgent(policy, task, Sampling(max_tokens=20))
    agent.engine = ScriptedEngine(lambda _: "a050b?>b", encode=agent._ids, end_id=agent.renderer.end_id)
    wanted = np.array([[True], [False], [True]])
    found = agent.probabilities(np.array([1]), np.array([0]), np.array([[0], [0]]), wanted)
    bandits = agent.bandits(np.array([1]), np.array([0]))
    mean = task.scene.hundredths((bandits.pull([0])[0] + bandits.pull([0])[0]) / 2)
    for s, told in ((0, "Gd|a?b?c?d?"), (2, f"Gd|a02{mean:02}b?c?d?")):
        context = [*agent.renderer.opening(told), *agent._ids("a050b?>")]
        expected = np.exp([slow(policy, context, agent._ids(letter)) for letter in "abcd"])
        assert found[s, 0] == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_diagnostics_run_on_an_untrained_model() -> None:
    agent = ModelAgent(model(), TASK, Sampling(max_tokens=2))
    greediness = Greediness(episodes=8).examine(agent)
    assert greediness["invalid"]["value"] > 0.3  # it draws any of the letters, mostly none of the four arms
    assert len(greediness["players"]["agent"]["regret"]) == 12
    bias = FrequencyBias(bandits=2, targets=2, histories=1, repeats=11).examine(agent)
    assert 0 < min(bias["entropy"]) <= max(bias["entropy"]) <= math.log(4)
    assert len(bias["entropy"]) == 12


def test_steps_that_an_aid_takes_are_not_the_agents() -> None:
    agent = ModelAgent(model(), replace(TASK, aids=Aids(try_all=True)), Sampling(max_tokens=2))
    agent.engine = ScriptedEngine(lambda request: "?", encode=agent._ids, end_id=agent.renderer.end_id)
    assert Greediness(episodes=8).examine(agent)["invalid"]["value"] == 1.0


@pytest.mark.parametrize(("aids", "steps"), [(Aids(), 11), (Aids(try_all=True), 8)])
def test_a_thinking_agent_is_judged_by_what_it_writes(aids: Aids, steps: int) -> None:
    """A scripted engine that writes the true bounds and takes the best tried arm: all knowing, no doing.

    Once an aid has tried every arm the best tried is the best.
    """
    task = replace(TASK, aids=aids, face=Face("counts", thoughts=True))
    agent = ModelAgent(model(), task, Sampling(max_tokens=40))
    rationale = rationale_of(task.face, task.scene)

    def script(request: Request) -> str:
        told = agent.renderer.decode(request.prompt)
        arms = dict(zip("abcd", _cells(told), strict=True))
        counts = [int(text[:2]) if text != "?" else 0 for text in arms.values()]
        means = [int(text[2:]) / 100 if text != "?" else 0.0 for text in arms.values()]
        tried = [arm for arm, count in zip("abcd", counts, strict=True) if count]
        bounds = dict(zip("abcd", rationale.bounds(counts, means), strict=True))
        return rationale.write(counts, means) + ">" + max(tried or ["a"], key=lambda arm: bounds[arm])

    agent.engine = ScriptedEngine(script, encode=agent._ids, end_id=agent.renderer.end_id)
    found = KnowingDoing(episodes=10).examine(agent)
    if aids.try_all:  # it reads means of two digits, so now and then another bound is the largest
        assert found["knows"]["value"] > 0.95
        assert found["confusion"]["knows"]["greedy"] == 0.0
    else:
        assert found["knows"]["value"] == 1.0
        assert found["confusion"]["knows"] == {"optimal": 0.0, "greedy": 1.0, "other": 0.0}
    assert found["decisions"] == 10 * steps


def _cells(told: str) -> list[str]:
    import re

    return re.findall(r"[abcd](\?|\d{4})", told.partition("|")[2])


def test_answers_that_name_no_action_are_an_error_with_an_example() -> None:
    agent = ModelAgent(model(), TASK, Sampling(max_tokens=3))
    agent.engine = ScriptedEngine(lambda _: "?9", encode=agent._ids, end_id=agent.renderer.end_id)
    with pytest.raises(HoneError, match=r"names a legal action; at task.face; got 100 % of 120 .*example '\?9'"):
        agent.play(np.arange(10), np.zeros(10, dtype=np.int64))


def test_an_episode_longer_than_the_context_is_an_error() -> None:
    agent = ModelAgent(model(max_length=20), TASK, Sampling(max_tokens=2))
    with pytest.raises(
        HoneError, match="an episode is longer than the model's context; at episode 0; got 20 tokens are"
    ):
        agent.play(np.arange(2), np.zeros(2, dtype=np.int64))
    with pytest.raises(
        HoneError, match=r"an episode is longer than the model's context; got 1[68][0-9] tokens.*at most 20"
    ):
        FrequencyBias(repeats=50).examine(agent)


def test_greediness_in_a_contextual_bandit_beside_linucb() -> None:
    """A scripted engine that always takes the same movie: one arm in four, and LinUCB does better."""
    task = ContextualBandit(arms=4, rank=2, horizon=40, face=Face("compact"))
    alphabet = ["C|abcd0123456789"]
    policy = create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=512), char_tokenizer(alphabet), 0)
    agent = ModelAgent(policy, task, Sampling(max_tokens=1))
    agent.engine = ScriptedEngine(lambda _: "c", encode=agent._ids)
    found = Greediness(episodes=12).examine(agent)
    players = found["players"]
    assert players["agent"]["coverage"] == pytest.approx([0.25] * 40)
    world = task.bandits("test", list(range(12)))
    gaps = []
    for _ in range(40):
        gaps.append((world.means_NK.max(axis=1) - world.means_NK[:, 2]).mean())
        world.pull(np.full(12, 2))
    assert players["agent"]["regret"] == pytest.approx(np.cumsum(gaps).tolist())
    assert players["LinUCB"]["final_regret"]["value"] < 0.7 * players["random"]["final_regret"]["value"]
    assert set(players) == {"agent", "random", "UCB without context", "LinUCB"}
    assert found["score"] < 1.0


@pytest.mark.parametrize("aids", [Aids(shuffle=True), Aids(correct=True)])
def test_probabilities_are_refused_where_aids_make_other_contexts(aids: Aids) -> None:
    """They would be read in contexts that no rollout of this task makes."""
    task = replace(TASK, aids=aids)
    assert not FrequencyBias.suits(task) and FrequencyBias.suits(TASK)
    with pytest.raises(HoneError, match=r"without these aids; got task\.aids\.(shuffle|correct)"):
        FrequencyBias(bandits=1, repeats=1).examine(ModelAgent(model(), task, Sampling(max_tokens=2)))
