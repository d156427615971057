"""Acting tasks at the terminal: a person plays, or watches an adviser that says how probable each action is to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hone.engines.base import Sampling
    from hone.envs.acting.env import ActingEnv
    from hone.envs.acting.task import ActingTask
    from hone.models.policy import Policy

BASELINES = {
    "bandit": ("ucb", "greedy", "frequent", "random"),
    "contextual_bandit": ("linucb", "random"),
    "tictactoe": ("perfect", "mcts", "random"),
}
"""Advisers by task; the first is the one that nobody need ask for."""


class Adviser(Protocol):
    """Somebody who knows, or thinks to know, what to do.

    Attributes:
        name: of whom.
        thought: what it thought before its last advice; "" for nothing.
    """

    name: str
    thought: str

    def probabilities(self, env: ActingEnv) -> list[float]:
        """Of every action, now."""

    def heard(self, answer: str, observation: str) -> None:
        """An answer was given, and this is what came of it."""


@dataclass
class Baseline:
    """An agent that depends on what was seen alone.

    Attributes:
        name: one of :data:`BASELINES`.
        thought: none.
    """

    name: str
    thought: str = ""

    def heard(self, answer: str, observation: str) -> None:
        """Nothing to keep: everything is in the history."""

    def probabilities(self, env: ActingEnv) -> list[float]:
        """By the table, or by counts and means."""
        import numpy as np

        from hone.envs import minimax
        from hone.envs.acting.face import sums
        from hone.envs.mcts import mcts
        from hone.envs.tasks.tictactoe import TicTacToe
        from hone.tabular.bandits.tallies import Tally, frequent, greedy, optimistic, uniform

        if isinstance(env.task, TicTacToe):
            table = {"perfect": minimax.perfect, "mcts": mcts, "random": minimax.uniform}[self.name]()
            return [float(p) for p in table[minimax.encode(env.play.state)]]
        if self.name == "linucb":
            return self._linucb(env)
        counts, totals = (np.array(x, dtype=np.float64) for x in sums(env.history, len(env.labels)))
        with np.errstate(invalid="ignore"):
            seen = Tally(counts, totals / counts)
        minds = {"ucb": optimistic(), "greedy": greedy, "frequent": frequent, "random": uniform}
        return [float(p) for p in minds[self.name](seen)]

    @staticmethod
    def _linucb(env: ActingEnv) -> list[float]:
        """Walk the numeric twin of the episode to the present step."""
        import numpy as np

        from hone.envs.tasks.contextual_bandit import ContextualBandit
        from hone.tabular.bandits import LinUCB

        assert isinstance(env.task, ContextualBandit)
        twin = env.task.bandits(env.split, [env.episode])
        player = LinUCB().begin(env.task.arms, env.task.rank, np.zeros(1, dtype=np.uint64))
        for step in env.history:
            context, action = twin.context_ND, np.array([step.action])
            player.learn(context, action, twin.pull(action))
        bound = player.index(twin.context_ND)[0]
        best = bound == bound.max()
        return [float(p) for p in best / best.sum()]


class Model:
    """A model: the probability of each action's name in the context that a rollout would show it.

    Attributes:
        name: of its directory.
        thought: what it wrote before the action, where the face asks for thoughts.
    """

    def __init__(self, name: str, policy: Policy, task: ActingTask, sampling: Sampling, seed: int) -> None:
        from hone.engines.embedded import EmbeddedEngine
        from hone.models.chat import Renderer

        self.name, self.policy, self.task, self.sampling, self.seed = name, policy, task, sampling, seed
        self.renderer, self.engine = Renderer(policy.tokenizer), EmbeddedEngine.of(policy)
        self.engine.sync(0)
        self.thought = ""
        self._context: list[int] = []

    def heard(self, answer: str, observation: str) -> None:
        """Go on with the context, or begin it anew."""
        if not self._context or self.task.face.anew:
            self._context = self.renderer.opening(observation)
            return
        ids = self.renderer.answer(answer)
        ids = ids if len(ids) <= self.sampling.max_tokens else ids[:-1]
        ended = ids[-1] == self.renderer.end_id
        self._context += [*ids, *self.renderer.following(observation, ids, ended)]

    def probabilities(self, env: ActingEnv) -> list[float]:
        """Normalised over the actions; with thoughts, after one that is sampled."""
        from hone.core.seeding import key
        from hone.evaluate.agents import answers_of, thoughts_of
        from hone.evaluate.choices import answer_probabilities

        context, self.thought = list(self._context), ""
        if env.face.thoughts:
            noise = key(self.seed, "play", len(env.history))
            ((kept, self.thought),) = thoughts_of(
                self.engine, self.renderer, env.face, self.sampling, [context], [noise]
            )
            context += kept
        answers = answers_of(self.renderer, env.face, env.labels)
        return [float(p) for p in answer_probabilities(self.policy, [context], answers, "asking")[0]]


class AgentGame:
    """An episode of an acting task.

    Attributes:
        over: the episode has ended.
        help: one line on the entries.
    """

    keys, advice = False, ""

    def __init__(self, task: ActingTask, episode: int, seed: int, adviser: Adviser | None, hints: bool) -> None:
        from hone.envs.acting.env import ActingEnv

        self.env, self.adviser, self.hints = ActingEnv(task, "test"), adviser, hints
        observation, _ = self.env.reset(seed=seed, options={"episode": episode % task.size("test")})
        self.over, self._text = False, observation
        self._weighed: tuple[int, Sequence[float]] | None = None
        self.help = f"enter one of {', '.join(self.env.labels)}"
        if adviser is not None:
            adviser.heard("", observation)

    def show(self) -> str:
        """What the agent reads, and what the adviser thinks of every action."""
        drawn = self._board() or self._text.strip()
        if self.over or self.adviser is None or not self.hints:
            return drawn
        advice = self._advice(self.adviser)
        thought = f"\n{self.adviser.name} thinks: {self.adviser.thought.strip()}" if self.adviser.thought else ""
        bars = "\n".join(
            f"  {label:<10} {probability:6.1%} {'█' * round(24 * probability)}"
            for label, probability in zip(self.env.labels, advice, strict=True)
            if probability >= 0.0005
        )
        return f"{drawn}{thought}\n{self.adviser.name}:\n{bars}"

    def suggestion(self) -> str:
        """The adviser's likeliest legal action; "" without one."""
        if self.adviser is None:
            return ""
        advice = self._advice(self.adviser)
        return self.env.labels[max(self.env.play.legal, key=lambda action: advice[action])]

    def act(self, entered: str) -> str:
        """Take an action by its name."""
        labels = {label.casefold(): label for label in self.env.labels}
        label = labels.get(entered.casefold())
        if label is None:
            raise ValueError(f'"{entered}" means nothing here: {self.help}, Enter takes the suggestion, q leaves')
        if self.env.labels.index(label) not in self.env.play.legal:
            raise ValueError(f"{label} is not possible now")
        step = self.env.answer(answer := self.env.face.write(label))
        self.over = step.terminated or step.truncated
        grows = self.env.face.terse and not self.env.face.anew and not self.over
        self._text = self._text + answer + step.observation if grows else step.observation
        if self.adviser is not None and not self.over:
            self.adviser.heard(answer, step.observation)
        last = self.env.history[-1]
        return f"{label}: reward {last.reward:.3g}"

    def result(self) -> str:
        """Return, regret and coverage."""
        history = self.env.history
        total = math.fsum(step.reward for step in history)
        regrets = [step.regret for step in history if step.regret is not None]
        more = f", regret {math.fsum(regrets):.2f}" if regrets else ""
        tried = len({step.action for step in history})
        return (
            f"{'ended' if self.over else 'left'} after {len(history)} steps with return {total:.3g}{more}; "
            f"{tried} of {len(self.env.labels)} actions tried"
        )

    def _advice(self, adviser: Adviser) -> Sequence[float]:
        """The adviser's probabilities at this step, asked for once."""
        if self._weighed is None or self._weighed[0] != len(self.env.history):
            self._weighed = len(self.env.history), adviser.probabilities(self.env)
        return self._weighed[1]

    def _board(self) -> str:
        """Tic-tac-toe as a board: cells that are free show their number."""
        from hone.envs.tasks.tictactoe import TicTacToe

        if not isinstance(self.env.task, TicTacToe) or self.over:
            return ""
        cells = [str(i) if c == "0" else ".XO"[int(c)] for i, c in enumerate(self.env.play.state)]
        return "\n".join(" ".join(cells[row : row + 3]) for row in (0, 3, 6))


def game_of(name: str, settings: dict[str, str], hints: bool, seed: int, episode: int) -> AgentGame:
    """The episode of a task that is named, with whoever advises.

    Args:
        name: of the task.
        settings: ``task.*``, ``model``, ``model.*``, ``sampling.*`` and ``agent``, as strings.
        hints: show the advice.
        seed: of luck and of what a model samples.
        episode: of the test split.

    Raises:
        HoneError: an unknown key, a model that cannot be read, or an adviser of another task.
    """
    from hone.cli._recipes import read_recipe
    from hone.core.config import build, build_named
    from hone.core.errors import HoneError, nearest
    from hone.engines.base import Sampling

    agent, model = settings.pop("agent", None), settings.pop("model", None)
    if model is not None:
        settings["model.path"] = model
    values = read_recipe(None, settings)
    for table in values:
        if table not in ("task", "sampling", "model"):
            known = ["task", "sampling", "model", "agent", "seed", "episode", "limit", "pause", "watch", "no-hints"]
            raise HoneError("unknown key", where="hone play", got=f'"{table}"', expected=nearest(table, known))
    values["task"] = {"name": name, **values.get("task", {})}
    task = build_named(values["task"], "hone.envs.tasks", "task", "[task]")
    adviser: Adviser | None
    if "model" in values:
        if agent is not None:
            raise HoneError("one adviser is enough", got=f"model {values['model']['path']} and agent {agent}")
        from hone.models.config import ModelConfig
        from hone.models.policy import load

        config: Any = build(ModelConfig, values["model"], "[model]")
        sampling = build(Sampling, values.get("sampling", {}), "[sampling]")
        adviser = Model(str(config.path), load(config), task, sampling, seed)
    else:
        known = list(BASELINES.get(name, ()))
        if agent is not None and agent not in known:
            expected = nearest(agent, known) if known else "none: give --model DIR"
            raise HoneError("nobody of that name plays this", got=f'"{agent}"', expected=expected)
        adviser = Baseline(agent or known[0]) if known else None
    return AgentGame(task, episode, seed, adviser, hints)
