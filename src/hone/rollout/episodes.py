"""Environment × engine → trajectories.

Every episode is driven independently: its next request is submitted as soon as its environment has answered, so
the engine stays full across groups and turns. What was sampled is stored as ids; text exists only for environments
and people. A context that an environment cuts short (:class:`hone.envs.base.Step`) is put together from the ids that
were sampled and rendered before: nothing is encoded twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hone.core.seeding import key
from hone.core.spans import span
from hone.core.types import Completion, Failed, Outcome, Trajectory, Turn
from hone.engines.base import Engine, Request, Sampling
from hone.engines.voting import VotingEngine
from hone.envs.base import CONTROLS, Step, Task, TextEnv, failed_step
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
    said: list[tuple[int, ...]] = field(default_factory=list)  # the new tokens of every observation
    first: int = 0  # the context is said[0], then action and observation of every turn from this one
    context: list[int] = field(default_factory=list)
    observation: tuple[int, ...] = ()
    restart: bool = False
    turns: list[Turn] = field(default_factory=list)
    last: Step | None = None
    truncated: bool = False

    def since(self, first: int) -> list[int]:
        """The context whose oldest action is that of turn ``first``."""
        pairs = zip(self.turns[first:], self.said[first + 1 :], strict=True)
        return [*self.said[0], *(token for turn, said in pairs for token in (*turn.action.tokens, *said))]


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
    max_turns: int | None = None,
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
        max_turns: an episode of this many turns is truncated; by default the task's own ``max_turns``, or 64.
        max_length: context positions; what becomes of an episode whose context leaves no room for an action, its
            environment says (:class:`hone.envs.base.Step`).
        recorded: outcomes to use instead of what the environment answers (resuming); environments are told them.

    Returns:
        One trajectory per start. An environment that raises gives a :class:`Failed` outcome, never an exception
        (law 9).
    """
    limit = max_turns or int(getattr(task, "max_turns", 64))
    if (votes := getattr(task, "votes", 1)) > 1:
        engine = VotingEngine(engine, votes, lambda done: task.ballot(renderer.decode(done.tokens)))  # type: ignore[attr-defined]
    player = _Player(engine, task, renderer, sampling, noise, split, limit, max_length, recorded or {})
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
        self.outcomes: dict[tuple[int, int], dict[int, Outcome]] = {}
        for (group, sample, turn), outcome in recorded.items():
            self.outcomes.setdefault((group, sample), {})[turn] = outcome
        self.opening: dict[str, tuple[int, ...]] = {}

    def play(self, starts: Sequence[Start]) -> list[Trajectory]:
        with span("environment"):
            running = [_Running(start, self.task.env(self.split)) for start in starts]
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
        start = episode.start
        options: dict[str, Any] = {"episode": start.episode}
        if known := self.outcomes.get((start.group, start.sample)):
            options["outcomes"] = known
        try:
            seed = key(*self.noise, "env", start.group, start.sample) % 2**31
            text, info = episode.env.reset(seed=seed, options=options)
            messages = info.get("messages")
            episode.prompt = text
            cached = self.opening.get(text) if messages is None else None
            episode.observation = cached or tuple(self.renderer.opening(text, messages))
            if messages is None:
                self.opening[text] = episode.observation
        except Exception as error:
            return self._fail(episode, f"reset raised {type(error).__name__}: {error}")
        episode.said, episode.context = [episode.observation], list(episode.observation)
        if self._full(episode.context):
            return self._fail(episode, self._too_long(episode, "the prompt"), "context")
        return True

    def _full(self, context: Sequence[int], room: int = 1) -> bool:
        return self.max_length is not None and len(context) + room > self.max_length

    def _too_long(self, episode: _Running, what: str) -> str:
        return f"{what} has {len(episode.context)} tokens, the context only {self.max_length}"

    def _fail(self, episode: _Running, reason: str, kind: Literal["exception", "context"] = "exception") -> bool:
        # Tokens that fit no context stay out of the batch: no model could score such a row.
        nothing, seen = Completion((), (), "length"), () if kind == "context" else episode.observation
        episode.turns.append(Turn(seen, nothing, "", Failed(reason, kind)))
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
            learn = step.info.get("learn", True)
            episode.turns.append(Turn(episode.observation, completion, text, outcome, episode.restart, learn))
            episode.last = step
            if step.terminated or step.truncated or isinstance(outcome, Failed):
                continue
            if self._follow(episode, completion, step):
                going.append(i)
        self._submit(going, running)

    def _follow(self, episode: _Running, completion: Completion, step: Step) -> bool:
        """Make the next context; False if a limit ends the episode."""
        ended = completion.stop == "end"
        messages = step.info.get("messages")
        turns, overflow = len(episode.turns), step.info.get("overflow", "truncate")
        if anew := step.info.get("anew", False):
            episode.said[0], first = tuple(self.renderer.opening(step.observation, messages)), turns
            episode.said.append(())
        else:
            episode.said.append(tuple(self.renderer.following(step.observation, completion.tokens, ended, messages)))
            first = max(turns - step.info["keep"], 0) if "keep" in step.info else episode.first
        goes_on = first == episode.first and not anew
        new = [*completion.tokens, *episode.said[-1]]
        context = [*episode.context, *new] if goes_on else episode.since(first)
        while overflow == "shorten" and first < turns and self._full(context, self.sampling.max_tokens):
            first += 1
            context = episode.since(first)
        episode.restart = anew or first != episode.first
        episode.observation = tuple(context) if episode.restart else episode.said[-1]
        episode.first, episode.context = first, context
        if self._full(context) and overflow != "truncate":
            what = f"the context of turn {turns + 1} on episode {episode.start.episode} ({episode.prompt[:80]!r})"
            return self._fail(episode, self._too_long(episode, what), "context")
        episode.truncated = turns >= self.max_turns or self._full(context)
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
        info: dict[str, Any] = {k: v for k, v in last.info.items() if k not in CONTROLS} if last else {}
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
