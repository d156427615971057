"""A model before a bandit in words, as a subject of the diagnostics.

Dimensions: N runs, T steps, S = T + 1 points at which an action is asked for, K arms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hone.core.errors import HoneError
from hone.core.seeding import key
from hone.core.types import Trajectory
from hone.engines.base import Engine, Request, Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.acting.base import Transition
from hone.envs.acting.face import Face
from hone.envs.acting.rationale import Rationale, rationale_of
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.contextual_bandit import ContextualBandit
from hone.evaluate.choices import answer_probabilities
from hone.evaluate.playing import NOISE, luck, played_out
from hone.evaluate.subjects import Played, World, forced_rewards
from hone.models.chat import Renderer
from hone.models.policy import Policy
from hone.tabular.bandits import History
from hone.tabular.bandits.base import Floats, Ints
from hone.tabular.bandits.tallies import Bools


@dataclass(eq=False)
class ModelAgent:
    """A policy that plays a bandit as its task shows it.

    Attributes:
        policy: the model.
        task: the bandit, its face and aids.
        sampling: how answers are drawn.
        split: whose bandits are played.
        seed: of the noise of sampling; also names the luck of every playing.
    """

    policy: Policy
    task: Bandit | ContextualBandit
    sampling: Sampling
    split: str = "test"
    seed: int = 0
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = EmbeddedEngine.of(self.policy)
        self.engine.sync(0)
        self.renderer = Renderer(self.policy.tokenizer)

    @property
    def arms(self) -> int:
        """As the task's."""
        return self.task.arms

    @property
    def horizon(self) -> int:
        """As the task's."""
        return self.task.horizon

    @property
    def rounding(self) -> float:
        """Of the rationale that the face asks for."""
        return self._rationale.step

    @property
    def example(self) -> str:
        """A rationale."""
        return self._rationale.write([2.0, *[0.0] * (self.arms - 1)], [0.5] * self.arms)

    def bounds(self, text: str) -> list[float]:
        """What the text says of every arm."""
        return self._rationale.read(text)

    def bandits(self, episodes_N: Ints, samples_N: Ints) -> World:
        """The same bandits with the same luck."""
        lucks = [luck(self.seed, e, s) for e, s in zip(episodes_N.tolist(), samples_N.tolist(), strict=True)]
        return self.task.bandits(self.split, episodes_N.tolist(), lucks)

    def play(self, episodes_N: Ints, samples_N: Ints) -> Played:
        """Roll the episodes out.

        Raises:
            HoneError: as :func:`hone.evaluate.playing.played_out`.
        """
        found = played_out(
            self.engine,
            self.policy,
            self.task,
            self.sampling,
            episodes_N.tolist(),
            samples_N.tolist(),
            self.seed,
            self.split,
        )
        return self._played(found)

    def probabilities(self, episodes_N: Ints, samples_N: Ints, action_TN: Ints, wanted_SN: Bools) -> Floats:
        """Log-probabilities of the arms' names in the contexts that these actions make, normalised over the arms.

        For bandits without contexts. Where the face has thoughts, one is sampled in each context, and the arms' names
        stand where it named one.

        Raises:
            HoneError: the aids permute labels or ask twice, so these are not the contexts that a rollout makes.
        """
        if self.task.aids.shuffle or self.task.aids.correct:
            raise HoneError(
                "the probabilities of an agent are read in contexts without these aids",
                got="task.aids.shuffle" if self.task.aids.shuffle else "task.aids.correct",
                do="examine the agent with both off",
            )
        reward_TN = forced_rewards(self.bandits(episodes_N, samples_N), action_TN)
        places, contexts = [], []
        for n in range(action_TN.shape[1]):
            wanted = np.flatnonzero(wanted_SN[:, n])
            if not len(wanted):
                continue
            steps = int(wanted[-1])
            for s, context in enumerate(self._contexts(action_TN[:steps, n].tolist(), reward_TN[:steps, n].tolist())):
                if wanted_SN[s, n]:
                    places.append((s, n))
                    contexts.append(context)
        face, answers = self.task.face, answers_of(self.renderer, self.task.face, self._labels)
        if face.thoughts:
            noises = [key(self.seed, NOISE, "thought", i) for i in range(len(contexts))]
            found_R = thoughts_of(self.engine, self.renderer, face, self.sampling, contexts, noises)
            contexts = [[*context, *thought] for context, (thought, _) in zip(contexts, found_R, strict=True)]
        found = np.full((*wanted_SN.shape, self.arms), np.nan)
        if places:
            s_R, n_R = np.array(places).T
            found[s_R, n_R] = answer_probabilities(self.policy, contexts, answers, "asking for every arm")
        return found

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return self.task.face.labels(self.task.scene)

    @cached_property
    def _rationale(self) -> Rationale:
        return rationale_of(self.task.face, self.task.scene)

    def _ids(self, text: str) -> list[int]:
        return self.renderer.answer(text)[:-1]

    def _contexts(self, actions: Sequence[int], rewards: Sequence[float]) -> Iterator[list[int]]:
        """The context before every step, and after the last: what the policy would see had it named the actions."""
        face, scene, labels, legal = self.task.face, self.task.scene, self._labels, range(self.arms)
        history: list[Transition] = []
        context = self.renderer.opening(face.context(scene, labels, history, "", legal))
        yield context
        for action, reward in zip(actions, rewards, strict=True):
            history.append(Transition("", "", action, reward, None, "policy"))
            if face.anew:
                context = self.renderer.opening(face.context(scene, labels, history, "", legal))
            else:
                said = self._ids(face.write(labels[action]))
                if len(said) < self.sampling.max_tokens and self.renderer.end_id is not None:
                    said.append(self.renderer.end_id)
                ended = said[-1] == self.renderer.end_id
                following = face.following(scene, labels, history, 1, "", legal, True)
                context = [*context, *said, *self.renderer.following(following, said, ended)]
            yield context

    def _played(self, found: Sequence[Trajectory]) -> Played:
        steps, runs = self.horizon, len(found)
        action_TN = np.full((steps, runs), -1, dtype=np.int16)
        reward_TN, gap_TN = np.zeros((2, steps, runs))
        invalid_TN, own_TN = np.zeros((2, steps, runs), dtype=np.bool_)
        texts = [[""] * runs for _ in range(steps)]
        for n, trajectory in enumerate(found):
            each = 2 if self.task.aids.correct else 1  # of two answers the second counts
            answers = iter([turn.text for turn in trajectory.turns][each - 1 :: each])
            for t, step in enumerate(trajectory.info["history"]):
                action_TN[t, n], reward_TN[t, n], gap_TN[t, n] = step.action, step.reward, step.regret
                invalid_TN[t, n] = step.by == "chance"
                own_TN[t, n] = step.by != "aid"
                if own_TN[t, n]:
                    texts[t][n] = next(answers)
        history = History(action_TN, reward_TN, gap_TN, self.arms)
        return Played(history, invalid_TN, own_TN, tuple(map(tuple, texts)))


def answers_of(renderer: Renderer, face: Face, labels: Sequence[str]) -> list[list[int]]:
    """Ids by which each action is named; behind a thought the name alone.

    With the end token, if one begins with another ("1" and "10").
    """
    texts = [label if face.thoughts else face.write(label) for label in labels]
    ids = [renderer.answer(text) for text in texts]
    bare = [each[:-1] for each in ids]
    return ids if any(a is not b and b[: len(a)] == a for a in bare for b in bare) else bare


def thoughts_of(
    engine: Engine,
    renderer: Renderer,
    face: Face,
    sampling: Sampling,
    contexts: Sequence[Sequence[int]],
    noises: Sequence[int],
) -> list[tuple[list[int], str]]:
    """A thought for every context, sampled: its ids up to the name of the action, and its text."""
    pairs = zip(contexts, noises, strict=True)
    found = []
    for completion in engine.generate([Request(i, tuple(c), sampling, n) for i, (c, n) in enumerate(pairs)]):
        text = renderer.decode(completion.tokens)
        place, kept = face.place(text), 0
        if place is not None:
            while len(renderer.decode(completion.tokens[: kept + 1])) <= place:
                kept += 1
        found.append((list(completion.tokens[:kept]), text[: place or 0]))
    return found
