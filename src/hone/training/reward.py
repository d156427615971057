"""Reward models: from what people said to a model that predicts it. The fit stage with another algorithm."""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hone.algorithms.preference import Preference
from hone.core.config import plain
from hone.core.errors import HoneError
from hone.core.feedback import Comparison, Label, Ranking, Rating, Text, comparisons_of
from hone.core.files import write_json
from hone.core.seeding import key, permutation_index
from hone.data.preferences import answers_of, encode_labels, fitting, score_comparisons, select, standardise
from hone.data.rows import Example
from hone.engines.base import Sampling
from hone.evaluate.preferences import judge, judge_thumbs
from hone.models.config import ModelConfig
from hone.models.policy import load
from hone.models.reward import RewardModel
from hone.models.reward_files import load_reward, reward_of
from hone.models.tiny import TinyConfig
from hone.rollout.writing import Writer
from hone.training.feedback import FeedbackConfig, read_labels
from hone.training.fit import check_offline, check_scratch, from_scratch
from hone.training.fitting import FitLoop, check_fits
from hone.training.recipe import PACKAGES, OptimiserConfig, RunConfig
from hone.training.run import Run


@dataclass(frozen=True)
class NormaliseConfig:
    """Which answers get rewards of mean 0 and deviation 1.

    Attributes:
        answers: how many; 0 leaves the scores as they are.
        policy: a model that writes them to the training prompts (the policy that is to be trained); none takes the
            answers that people judged.
        max_tokens: the longest of its answers.
    """

    answers: int = 256
    policy: str | None = None
    max_tokens: int = 256

    def __post_init__(self) -> None:
        """Refuse a number that cannot be normalised on."""
        if self.answers < 0 or self.answers == 1 or self.max_tokens < 1:
            raise ValueError("normalise.answers is 0 or at least 2, normalise.max_tokens at least 1")


@dataclass(frozen=True)
class RewardRecipe:
    """A reward model's run.

    Attributes:
        data: what people said.
        model: what to start from: a base model, a fine-tuned one, an earlier reward model; none for a tiny one from
            scratch.
        tiny: shape of that tiny model.
        tokenizer: its tokenizer: characters of the data, bytes, or byte-pair encoding of ``vocabulary`` entries.
        vocabulary: size of a byte-pair vocabulary.
        rows: examples per optimiser step: comparisons, rankings, or the ratings of a prompt.
        micro_tokens: most tokens of one forward pass.
        algorithm: ``preference``, ``thumbs`` or ``regression``, and with it which labels are learnt from.
        normalise: from scores to rewards, after training.
        optimiser: AdamW.
        run: the run directory; ``evaluate_every`` measures loss and accuracy on the held-out prompts.
    """

    data: FeedbackConfig
    model: ModelConfig | None = None
    tiny: TinyConfig = field(default_factory=TinyConfig)
    tokenizer: Literal["char", "byte", "bpe"] = "char"
    vocabulary: int = 2048
    rows: int = 32
    micro_tokens: int = 16384
    algorithm: Any = field(default_factory=Preference)
    normalise: NormaliseConfig = field(default_factory=NormaliseConfig)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(lr=1e-5, warmup=10, schedule="cosine", final=0.1)
    )
    run: RunConfig = field(default_factory=lambda: RunConfig(out="runs/reward", steps=200, save_every=100))

    def __post_init__(self) -> None:
        """Refuse sizes that mean nothing and keys that would have no effect."""
        check_scratch(self)
        check_offline(self.run)


@dataclass(frozen=True)
class TinyRewardRecipe(RewardRecipe):
    """A tiny reward model from scratch: a learning rate of its own.

    Attributes:
        optimiser: AdamW.
    """

    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(lr=1e-3, warmup=20, schedule="linear", weight_decay=0.01)
    )


def train_reward(recipe: RewardRecipe, *, resume: bool = False) -> Run:
    """Train a reward model by a recipe; returns the finished run.

    Its ``model/`` loads in ``AutoModelForSequenceClassification`` (an adapter is merged into it); in
    ``evals/held-out.json`` stand accuracy, calibration and length bias on prompts that were held out.

    Raises:
        HoneError: the data or the model cannot be used, or the run cannot be resumed.
    """
    kind = getattr(recipe.algorithm, "labels", "pairs")
    check_fits(recipe.algorithm, given=frozenset({"row_score"}))
    run, config = Run(Path(recipe.run.out)), plain(recipe, PACKAGES)
    run.check(config, resume=resume)
    train, held_out = read_labels(recipe.data)
    model = _model(recipe, train)
    length = min(recipe.data.max_length, model.max_length)
    examples, left_out = _examples(model, train, held_out, kind, recipe.data, length)
    loop = FitLoop(recipe, model, run, *examples)
    run.begin(config, resume=resume, data=hashlib.blake2b(repr((train, held_out)).encode(), digest_size=16).hexdigest())
    passes = recipe.rows * recipe.run.steps / len(examples[0])
    print(
        f"{len(examples[0]):,} examples to train on ({passes:.3g} passes), {len(examples[1]):,} held out; "
        f"{left_out:,} longer than {length} tokens left out; {sum(p.numel() for _, p in model.trainable()):,} "
        f"trainable parameters on {model.device}",
        file=sys.stderr,
    )

    def publish(folder: Path) -> None:
        _normalise(recipe, model, train, length)
        _evaluate(run, model, held_out, recipe.data, length)
        model.merge()
        model.save(folder)

    loop.session.drive("reward model", loop.step, resume=resume, note="loss", publish=publish)
    return run


def _model(recipe: RewardRecipe, train: Sequence[Label]) -> RewardModel:
    if recipe.model is not None:
        model = load_reward(recipe.model, head_seed=key(recipe.run.seed, "reward head") % 2**31)
        model.scale(1.0, 0.0)  # what an earlier run chose is of the scores before this one
        return model
    return reward_of(from_scratch(recipe, list(_texts(train))), recipe.run.seed)


def _examples(
    model: RewardModel, train: Sequence[Label], held_out: Sequence[Label], kind: Any, data: FeedbackConfig, length: int
) -> tuple[tuple[list[Example], list[Example]], int]:
    """Examples to train on and held out, and how many of the former are too long."""
    chosen: Any = select(train, kind, data.min_gap, data.max_pairs)
    try:
        measured: Any = select(held_out, kind, data.min_gap, data.max_pairs)
    except HoneError:  # nothing to measure on is no reason not to train
        measured = []
    if kind == "scores":
        chosen, measured = standardise(chosen, measured)
    examples, left_out = encode_labels(model, chosen, length)
    if not examples:
        raise HoneError("no example is left to train on", got=f"{left_out} too long", do="raise data.max_length")
    return (examples, encode_labels(model, measured, length)[0]), left_out


def _normalise(recipe: RewardRecipe, model: RewardModel, train: Sequence[Label], length: int) -> None:
    config, seed = recipe.normalise, recipe.run.seed
    if not config.answers:
        return
    judged = [(label.prompt, text) for label in train for text in answers_of(label)]
    stream = (judged[permutation_index(seed, i, len(judged), "normalise")] for i in itertools.count())
    if config.policy is None:
        stream = (pair for pair in itertools.islice(stream, len(judged)) if len(model.encode(*pair)) <= length)
    chosen = list(itertools.islice(stream, config.answers))
    prompts, answers = [prompt for prompt, _ in chosen], [answer for _, answer in chosen]
    if config.policy is not None:
        answers = [*_sample(config, prompts, seed)]
    model.normalise(prompts, answers)


def _sample(config: NormaliseConfig, prompts: Sequence[Text], seed: int) -> list[str]:
    """One answer of the policy to each prompt."""
    assert config.policy is not None
    writer = Writer(load(config.policy), Sampling(max_tokens=config.max_tokens))
    return writer.answer(prompts, [key(seed, "normalise", i) for i in range(len(prompts))])


def _evaluate(run: Run, model: RewardModel, held_out: Sequence[Label], data: FeedbackConfig, length: int) -> None:
    """Write what the held-out prompts say into evals/ and summary.json; what would be cut is left out and counted."""
    judged = [label for label in held_out if isinstance(label, Comparison | Ranking | Rating)]
    fit = fitting(model, judged, length)
    ratings = [label for label in fit if isinstance(label, Rating)]
    comparisons = comparisons_of(fit) + score_comparisons(ratings, data.min_gap, data.max_pairs)
    thumbs = [rating for rating in ratings if rating.thumb is not None]

    def scorer(prompts: Sequence[Text], answers: Sequence[Text]) -> list[float]:
        return model.scores(prompts, answers, title="evaluating")

    found: dict[str, dict[str, Any]] = {}
    if any(not c.tie for c in comparisons):
        found["held-out"] = judge(scorer, comparisons).plain()
    if thumbs:
        found["held-out-thumbs"] = judge_thumbs(scorer, thumbs)
    for name, result in found.items():
        more = {"left_out": len(judged) - len(fit), "reward_gain": model.gain, "reward_bias": model.bias}
        run.write_evaluation(name, {**result, **more})
    if found:
        first = next(iter(found.values()))
        best = first["accuracy"]
        headline = (
            f"On {first['samples']:,} held-out judgements the model agrees with people in {100 * best['value']:.1f} % "
            f"(95 % interval {100 * best['low']:.1f} to {100 * best['high']:.1f}); a coin would in 50 %."
        )
        if len(fit) < len(judged):
            headline += f" {len(judged) - len(fit):,} labels with a row longer than {length} tokens are left out."
        write_json(run.path / "summary.json", {"headline": headline, **found})


def _texts(labels: Iterable[Label]) -> Iterator[str]:
    for label in labels:
        for text in (label.prompt, *answers_of(label)):
            yield from [text] if isinstance(text, str) else (str(m["content"]) for m in text)
