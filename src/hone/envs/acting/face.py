"""What an agent is shown and how its answer is read.

A context is [instruction; what to answer; what was tried so far; the state]. Where everything since the beginning is
shown as it came, a context goes on from the last one, and only what is new is written. Otherwise (a window of steps,
a summary, labels that change) it is written anew at every step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hone.core.errors import HoneError
from hone.envs.acting.base import Scene, Transition

Style = Literal["raw", "summary", "guided", "compact", "counts"]
SYMBOLS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Of the actions, in the compact form."""
SUMMARIES = ("summary", "guided", "counts")
"""Styles that show what was seen of every action instead of the steps."""
QUESTION = "What do you predict next?"
CHECK = "Check your action: does it explore enough, and is it the best? Then answer again."


@dataclass(frozen=True)
class Face:
    """How an agent sees an environment (RLFT, arXiv 2504.16078; the styles are BanditBench's).

    Attributes:
        style: what was tried so far: "raw": a line per step; "summary": count and mean reward of every action;
            "guided": these, and each action's exploitation value and exploration bonus (bandits only); "compact": a
            letter per action and a digit per reward, for tiny models; "counts": the summary for tiny models, a letter,
            two digits for the count and two for the mean of every action.
        window: show only the last so many steps, in a context that is written anew at every step and holds nothing
            else of earlier answers; 0: the context is the whole episode as it came.
        thoughts: ask for a step-by-step thought before the action (``sampling.max_tokens`` is its budget), or for the
            action alone.
        legal: list the legal actions at every step.
        pattern: how an action is read: a regular expression with one group, of which the last match counts; none is
            ``ACTION=X``, in the compact form any letter or digit.
    """

    style: Style = "raw"
    window: int = 0
    thoughts: bool = False
    legal: bool = False
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.window < 0:
            raise ValueError(f"face.window is {self.window}; it is a number of steps, or 0 for all")
        if self.window and self.style in SUMMARIES:
            raise ValueError(f"face.window has no effect on a {self.style}: it counts every step")
        if self.thoughts and self.style == "compact":
            raise ValueError("face.thoughts: the compact form has no room for thoughts")
        try:
            groups = re.compile(self.pattern or "()").groups
        except re.error as error:
            raise ValueError(f'face.pattern "{self.pattern}" is no regular expression: {error}') from error
        if groups != 1:
            raise ValueError(f'face.pattern "{self.pattern}" must have one group, the action; it has {groups}')

    @property
    def anew(self) -> bool:
        """The context is written anew at every step."""
        return self.window > 0 or self.style in SUMMARIES

    @property
    def terse(self) -> bool:
        """Letters and digits instead of sentences."""
        return self.style in ("compact", "counts")

    @cached_property
    def _reader(self) -> re.Pattern[str]:
        default = r"(\w)" if self.terse else r"(?i:ACTION)\s*=\s*[\"'`*]*([\w-]+)"
        return re.compile(self.pattern or default)

    def labels(self, scene: Scene) -> tuple[str, ...]:
        """What the actions are called: the scene's names, or single letters.

        Raises:
            HoneError: more actions than letters.
        """
        if not self.terse:
            return scene.names
        if len(scene.names) > len(SYMBOLS):
            raise HoneError(
                "there are more actions than letters",
                where="face.style",
                got=f"{len(scene.names)} actions",
                expected=f"at most {len(SYMBOLS)} in the compact form",
            )
        return tuple(SYMBOLS[: len(scene.names)])

    def read(self, text: str, labels: Sequence[str]) -> int | None:
        """The place among ``labels`` of the action that an answer names last; None where it names none."""
        found = self._reader.findall(text)
        if not found:
            return None
        named = found[-1]
        if named in labels:
            return labels.index(named)
        if self.terse:
            return None
        folded = named.casefold()
        return next((i for i, label in enumerate(labels) if label.casefold() == folded), None)

    def write(self, label: str) -> str:
        """The shortest answer that names an action."""
        return label if self.terse else f"ACTION={label}"

    def place(self, text: str) -> int | None:
        """Where in an answer the action's name stands that :meth:`read` reads; None where there is none."""
        found = list(self._reader.finditer(text))
        return found[-1].start(1) if found else None

    def context(
        self, scene: Scene, labels: Sequence[str], history: Sequence[Transition], state: str, legal: Sequence[int]
    ) -> str:
        """A whole context: instruction, what was tried so far, the present state.

        Args:
            scene: the task's words.
            labels: what the actions are called now.
            history: the steps so far.
            state: the present one; compact in the compact form.
            legal: actions to list, if any are to be.
        """
        shown = history[-self.window :] if self.window else history
        if self.style == "compact":
            steps = "".join(t.compact + labels[t.action] + scene.digit(t.reward) for t in shown)
            return scene.tag + steps + self._now(labels, len(history), state, legal)
        if self.style == "counts":
            return scene.tag + self._counts(scene, labels, history) + self._now(labels, len(history), state, legal)
        parts = [scene.instruction, self._output(labels)]
        if history:
            tried = self._lines(labels, shown, len(history) - len(shown)) if self.style == "raw" else ""
            parts.append("So far you have tried/seen:\n" + (tried or self._summary(scene, labels, history)))
        return "\n\n".join([*parts, self._now(labels, len(history), state, legal)])

    def following(
        self,
        scene: Scene,
        labels: Sequence[str],
        history: Sequence[Transition],
        new: int,
        state: str,
        legal: Sequence[int],
        named: bool,
    ) -> str:
        """What goes on from the last context: the steps since then and the present state.

        Args:
            scene: the task's words.
            labels: what the actions are called.
            history: the steps so far.
            new: how many of them are new.
            state, legal: as for :meth:`context`.
            named: the first new action stands in the context already, as the policy wrote it.
        """
        if self.style == "compact":
            if new == 1 and named and not self.legal:
                return scene.digit(history[-1].reward) + state
            fresh = history[-new:]
            first = ("" if named else labels[fresh[0].action]) + scene.digit(fresh[0].reward)
            rest = "".join(t.compact + labels[t.action] + scene.digit(t.reward) for t in fresh[1:])
            return first + rest + self._now(labels, len(history), state, legal)
        lines = self._lines(labels, history[-new:], len(history) - new)
        return f"\n{lines}\n\n{self._now(labels, len(history), state, legal)}"

    def _output(self, labels: Sequence[str]) -> str:
        choices = ", ".join(labels)
        if self.thoughts:
            return (
                "Think step by step and keep it short. Then finish with ACTION=X, "
                f"where X is exactly one of: {choices}."
            )
        return f"Answer with ACTION=X and nothing else, where X is exactly one of: {choices}."

    def _lines(self, labels: Sequence[str], steps: Sequence[Transition], before: int) -> str:
        return "\n".join(
            f"Step={before + i} {f'State={t.state} ' if t.state else ''}Action={labels[t.action]} Reward={t.reward:.2f}"
            for i, t in enumerate(steps, 1)
        )

    def _summary(self, scene: Scene, labels: Sequence[str], history: Sequence[Transition]) -> str:
        count, total = sums(history, len(labels))
        lines = []
        for a, label in sorted(enumerate(labels), key=lambda pair: labels.index(pair[1])):
            if not count[a]:
                lines.append(f"{label}: not tried yet")
                continue
            mean = total[a] / count[a]
            line = f"{label}: tried {count[a]} time{'s' if count[a] > 1 else ''}, average reward {mean:.2f}"
            if self.style == "guided":
                line += f", exploitation value {mean:.2f}, exploration bonus {ucb_bonus(count[a], len(history)):.2f}"
            lines.append(line)
        return "\n".join(lines)

    def _counts(self, scene: Scene, labels: Sequence[str], history: Sequence[Transition]) -> str:
        count, total = sums(history, len(labels))
        return "".join(
            f"{label}{min(n, 99):02}{scene.hundredths(sum_ / n):02}" if n else f"{label}?"
            for label, n, sum_ in zip(labels, count, total, strict=True)
        )

    def _now(self, labels: Sequence[str], taken: int, state: str, legal: Sequence[int]) -> str:
        if self.terse:
            return state + (f"/{''.join(labels[a] for a in legal)}>" if self.legal else "")
        lines = [f"Step={taken + 1} State={state}"] if state else []
        if self.legal:
            lines.append(f"Legal actions: {', '.join(labels[a] for a in legal)}")
        return "\n".join([*lines, QUESTION, ""])


def sums(history: Sequence[Transition], actions: int) -> tuple[list[int], list[float]]:
    """How often every action was taken, and the sum of its rewards."""
    count, total = [0] * actions, [0.0] * actions
    for t in history:
        count[t.action] += 1
        total[t.action] += t.reward
    return count, total


def ucb_bonus(count: int, steps: int, alpha: float = 0.5) -> float:
    """BanditBench's exploration bonus ``√(α ln Σn / n_a)`` of an action tried ``count`` times in ``steps``."""
    return math.sqrt(alpha * math.log(steps) / count) if steps > 1 else 0.0
