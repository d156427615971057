"""Agents in rollouts: contexts that go on or are written anew, what is learnt, votes, agents without actions."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import pytest

from hone import RLFT
from hone.core.errors import HoneError
from hone.core.types import Completion, Failed, Trajectory
from hone.engines.base import Request, Sampling
from hone.engines.scripted import ScriptedEngine
from hone.engines.voting import VotingEngine
from hone.envs.acting.aids import Aids
from hone.envs.acting.face import Face
from hone.envs.acting.task import ActingTask
from hone.envs.arms import Gaussian
from hone.envs.tasks.bandit import Bandit
from hone.models.chat import Renderer
from hone.models.config import ModelConfig
from hone.models.tokenizer import char_tokenizer
from hone.rollout.answers import check_answers
from hone.rollout.episodes import Start, rollout
from hone.rollout.rows import to_batch
from hone.training.recipe import Recipe

TOKENIZER = char_tokenizer(string.printable)
RENDERER = Renderer(TOKENIZER)
END = int(TOKENIZER.eos_token_id)
EXACT = Gaussian((0.0, 1.0, 2.0), noise=0.0)


def ids(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def text_of(tokens: Any) -> str:
    return str(TOKENIZER.decode(list(tokens)))


def play(
    task: ActingTask, answer: Callable[[Request], str], episodes: int = 1, **options: Any
) -> tuple[ScriptedEngine, list[Trajectory]]:
    engine = ScriptedEngine(lambda request: ids(answer(request)), end_id=END, logprob=-0.5)
    starts = [Start(0, 0, sample) for sample in range(episodes)]
    return engine, rollout(engine, task, RENDERER, starts, Sampling(max_tokens=40), noise=(0, 1), **options)


def test_a_compact_episode_is_one_row_and_its_letters_alone_are_learnt() -> None:
    task = Bandit(arms=3, horizon=4, gaussian=EXACT, face=Face("compact"))
    said = iter("cabc")
    _, (found,) = play(task, lambda _: next(said))
    batch = to_batch([found], 0)
    assert text_of(batch.tokens[0].tolist()) == "Gc|c9a0b5c"
    assert text_of(batch.tokens[0][batch.train[0]].tolist()) == "cabc"
    assert bool((batch.train == batch.sampled).all())
    mean, deviation = task.scale
    earned = [(r - mean) / deviation for r in (2.0, 0.0, 1.0, 2.0)]
    assert batch.reward[0][batch.sampled[0]].tolist() == pytest.approx(earned)
    assert found.metrics["return"] == 5.0


def test_a_context_written_anew_is_a_row_of_its_own() -> None:
    task = Bandit(arms=3, horizon=3, gaussian=EXACT, face=Face("summary"))
    engine, (found,) = play(task, lambda _: "ACTION=red")
    assert [turn.restart for turn in found.turns] == [False, True, True]
    for turn, request in zip(found.turns, engine.requests, strict=True):
        assert turn.observation == request.prompt
    assert "red: tried 2 times, average reward 2.00" in text_of(engine.requests[2].prompt)
    batch = to_batch([found], 0)
    assert batch.step.tolist() == [0, 1, 2]
    assert [text_of(row[train].tolist()) for row, train in zip(batch.tokens, batch.train, strict=True)] == (
        ["ACTION=red"] * 3
    )


def test_a_check_goes_on_with_the_context_and_the_first_answer_is_not_learnt() -> None:
    task = Bandit(arms=3, horizon=2, gaussian=EXACT, face=Face(window=1), aids=Aids(correct=True))
    said = iter(("ACTION=red", "ACTION=blue", "ACTION=red", "ACTION=green"))
    engine, (found,) = play(task, lambda _: next(said))
    assert [turn.learn for turn in found.turns] == [False, True, False, True]
    assert [turn.restart for turn in found.turns] == [False, False, True, False]
    assert found.metrics["return"] == 1.0
    first, second = engine.requests[0].prompt, engine.requests[1].prompt
    assert second[: len(first)] == first
    assert text_of(second[len(first) :]).startswith("ACTION=red\nCheck your action")
    batch = to_batch([found], 0)
    learnt = [text_of(row[train].tolist()) for row, train in zip(batch.tokens, batch.train, strict=True)]
    assert learnt == ["ACTION=blue", "ACTION=green"]
    assert batch.sampled.sum() == sum(len(turn.action.tokens) for turn in found.turns)


def test_actions_of_aids_are_observations() -> None:
    task = Bandit(arms=3, horizon=30, gaussian=EXACT, face=Face("compact"), aids=Aids(try_all=True, epsilon=0.4))
    _, (found,) = play(task, lambda _: "c")
    batch = to_batch([found], 0)
    history = found.info["history"]
    assert [t.by for t in history[:3]] == ["aid"] * 3
    assert len(history) == 30
    whole = "Gc|" + "".join("abc"[t.action] + "059"[t.action] for t in history)
    assert whole.startswith(text_of(batch.tokens[0].tolist()))
    assert int(batch.train.sum()) == sum(t.by == "policy" for t in history) < 30


def test_an_episode_longer_than_the_context_fails_and_says_so() -> None:
    task = Bandit(arms=3, horizon=40, gaussian=EXACT, face=Face("compact"))
    _, (found,) = play(task, lambda _: "a", max_length=20)
    assert isinstance(found.failure, Failed)
    assert found.failure.kind == "context"
    assert "the context of turn 10 on episode 0 ('Gc|') has 21 tokens, the context only 20" in found.failure.reason


def test_an_episode_may_have_more_than_64_turns() -> None:
    task = Bandit(arms=3, horizon=90, gaussian=EXACT, face=Face("compact"))
    _, (found,) = play(task, lambda _: "a")
    assert (len(found.turns), found.terminated, found.truncated) == (90, True, False)


def test_the_majority_is_elected_and_what_it_sampled_is_kept() -> None:
    answers = ["ACTION=red", "?", "no: ACTION=blue", "ACTION=blue", "??"]
    task = Bandit(arms=3, horizon=2, gaussian=EXACT, aids=Aids(votes=5))
    engine, (found,) = play(task, lambda request: answers[request.id[1]])  # type: ignore[index]
    assert [turn.text for turn in found.turns] == ["no: ACTION=blue"] * 2
    assert found.turns[0].action.tokens == tuple(ids("no: ACTION=blue"))
    assert len({request.key for request in engine.requests}) == 10
    _, (silent,) = play(task, lambda _: "?")
    assert silent.metrics["invalid"] == 1.0
    _, (tied,) = play(task, lambda request: ["?", "ACTION=red", "ACTION=blue", "?", "?"][request.id[1]])  # type: ignore[index]
    assert tied.turns[0].text == "ACTION=red"


def test_votes_come_in_whatever_order() -> None:
    inner = ScriptedEngine(lambda request: [request.id[1] % 2 + 5], batch=3)  # type: ignore[index]
    engine = VotingEngine(inner, 4, lambda done: str(done.tokens))
    requests = [Request(name, (1,), Sampling(), number) for number, name in enumerate("xyz")]
    assert engine.generate(requests) == [Completion((5,), (0.0,), "stop")] * 3
    assert engine.collect() == []


def test_training_with_votes_is_refused_unless_asked_for() -> None:
    recipe = Recipe(ModelConfig("x"), Bandit(aids=Aids(votes=3)), RLFT())
    with pytest.raises(HoneError, match=r"aids.votes; got 3.*allow_truncated_sampling"):
        recipe.check()
    Recipe(ModelConfig("x"), Bandit(aids=Aids(votes=3)), RLFT(), allow_truncated_sampling=True).check()


def test_agents_that_never_name_an_action_are_refused() -> None:
    task = Bandit(arms=3, horizon=30, gaussian=EXACT)
    _, found = play(task, lambda _: "I choose red.", episodes=4)
    with pytest.raises(HoneError, match=r"100 % of 120 answers are invalid, for example 'I choose red.'.*face.pattern"):
        check_answers(found)
    assert check_answers(found[:2]) == 60  # too few to tell
    assert check_answers(found[2:3], before=60) == 90
    with pytest.raises(HoneError, match="100 % of 120 answers"):
        check_answers(found[3:], before=90)
    _, (one,) = play(task, lambda request: "ACTION=red" if len(request.prompt) > 900 else "red")
    assert check_answers([*found, one], before=90) == 0


def test_the_same_seed_gives_the_same_episodes_whatever_stands_beside_them() -> None:
    task = Bandit(arms=3, horizon=5, face=Face("compact"), aids=Aids(epsilon=0.3))
    starts = [Start(episode, episode, sample) for episode in (4, 9) for sample in (0, 1)]

    def rolled(starts: list[Start]) -> list[list[Any]]:
        engine = ScriptedEngine(lambda _: ids("a"), end_id=END)
        found = rollout(engine, task, RENDERER, starts, Sampling(max_tokens=1), noise=(3, 7))
        return [[(t.action, t.reward, t.by) for t in trajectory.info["history"]] for trajectory in found]

    together = rolled(starts)
    assert together == [rolled([start])[0] for start in starts]
    assert together[0] != together[1]
