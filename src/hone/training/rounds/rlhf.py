"""Iterated online RLHF: answers of the current policies are compared, the reward model refitted, the policy trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from hone.core.config import named
from hone.core.errors import HoneError
from hone.core.extras import require_extra
from hone.core.files import write_json, write_json_lines
from hone.core.seeding import permutation_index
from hone.envs.graders.reward_model import RewardModel
from hone.envs.graders.rubric import Rubric
from hone.models.config import ModelConfig, ValueConfig
from hone.models.reading import adapter_base, locate, read_tokenizer
from hone.training.build import recipe_from, reward_recipe_from
from hone.training.inner import Inner, replaced
from hone.training.recipe import Recipe
from hone.training.reward import RewardRecipe
from hone.training.rounds import _comparing as comparing
from hone.training.rounds.base import Measures, Round, Rounds, RoundsRecipe, Stage
from hone.training.run import Run
from hone.training.stages import online_stage, reward_stage

REWARD = Inner(
    RewardRecipe,
    reward_recipe_from,
    owned={
        "data.source": "-",
        "normalise.policy": "-",
        "normalise.max_tokens": 256,
        "run.out": "-",
        "run.seed": 0,
    },
    defaults={"model.path": ""},
)
ONLINE = Inner(
    Recipe,
    recipe_from,
    owned={
        "model": {"path": "-"},
        "task": {"name": "addition"},
        "reference": "-",
        "run.out": "-",
        "run.seed": 0,
    },
    defaults={"algorithm.name": "ppo"},
)


@dataclass(frozen=True)
class RLHF(Rounds):
    """Iterated online RLHF (Bai et al., arXiv 2204.05862, section 4.5).

    A round: the current policy and a few of its snapshots answer training prompts; a judge or people compare the
    answers; a reward model is fitted to the comparisons of all rounds; the policy is trained online against it, its KL
    measured to the model before the first round. The reward model starts anew in each round; the policy goes on from
    the last round's, or starts anew too (``start = "first"``).

    Attributes:
        prompts: training prompts that are asked in a round, other ones in each as long as there are any.
        answers: to each of them by the current policy.
        snapshots: so many of the policies of the rounds before, the latest ones, give one answer each.
        pairs: comparisons of one prompt at most; pairs of different policies come first.
        judge: who compares, for example ``noisy_judge`` for reviews, or ``package.module:Name`` of anything with
            ``prefers_first(prompt, first, second, turn)``; none asks people: the round waits for ``hone ui``.
        arena: test prompts that the policies of all rounds so far answer after each round, to be compared with each
            other; 0 rates them by the comparisons of the training prompts alone.
        floor: the reward of an empty answer.
        reward_clip: rewards are cut to ±this; 0 leaves them.
        graders: further criteria beside the reward model, as ``task.graders``, which the reward model replaces.
        critic_from_reward: values come from a model of their own that starts as the round's reward model.
        db: the feedback database that all labels go to, a file or a URL; "" is ``feedback.db`` in the run directory.
        reward: how the reward model is fitted. It starts from ``[reward.model]``, or else from ``[model]``.
        online: how the policy is trained against it.
    """

    prompts: int = 256
    answers: int = 2
    snapshots: int = 1
    pairs: int = 3
    judge: Any = field(default=None, metadata=named("hone.envs.judges", "judge"))
    arena: int = 64
    floor: float = -5.0
    reward_clip: float = 0.0
    graders: tuple[Any, ...] = ()
    critic_from_reward: bool = False
    db: str = ""
    reward: Any = field(default_factory=lambda: REWARD.read({}, "[reward]"))
    online: Any = field(default_factory=lambda: ONLINE.read({}, "[online]"))

    inner: ClassVar = {"reward": REWARD, "online": ONLINE}
    result: ClassVar = "policy"

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing."""
        super().__post_init__()
        if min(self.prompts, self.pairs) < 1 or self.answers < 2:
            raise ValueError("rounds.prompts and pairs must be at least 1, answers at least 2: nothing else compares")
        if min(self.snapshots, self.arena, self.reward_clip) < 0:
            raise ValueError("rounds.snapshots, arena and reward_clip must not be negative")
        object.__setattr__(self, "graders", _rubric(self.graders))

    def check(self, recipe: RoundsRecipe) -> None:
        """Find out before the first round what would fail in it.

        Raises:
            HoneError: a task of several turns or without graders; a judge that cannot compare; a reward model that is
                not there, does not learn from comparisons or cannot be the critic; anything that the first round's
                policy training refuses.
        """
        require_extra("sqlalchemy")
        kind = type(recipe.task).__name__
        if not recipe.task.single_turn:
            raise HoneError("RLHF compares single answers, and this task has several turns", where="task", got=kind)
        usual: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(recipe.task)}
        if "graders" not in usual:
            raise HoneError(
                "this task takes no graders, so no reward model can judge it",
                where="task.name",
                got=kind,
                expected="reviews, or questions with your prompts",
            )
        if recipe.task.graders and recipe.task.graders != _rubric(usual["graders"]):
            raise HoneError(
                "the reward model replaces the task's graders, so this has no effect",
                where="task.graders",
                do="write criteria to be added to it as rounds.graders",
            )
        if self.judge is not None and not callable(getattr(self.judge, "prefers_first", None)):
            raise HoneError(
                "this is no judge",
                where="rounds.judge",
                got=type(self.judge).__name__,
                expected="a method prefers_first(prompt, first, second, turn)",
            )
        if getattr(self.reward.algorithm, "labels", "pairs") != "pairs":
            raise HoneError(
                f"{type(self.reward.algorithm).__name__} learns from other labels than comparisons",
                where="reward.algorithm.name",
                expected="preference",
            )
        if self.critic_from_reward and recipe.model.value != ValueConfig():
            raise HoneError(
                "rounds.critic_from_reward says where values come from", where="model.value", do="leave it out"
            )
        own = _vocabulary(recipe.model)
        if self.reward.model.path and _vocabulary(self.reward.model) != own and self.critic_from_reward:
            raise HoneError(
                "the reward model has another tokenizer than the policy, so it cannot read the policy's states",
                where="rounds.critic_from_reward",
                got=self.reward.model.path,
                expected="a reward model trained from this policy's family",
                do="leave it out; as a judge a reward model reads text and may have any tokenizer",
            )
        self._online(Round(recipe, 1), Path("-")).check()

    def stages(self, at: Round) -> Sequence[Stage]:
        """Answer, compare, fit the reward model, train the policy; then perhaps the arena."""
        found = [
            Stage("answers", lambda out: self._write(at, out, "train", self.prompts)),
            Stage("comparisons", lambda out: self._compare(at, out, "answers")),
            Stage("reward", lambda out: self._fit(at, out)),
            Stage("policy", lambda out: self._train(at, out)),
        ]
        if self.arena:
            found.append(Stage("arena-answers", lambda out: self._write(at, out, "test", self.arena)))
            found.append(Stage("arena", lambda out: self._compare(at, out, "arena-answers")))
        return found

    def conclude(self, at: Round) -> str:
        """Rate the policies of all rounds on one Bradley-Terry scale: ``evals/arena.json``."""
        found = comparing.rate(at, ("comparisons", "arena") if self.arena else ("comparisons",))
        if not found:
            return ""
        write_json(at.out / "evals" / "arena.json", found)
        return str(found["headline"])

    def _write(self, at: Round, out: Path, split: str, count: int) -> Measures:
        task, size = at.recipe.task, at.recipe.task.size(split)
        first, count = (at.number - 1) * min(count, size), min(count, size)
        episodes = [permutation_index(at.recipe.run.seed, first + i, size, f"rlhf {split}") for i in range(count)]
        players = comparing.players(at, split, self.answers, self.snapshots)
        rows = comparing.write_answers(out, task, split, episodes, players, self.online.sampling, at.seed(split))
        comparing.write_groups(out / comparing.ANSWERS, comparing.groups_of(rows, at.name))
        return comparing.describe(rows, players[0].name)

    def _compare(self, at: Round, out: Path, source: str) -> Measures:
        asking = comparing.Asking(self.judge, self.pairs, self.db or str(at.out / "feedback.db"), at.number)
        said = asking.compare(out, at.folder / source, comparing.groups_of(at.collected(source), at.name))
        return {"labels": float(len(said))}

    def _fit(self, at: Round, out: Path) -> Measures:
        data = out / "data.jsonl"
        write_json_lines(data, at.rows("comparisons"))
        first = at.recipe.model
        settings = {
            "model": self.reward.model if self.reward.model.path else dataclasses.replace(first, value=ValueConfig()),
            "data.source": str(data),
            "run.out": str(out),
            "run.seed": at.seed("reward"),
        }
        if self.reward.normalise.answers:
            settings["normalise.policy"] = first.path
            settings["normalise.max_tokens"] = self.online.sampling.max_tokens
        run = reward_stage(replaced(self.reward, settings))
        return {"loss": run.metrics[-1]["loss"], **_held_out(run)}

    def _train(self, at: Round, out: Path) -> Measures:
        run = online_stage(self._online(at, out))
        names = ("reward", "kl_ref", "entropy", "length", "truncation_rate")
        rows = run.metrics
        return {name: found[-1] for name in names if (found := [row[name] for row in rows if name in row])}

    def _online(self, at: Round, out: Path) -> Recipe:
        judge = RewardModel(str(at.folder / "reward" / "model"), floor=self.floor, clip=self.reward_clip)
        model = at.start
        if self.critic_from_reward:
            model = dataclasses.replace(model, value=ValueConfig("separate", judge.path))
        task = dataclasses.replace(at.recipe.task, graders=(judge, *self.graders))
        made: Recipe = replaced(
            self.online,
            {
                "model": model,
                "task": task,
                "reference": at.recipe.model.path
                if self.online.needs_reference and at.start != at.recipe.model
                else "",
                "run.out": str(out),
                "run.seed": at.seed("policy"),
            },
        )
        return made


def _vocabulary(model: ModelConfig) -> dict[str, int]:
    """The tokens of a model that is to be loaded, without loading it."""
    path = str(locate(model.path) or model.path)
    base = adapter_base(path)
    if base is not None and not (Path(path) / "tokenizer.json").is_file():
        path = base
    found = read_tokenizer(path, trust_remote_code=model.trust_remote_code, revision=model.revision).get_vocab()
    return dict(found)


def _rubric(graders: tuple[Any, ...]) -> tuple[Any, ...]:
    return Rubric(graders).graders if graders else ()


def _held_out(run: Run) -> dict[str, float]:
    """Accuracy on held-out comparisons, where there are some."""
    import json

    path = run.path / "evals" / "held-out.json"
    return {"accuracy": float(json.loads(path.read_text())["accuracy"]["value"])} if path.exists() else {}
