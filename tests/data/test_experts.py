"""Experts as text: the records are rollouts of the expert, word for word, and only its answers are learnt."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hone.core.errors import HoneError
from hone.data.experts import Experts, thompson
from hone.data.rows import encode_rows
from hone.envs import minimax
from hone.envs.acting.aids import Aids
from hone.envs.acting.face import Face
from hone.envs.acting.rationale import rationale_of
from hone.envs.arms import Bernoulli, Gaussian
from hone.envs.tasks.addition import Addition
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.envs.tasks.tictactoe import TicTacToe
from hone.models.chat import Renderer
from hone.models.tokenizer import char_tokenizer
from hone.tabular.bandits import UCB, Knowing, ThompsonGaussian, play

COMPACT = Bandit(arms=4, gaussian=Gaussian("uniform01", noise=0.1), horizon=9, face=Face("compact"))
WORDS = replace(COMPACT, face=Face())


def answers(record: dict[str, Any]) -> list[str]:
    if "pieces" in record:
        return [text for text, learnt in record["pieces"] if learnt]
    return [m["content"] for m in record["messages"] if m["role"] == "assistant"]


def test_a_behaviour_cloning_record_is_the_experts_episode() -> None:
    """Untried arms in their order, then the arm of largest mean + 1/√n of what the record itself shows."""
    (record,) = Experts(WORDS).corpus(1, seed=3)
    messages = record["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * 9
    assert messages[0]["content"].startswith("You are a decision-making agent in a room with 4 buttons")
    seen: dict[str, list[float]] = {name: [] for name in ("blue", "green", "red", "yellow")}
    for said, answered in zip(messages[::2], messages[1::2], strict=True):
        for name, reward in re.findall(r"Action=(\w+) Reward=(-?[\d.]+)", said["content"]):
            seen[name].append(float(reward))
        untried = [name for name, rewards in seen.items() if not rewards]
        bound = {name: np.mean(r) + len(r) ** -0.5 for name, r in seen.items() if r}
        assert answered["content"] == f"ACTION={untried[0] if untried else max(bound, key=lambda n: bound[n])}"


def test_the_pieces_of_a_compact_record_are_the_conversation_without_ends() -> None:
    (talk,) = Experts(COMPACT).corpus(1, seed=3)
    (record,) = Experts(COMPACT, ends=False).corpus(1, seed=3)
    assert [text for text, _ in record["pieces"]] == [m["content"] for m in talk["messages"]]
    assert answers(record) == answers(talk)
    assert answers(record)[:4] == ["a", "b", "c", "d"]
    assert re.fullmatch(r"Gd\|([abcd]\d){8}[abcd]", "".join(text for text, _ in record["pieces"]))


def test_only_the_experts_answers_are_learnt() -> None:
    encoder = Renderer(char_tokenizer(["G|abcd0123456789"]))
    for ends in (True, False):
        (row,) = encode_rows(encoder, Experts(COMPACT, ends=ends).corpus(1, seed=0), 100)
        learnt = [t for t, mark in zip(row.tokens, row.train, strict=True) if mark]
        text = encoder.decode(row.tokens)
        assert encoder.decode(learnt) == "".join(re.findall("[abcd]", text.partition("|")[2]))
        assert row.tokens.count(encoder.end_id) == (9 if ends else 0)
        assert [t == encoder.end_id for t in learnt].count(True) == (9 if ends else 0)


def test_records_differ_by_luck_and_are_of_training_bandits() -> None:
    task = replace(COMPACT, train=8)
    found = Experts(task, ends=False).corpus(8 * 40, seed=2)
    assert len({str(record) for record in found}) > 300
    # What the first arm paid in the records of bandit 5 has the mean of that arm.
    paid = [int(record["pieces"][2][0][0]) for record in found[5::8]]
    assert np.mean(paid) / 10 + 0.05 == pytest.approx(task.bandits("train", [5]).means_NK[0, 0], abs=0.06)


def test_a_thought_is_the_rationale_of_what_was_seen_and_the_action_follows_from_it() -> None:
    for face in (Face("counts", thoughts=True), Face("summary", thoughts=True)):
        task = replace(COMPACT, face=face)
        records = Experts(task).corpus(9, seed=3)
        assert len(records) == 9
        rationale, labels = rationale_of(face, task.scene), face.labels(task.scene)
        for t, record in enumerate(records):
            bounds = rationale.read(record["completion"])
            assert [b == np.inf for b in bounds] == [arm >= t for arm in range(4)]
            action = face.read(record["completion"], labels)
            assert action is not None
            assert bounds[action] == max(bounds) and action == bounds.index(max(bounds))
            assert record["prompt"].count("?" if face.terse else "not tried yet") == (
                max(4 - t, 0) if t or face.terse else 0
            )


def test_a_planted_gap_has_its_shares() -> None:
    """Greedy decisions know better: the thought is right and the action the best of those tried."""
    bandits = COMPACT.bandits("train", np.arange(512), np.arange(512))
    found = play(Knowing(greedy=0.6, random=0.1), bandits, 2)
    # After one pull, of arm a: greedy again a; optimal b; random a quarter each.
    first, second = found.action_TN
    again = (first == second).mean()
    assert again == pytest.approx(0.6 + 0.1 / 4, abs=0.07)
    exact = play(Knowing(), COMPACT.bandits("train", np.arange(512), np.arange(512)), 9)
    plain = play(UCB(1.0, logarithm=False, in_order=True), COMPACT.bandits("train", np.arange(512), np.arange(512)), 9)
    assert (exact.action_TN == plain.action_TN).all()


def test_experts_of_other_games() -> None:
    record = Experts(TicTacToe(opponent="perfect", face=Face("compact")), agent="perfect").corpus(40, seed=0)
    for game in record:
        board = game["messages"][-2]["content"][-9:]
        last = answers(game)[-1]
        assert board["abcdefghi".index(last)] == "0"
        assert minimax.perfect()[minimax.encode(board), "abcdefghi".index(last)] > 0
    contextual = ContextualBandit(arms=3, horizon=6)
    for agent in ("linucb", "ucb_log"):
        assert len(answers(Experts(contextual, agent=agent).corpus(1, 0)[0])) == 6
    for agent in ("thompson", "ucb1", "epsilon_greedy", "greedy", "random"):
        task = Bandit(arms=3, horizon=6, family="bernoulli", bernoulli=Bernoulli())
        assert len(answers(Experts(task, agent=agent).corpus(1, 0)[0])) == 6  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": Addition()}, "experts play tasks of acting agents, not Addition"),
        ({"agent": "ucb1", "c": 2.0}, 'c, greedy and random have no effect on "ucb1"'),
        ({"of": replace(COMPACT, aids=Aids(try_all=True))}, "none of the aids shuffle, correct, epsilon and try_all"),
        ({"greedy": 0.8, "random": 0.3}, "shares of all decisions"),
        ({"of": ContextualBandit(face=Face(thoughts=True))}, "rationales are of bandits without contexts"),
        ({"of": replace(COMPACT, face=Face("counts")), "ends": False}, "an answer is a row, and ends"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Experts(**{"of": COMPACT, **options})


def test_thompsons_prior_is_that_of_the_means() -> None:
    assert thompson(Gaussian("uniform01", noise=0.1)) == ThompsonGaussian(0.5, 12**-0.5, 0.1)
    assert thompson(Gaussian("normal", noise=3.0, centre=2.0, spread=0.5)) == ThompsonGaussian(2.0, 0.5, 3.0)


def test_an_expert_of_another_game_is_named() -> None:
    with pytest.raises(HoneError, match='plays another game; got "perfect" in Bandit'):
        Experts(COMPACT, agent="perfect").corpus(1, 0)
    with pytest.raises(HoneError, match='plays another game; got "ucb" in TicTacToe'):
        Experts(TicTacToe()).corpus(1, 0)


def test_pieces_that_are_none_are_named() -> None:
    encoder = Renderer(char_tokenizer(["ab"]))
    with pytest.raises(HoneError, match=r"record 1; .*expected \[\[text, true or false\]"):
        encode_rows(encoder, [{"pieces": [["a", 1]]}], 10)
