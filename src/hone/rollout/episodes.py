"""Environment × engine → trajectories.

Every episode is driven independently: its next request is submitted as soon as its environment has answered, so
the engine stays full across groups and turns. What was sampled is stored as ids; text exists only for environments
and people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hone.core.seeding import key
from hone.core.spans import span
from hone.core.types import Completion, Failed, Outcome, Trajectory, Turn
from hone.engines.base import Engine, Request, Sampling
from hone.envs.base import Step, Task, TextEnv, failed_step
from hone.models.chat import Renderer


@dataclass(frozen=True, slots=True)
class Start:
    """One episode to roll out.

    Attributes:
        episode: which content of the split.
        group: rollouts that share it are compared with each other.
        sample: which rollout of the group.
    """

    episode: int
    group: int
    sample: int


@dataclass(slots=True)
class _Running:
    start: Start
    env: TextEnv
    prompt: str = ""
    context: list[int] = field(default_factory=list)
    observation: tuple[int, ...] = ()
    turns: list[Turn] = field(default_factory=list)
    last: Step | None = None
    truncated: bool = False


Recorded = Mapping[tuple[int, int, int], Outcome]
"""Outcomes journalled before a crash, by (group, sample, turn): they stand in for graders that read a clock."""


def rollout(
    engine: Engine,
    task: Task,
    renderer: Renderer,
    starts: Sequence[Start],
    sampling: Sampling,
    *,
    noise: tuple[int | str, ...],
    split: str = "train",
    max_turns: int = 64,
    max_length: int | None = None,
    recorded: Recorded | None = None,
) -> list[Trajectory]:
    """Play every episode to its end.

    Args:
        engine: samples completions.
        task: makes and steps environments.
        renderer: text to ids and back.
        starts: the episodes, in the order of the result.
        sampling: how completions are drawn.
        noise: prefix of every noise key, ``(run seed, step)``; the rest is (group, sample, turn) (law 12).
        split: which split the episodes come from.
        max_turns: an episode of this many turns is truncated.
        max_length: context positions; a context that leaves no room for an action is truncated.
        recorded: outcomes to use instead of what the environment answers (resuming).

    Returns:
        One trajectory per start. An environment that raises gives a :class:`Failed` outcome, never an exception
        (law 9).
    """
    player = _Player(engine, task, renderer, sampling, noise, split, max_turns, max_length, recorded or {})
    return player.play(starts)


class _Player:
    def __init__(
        self,
        engine: Engine,
        task: Task,
        renderer: Renderer,
        sampling: Sampling,
        noise: tuple[int | str, ...],
        split: str,
        max_turns: int,
        max_length: int | None,
        recorded: Recorded,
    ) -> None:
        self.engine, self.task, self.renderer, self.sampling = engine, task, renderer, sampling
        self.noise, self.split, self.max_turns = noise, split, max_turns
        self.max_length, self.recorded = max_length, recorded
        self.opening: dict[str, tuple[int, ...]] = {}

    def play(self, starts: Sequence[Start]) -> list[Trajectory]:
        running = [_Running(start, self.task.env(self.split)) for start in starts]
        with span("environment"):
            opened = [i for i, episode in enumerate(running) if self._open(episode)]
        self._submit(opened, running)
        held: list[tuple[int, Completion, str]] = []
        while finished := self.engine.collect():
            acted = [(int(str(i)), done, self.renderer.decode(done.tokens)) for i, done in finished]
            if self.task.single_turn:
                held += acted
            else:
                self._act(acted, running)
        if held:
            self._act(sorted(held, key=lambda entry: entry[0]), running)
        return [self._trajectory(episode) for episode in running]

    def _open(self, episode: _Running) -> bool:
        """Reset the environment and render its first observation; False if the episode is over already."""
        try:
            text, info = episode.env.reset(
                seed=key(*self.noise, "env", episode.start.group, episode.start.sample) % 2**31,
                options={"episode": episode.start.episode},
            )
            messages = info.get("messages")
            episode.prompt = text
            cached = self.opening.get(text) if messages is None else None
            episode.observation = cached or tuple(self.renderer.opening(text, messages))
            if messages is None:
                self.opening[text] = episode.observation
        except Exception as error:
            return self._fail(episode, f"reset raised {type(error).__name__}: {error}")
        episode.context = list(episode.observation)
        if self._full(episode):
            # Its tokens stay out of the batch: no model could score a row longer than its context.
            episode.observation = ()
            return self._fail(
                episode, f"the prompt has {len(episode.context)} tokens, the context only {self.max_length}"
            )
        return True

    def _full(self, episode: _Running) -> bool:
        return self.max_length is not None and len(episode.context) >= self.max_length

    def _fail(self, episode: _Running, reason: str) -> bool:
        nothing = Completion((), (), "length")
        episode.turns.append(Turn(episode.observation, nothing, "", Failed(reason, "exception")))
        return False

    def _submit(self, indices: Sequence[int], running: Sequence[_Running]) -> None:
        requests, more = [], not self.task.single_turn
        for i in indices:
            start, turn = running[i].start, len(running[i].turns)
            noise = key(*self.noise, start.group, start.sample, turn)
            requests.append(Request(i, tuple(running[i].context), self.sampling, noise, more))
        self.engine.submit(requests)

    def _act(self, acted: Sequence[tuple[int, Completion, str]], running: Sequence[_Running]) -> None:
        with span("environment"):
            steps = self._step([running[i].env for i, _, _ in acted], [text for _, _, text in acted])
        going = []
        for (i, completion, text), step in zip(acted, steps, strict=True):
            episode = running[i]
            at = (episode.start.group, episode.start.sample, len(episode.turns))
            outcome = self.recorded.get(at, step.outcome)
            episode.turns.append(Turn(episode.observation, completion, text, outcome))
            episode.last = step
            if step.terminated or step.truncated or isinstance(outcome, Failed):
                continue
            if self._follow(episode, completion, step):
                going.append(i)
        self._submit(going, running)

    def _follow(self, episode: _Running, completion: Completion, step: Step) -> bool:
        """Append the action and the next observation to the context; False if a limit ends the episode."""
        ended = completion.stop == "end"
        episode.observation = tuple(self.renderer.following(step.observation, completion.tokens, ended))
        episode.context += [*completion.tokens, *episode.observation]
        episode.truncated = len(episode.turns) >= self.max_turns or self._full(episode)
        return not episode.truncated

    def _step(self, envs: Sequence[TextEnv], actions: Sequence[str]) -> list[Step]:
        """Step all environments at once; if that raises, all fail: nobody knows which of them have moved already."""
        try:
            return self.task.step_many(envs, actions)
        except Exception as error:
            return [failed_step(error) for _ in envs]

    @staticmethod
    def _trajectory(episode: _Running) -> Trajectory:
        last = episode.last
        info: dict[str, Any] = dict(last.info) if last else {}
        metrics = info.pop("metrics", {})
        return Trajectory(
            episode=episode.start.episode,
            group=episode.start.group,
            sample=episode.start.sample,
            turns=tuple(episode.turns),
            terminated=bool(last and last.terminated),
            truncated=episode.truncated or bool(last and last.truncated),
            prompt=episode.prompt,
            final_observation=last.observation if last else "",
            metrics=metrics,
            info=info,
        )
