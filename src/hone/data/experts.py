"""Experts as text: what a good player of an acting task would have answered, for behaviour and thought cloning.

The moves are planned on the numeric environment, many episodes at once, and then played again in words, so a record is
what a rollout of the expert would be: the same contexts, the same rewards.

Source: RLFT (arXiv 2504.16078), section 4.4: 32,000 rollouts of UCB per setting.

Dimensions: T steps, N episodes, K arms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np

from hone.core.config import named
from hone.core.errors import HoneError
from hone.core.records import Record
from hone.core.streams import Streams, key_array
from hone.envs import minimax
from hone.envs.acting.env import ActingEnv
from hone.envs.acting.face import sums
from hone.envs.acting.rationale import rationale_of
from hone.envs.acting.task import ActingTask
from hone.envs.arms import Bernoulli, Family, Gaussian
from hone.envs.mcts import mcts
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.envs.tasks.tictactoe import TicTacToe
from hone.tabular.bandits import (
    UCB,
    Agent,
    EpsilonGreedy,
    Greedy,
    LinUCB,
    Random,
    ThompsonBeta,
    ThompsonGaussian,
    WithoutContext,
    play,
    play_contextual,
)
from hone.tabular.bandits.base import Floats, Ints, choose
from hone.tabular.bandits.knowing import Knowing

Name = Literal["ucb", "ucb_log", "ucb1", "thompson", "epsilon_greedy", "greedy", "random", "linucb", "perfect", "mcts"]


@dataclass(frozen=True)
class Experts:
    """A corpus in which an expert plays the training episodes of a task.

    Where the task's face asks for thoughts, each answer is a rationale (counts, means and bounds of all arms) and the
    action: thought cloning. Else it is the action alone: behaviour cloning.

    Attributes:
        of: the task, chosen by name.
        agent: of a bandit "ucb" (mean + c/√n), "ucb_log" (mean + √(½ ln t / n)), "ucb1", "thompson", "epsilon_greedy",
            "greedy" or "random"; of a contextual bandit "linucb" or any of these, which then ignore the context; of
            tic-tac-toe "perfect", "mcts" or "random". Untried arms come first, in their order, for every UCB.
        c: of "ucb".
        epsilon: of "epsilon_greedy".
        greedy: share of decisions in which "ucb" knows the bounds and takes the largest of those tried (a planted gap
            between knowing and doing).
        random: share of its decisions that are random.
        ends: the end token follows every answer; False for a policy that samples one token per action and no end.
    """

    of: Any = field(metadata=named("hone.envs.tasks", "task"))
    agent: Name = "ucb"
    c: float = 1.0
    epsilon: float = 0.1
    greedy: float = 0.0
    random: float = 0.0
    ends: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.of, ActingTask):
            raise ValueError(f"experts play tasks of acting agents, not {type(self.of).__name__}")
        if min(self.greedy, self.random) < 0 or self.greedy + self.random > 1:
            raise ValueError("greedy and random are shares of all decisions")
        if self.agent != "ucb" and (self.greedy or self.random or self.c != 1.0):
            raise ValueError(f'c, greedy and random have no effect on "{self.agent}"')
        if self.of.face.thoughts and not isinstance(self.of, Bandit):
            raise ValueError("rationales are of bandits without contexts: turn task.face.thoughts off")
        aids = self.of.aids
        if aids.shuffle or aids.correct or aids.epsilon or aids.try_all:
            raise ValueError("experts need none of the aids shuffle, correct, epsilon and try_all")
        if not self.ends and self.of.face.anew:
            raise ValueError("ends: where every context is written anew an answer is a row, and ends")

    def corpus(self, n: int, seed: int) -> list[Record]:
        """``n`` records: conversations, or a prompt and its completion where contexts are written anew.

        Raises:
            HoneError: an expert of another game.
        """
        task: ActingTask = self.of
        steps = task.turns if task.face.anew else 1
        episodes = math.ceil(n / steps)
        episodes_N = np.arange(episodes) % task.size("train")
        # Luck of its own: rollouts name theirs by 31 bits.
        samples_N = key_array((seed, "experts"), np.arange(episodes)).astype(np.int64) >> 1 | (1 << 40)
        planned = self._plan(episodes_N, samples_N, seed)
        found: list[Record] = []
        env = cast(ActingEnv, task.env("train"))
        for episode, sample, actions in zip(episodes_N.tolist(), samples_N.tolist(), planned, strict=True):
            found += self._narrated(env, episode, sample, actions)
        return found[:n]

    def _plan(self, episodes_N: Ints, samples_N: Ints, seed: int) -> Iterator[Sequence[int]]:
        """The actions of every episode, played on the numeric environment."""
        task = self.of
        if isinstance(task, TicTacToe):
            yield from _moves(self._table(), task, episodes_N, samples_N, seed)
            return
        if isinstance(task, Bandit):
            history = play(self._bandit_agent(), task.bandits("train", episodes_N, samples_N), task.horizon, seed)
        elif isinstance(task, ContextualBandit):
            agent = LinUCB() if self.agent == "linucb" else WithoutContext(self._bandit_agent())
            bandits = task.bandits("train", episodes_N.tolist(), samples_N.tolist())
            history = play_contextual(agent, bandits, task.horizon, seed)
        else:
            raise HoneError("nobody is an expert of this task", got=type(task).__name__)
        yield from history.action_TN.T.tolist()

    def _bandit_agent(self) -> Agent:
        family = self.of.payoff if isinstance(self.of, Bandit) else None
        if self.agent == "thompson":
            return thompson(family)
        agents: dict[str, Agent] = {
            "ucb": Knowing(self.c, self.greedy, self.random),
            "ucb_log": UCB(math.sqrt(0.5), in_order=True),
            "ucb1": UCB(in_order=True),
            "epsilon_greedy": EpsilonGreedy(self.epsilon),
            "greedy": Greedy(),
            "random": Random(),
        }
        return agents.get(self.agent) or self._stranger()

    def _table(self) -> Floats:
        tables = {"perfect": minimax.perfect, "mcts": mcts, "random": minimax.uniform}
        if self.agent not in tables:
            self._stranger()
        return tables[self.agent]()

    def _stranger(self) -> Any:
        raise HoneError("the expert plays another game", got=f'"{self.agent}" in {type(self.of).__name__}')

    def _narrated(self, env: ActingEnv, episode: int, sample: int, actions: Sequence[int]) -> list[Record]:
        """An episode in words, with these actions."""
        observation, _ = env.reset(seed=sample, options={"episode": episode})
        said: list[tuple[str, str]] = []
        for action in actions:
            answer = self._thought(env) + env.face.write(env.labels[action])
            said.append((observation, answer))
            observation = env.answer(answer).observation
        if env.face.anew:
            return [{"prompt": context, "completion": answer} for context, answer in said]
        if not self.ends:
            return [{"pieces": [piece for turn in said for piece in zip(turn, (False, True), strict=True)]}]
        roles = ("user", "assistant")
        return [
            {"messages": [{"role": r, "content": text} for turn in said for r, text in zip(roles, turn, strict=True)]}
        ]

    def _thought(self, env: ActingEnv) -> str:
        if not env.face.thoughts:
            return ""
        counts, totals = sums(env.history, len(env.labels))
        means = [total / count if count else 0.0 for total, count in zip(totals, counts, strict=True)]
        written = rationale_of(env.face, env.scene, self.c).write(counts, means)
        return written + (">" if env.face.terse else "")


def thompson(family: Family | None) -> Agent:
    """Thompson sampling from the prior that means of this family have; of no family or no noise, from N(0, 1)."""
    if isinstance(family, Bernoulli):
        return ThompsonBeta()
    if not isinstance(family, Gaussian) or not family.noise:
        return ThompsonGaussian(0.0, 1.0, 1.0)
    centre, spread = (family.centre, family.spread) if family.means_from == "normal" else (0.5, 12**-0.5)
    return ThompsonGaussian(centre, spread or 1e-6, family.noise)


def _moves(table: Floats, task: TicTacToe, episodes_N: Ints, samples_N: Ints, seed: int) -> list[list[int]]:
    """Games by a table of move probabilities."""
    games = task.games("train", episodes_N.tolist(), samples_N.tolist())
    uniform = Streams(key_array((seed, "expert's moves"), episodes_N, samples_N))
    moves: list[list[int]] = [[] for _ in episodes_N]
    for turn in range(task.turns):
        playing = np.flatnonzero(~games.over_N)
        weight_N9 = np.where(games.over_N[:, None], 1.0, table[games.codes_N])
        chosen = choose(np.ascontiguousarray(weight_N9.T), uniform.at(turn))
        for n in playing.tolist():
            moves[n].append(int(chosen[n]))
        games.step(chosen)
    return moves
