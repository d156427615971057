"""The text face of any environment with numbered actions, as a Gymnasium environment of strings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.error import ResetNeeded

from hone.core.errors import HoneError
from hone.core.seeding import key
from hone.core.types import Scored
from hone.envs.acting.base import By, Play, Transition
from hone.envs.acting.face import CHECK
from hone.envs.base import Step, TextSpace

if TYPE_CHECKING:
    from hone.envs.acting.task import ActingTask

_NO_CRITERIA: dict[str, float] = {}


class ActingEnv(gymnasium.Env[str, str]):
    """An agent reads, answers, and its answer is an action.

    The reward of a turn is the environment's, normalised as the task says, plus the task's penalty where the answer
    named no legal action (a random one was taken then), plus the bonus for an action that is new. What an aid did
    between two answers counts into the reward of the first: it came after it.

    ``info["history"]`` holds every :class:`~hone.envs.acting.base.Transition` so far. At the end ``info["metrics"]``
    has ``return`` (as the environment gives it), ``invalid`` (share of answers that named no legal action),
    ``coverage`` (share of all actions that were taken at least once) and, where it is known, ``regret``.

    Args:
        task: what is played and how it is shown.
        split: the split whose episodes are played.

    Attributes:
        episode: its index in the split.
        play: the episode that is played, below its face.
        history: the steps so far.
        labels: what each action is called at present.
    """

    def __init__(self, task: ActingTask, split: str) -> None:
        self.observation_space = TextSpace()
        self.action_space = TextSpace()
        self.task, self.split = task, split
        self.face, self.aids, self.scene = task.face, task.aids, task.scene
        self._names = self.face.labels(self.scene)
        self._anew = self.face.anew or self.aids.shuffle
        self._compact, self._helped = self.face.terse, self.aids.try_all or self.aids.epsilon > 0
        self._shift, self._unit = task.scale
        self._short = task.plain
        self._open: Play | None = None

    @property
    def play(self) -> Play:
        """The episode that is played, below its face."""
        if self._open is None:
            raise ResetNeeded("reset the environment before the first action of every episode")
        return self._open

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin episode ``options["episode"]``, or a random one; the seed names its luck."""
        episode = (options or {}).get("episode")
        count = self.task.size(self.split)
        if episode is None:
            super().reset(seed=seed)
            episode = int(self.np_random.integers(count))
        if not 0 <= episode < count:
            raise HoneError("there is no such episode", got=str(episode), expected=f"0 to {count - 1}")
        self.episode, sample = episode, seed or 0
        self._key = (self.task.seed, "acting", self.split, episode, sample)
        self._begin(sample)
        while self._over:  # aids ended it: the same steps again, but the last is the agent's
            self._begin(sample, len(self.history) - 1)
        self._info: dict[str, Any] = {"history": self.history, "overflow": "fail"}
        if self._anew:
            self._info["anew"] = True
        self._checking = False
        self._label()
        return self._context(), {"episode": episode, "history": self.history}

    def _begin(self, sample: int, most: int | None = None) -> None:
        """Open the episode and let the aids act, at most so often, before the agent is asked."""
        self._open = self.task.begin(self.split, self.episode, sample)
        self.history: list[Transition] = []
        self._over = self._cut = False
        self._help(most)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Read the answer and act."""
        step = self.answer(action)
        reward = step.outcome.value if isinstance(step.outcome, Scored) else float("nan")
        return step.observation, reward, step.terminated, step.truncated, {**step.info, "outcome": step.outcome}

    def answer(self, text: str) -> Step:
        """:meth:`step` without Gymnasium's tuple."""
        play, labels, history = self._open or self.play, self.labels, self.history
        if self.aids.correct:
            self._checking = not self._checking
            if self._checking:
                return Step(f"\n{CHECK}\n", Scored(0.0), False, False, {**self._info, "anew": False, "learn": False})
        chosen = self._short.get(text)
        if chosen is None:
            chosen = self.face.read(text, labels)
        if chosen is not None and chosen in play.legal:
            action, named, value = chosen, True, 0.0
        else:
            action, named, value = self._random("invalid"), False, self.task.invalid
        if self.aids.bonus and all(t.action != action for t in history):
            value += self.aids.bonus
        before = len(history)
        value += self._act(play, action, "policy" if named else "chance")
        if self._helped and not self._over:
            value += self._help()
        outcome = Scored(value, _NO_CRITERIA, labels[action])
        if self._over:
            self._open = None
            info = {**self._info, "metrics": self._metrics()}
            return Step(f"Reward={history[-1].reward:.2f}", outcome, not self._cut, self._cut, info)
        if self._anew:
            self._label()
            return Step(self._context(), outcome, False, False, self._info)
        state = play.compact if self._compact else play.state
        said = self.face.following(self.scene, labels, history, len(history) - before, state, play.legal, named)
        return Step(said, outcome, False, False, self._info)

    def _act(self, play: Play, action: int, by: By) -> float:
        """Take an action, whoever chose it; the normalised reward."""
        state, compact = play.state, play.compact
        reward, terminated, self._cut, regret = play.act(action)
        self.history.append(Transition(state, compact, action, reward, regret, by))
        self._over = terminated or self._cut
        return (reward - self._shift) / self._unit

    def _help(self, most: int | None = None) -> float:
        """Let the aids act until it is the agent's turn; the normalised reward of what they did."""
        play, total = self.play, 0.0
        while self.aids.try_all and len(self.history) < len(self._names) and not self._over:
            total += self._act(play, len(self.history), "aid")
        while self.aids.epsilon and not self._over and self._uniform("explore") < self.aids.epsilon:
            if len(self.history) == most:
                break
            total += self._act(play, self._random("epsilon"), "aid")
        return total

    def _uniform(self, name: str) -> float:
        """The number of this name and step."""
        return key(*self._key, name, len(self.history)) * 2.0**-64

    def _random(self, name: str) -> int:
        """A legal action."""
        legal = self.play.legal
        return int(legal[int(self._uniform(name) * len(legal))])

    def _label(self) -> None:
        """Name the actions, in an order of this step's own if labels are shuffled."""
        self.labels = self._names
        if self.aids.shuffle:
            order = sorted(range(len(self._names)), key=lambda a: key(*self._key, "label", len(self.history), a))
            self.labels = tuple(self._names[place] for place in order)

    def _context(self) -> str:
        if self._over:
            return ""
        state = self.play.compact if self._compact else self.play.state
        return self.face.context(self.scene, self.labels, self.history, state, self.play.legal)

    def _metrics(self) -> dict[str, float]:
        own = [t.by == "chance" for t in self.history if t.by != "aid"]
        found = {
            "return": sum(t.reward for t in self.history),
            "invalid": sum(own) / len(own),
            "coverage": len({t.action for t in self.history}) / len(self._names),
        }
        regrets = [t.regret for t in self.history if t.regret is not None]
        return found | ({"regret": sum(regrets)} if regrets else {})
