"""Multi-turn GRPO on a retry task: windows change contexts and rows, never the credit or the denominator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from policies import tiny
from safetensors.torch import load_file

from hone import GRPO, load, train
from hone.core.types import Outcome, Scored
from hone.engines.base import Sampling
from hone.engines.embedded import EmbeddedEngine
from hone.envs.graders.base import Columns, Grader, Prompt
from hone.envs.questions import Question, QuestionTask
from hone.envs.tasks.retry import Retry
from hone.evaluate.model import EvalConfig
from hone.evaluate.retries import evaluate_retries
from hone.models.chat import Renderer
from hone.models.score import score
from hone.rollout.episodes import Start, rollout
from hone.rollout.rows import to_batch
from hone.training.run import Run


@dataclass(frozen=True)
class Even:
    """Worth the share of even digits: random answers differ."""

    floor: float = 0.0

    def grade(self, prompts: Sequence[Prompt], completions: Sequence[str], columns: Columns) -> list[Outcome]:
        return [Scored(sum(c in "02468" for c in text) / 3, answer=text) for text in completions]


@dataclass(frozen=True)
class Digits(QuestionTask):
    """Write even digits."""

    @property
    def grader(self) -> Grader:
        return Even()

    def build(self, split: str) -> Sequence[Question]:
        return [Question(f"{digit}=", "2") for digit in range(8)]


RETRY = Retry(Digits(), turns=3, retry="*", separator="", correct=2.0)
SMALL: dict[str, Any] = {"prompts": 4, "samples": 4, "max_tokens": 3, "lr": 3e-3, "steps": 2, "reference_every": 0}


def trained(folder: Path, window: int, **settings: Any) -> dict[str, torch.Tensor]:
    run = train(tiny(), replace(RETRY, window=window), GRPO(), out=str(folder / str(window)), **SMALL | settings)
    return load_file(run.model / "model.safetensors")


def test_a_window_that_holds_everything_is_no_window(tmp_path: Path) -> None:
    whole, wide, narrow = (trained(tmp_path, window) for window in (0, 3, 2))
    assert all(torch.equal(whole[name], wide[name]) for name in whole)
    assert not all(torch.equal(whole[name], narrow[name]) for name in whole)


@pytest.mark.parametrize("window", [0, 1, 2])
def test_the_gradient_is_that_of_every_attempt_in_its_own_context_with_its_episodes_credit(window: int) -> None:
    policy = tiny()
    task, sampling = replace(RETRY, window=window), Sampling(max_tokens=3)
    starts = [Start(question, question, sample) for question in range(2) for sample in range(3)]
    engine = EmbeddedEngine.of(policy)
    asked: list[tuple[int, ...]] = []
    submit = engine.submit
    engine.submit = lambda requests: (asked.extend(r.prompt for r in requests), submit(requests))[1]  # type: ignore
    found = rollout(engine, task, Renderer(policy.tokenizer), starts, sampling, noise=(0, 1))

    algorithm, batch = GRPO(), to_batch(found, policy.pad_id)
    assert len(batch) == {0: 6, 1: 18, 2: 12}[window]
    state = algorithm.init_state()
    batch = batch.with_(advantage=algorithm.advantages(batch, state))
    for term in algorithm.loss(batch, score(policy, batch), state).values():
        if term.coefficient:
            (term.coefficient * term.reduce(term.normaliser.weights(batch))).backward()  # type: ignore[no-untyped-call]
    names = [name for name, p in policy.model.named_parameters() if p.grad is not None]
    computed = {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad()

    # by hand: a context is the question, and the last attempts that the window leaves, each with its "*"
    star = tuple(policy.tokenizer("*", add_special_tokens=False)["input_ids"])
    loss = torch.zeros(())
    for question in range(2):
        group = [t for t in found if t.episode == question]
        totals = torch.tensor([t.reward for t in group])
        assert totals.std() > 0
        for t, advantage in zip(group, (totals - totals.mean()) / (totals.std() + 1e-4), strict=True):
            size = sum(len(turn.action.tokens) for turn in t.turns)
            for number, turn in enumerate(t.turns):
                before = t.turns[:number][-(window - 1) if window else 0 :] if window != 1 else ()
                context = t.turns[0].observation + tuple(i for b in before for i in (*b.action.tokens, *star))
                assert context in asked
                row = torch.tensor([[*context, *turn.action.tokens]])
                logprob = policy.model(input_ids=row).logits[0].log_softmax(-1)
                at = range(len(context) - 1, row.shape[1] - 1)
                mine = sum(logprob[i, row[0, i + 1]] for i in at)
                loss = loss - advantage * mine / size / len(found)
    loss.backward()  # type: ignore[no-untyped-call]
    by_hand = dict(policy.model.named_parameters())
    for name in names:
        assert by_hand[name].grad is not None
        assert torch.allclose(computed[name], by_hand[name].grad, atol=1e-6), name


def test_held_out_accuracy_is_that_of_the_last_attempt(tmp_path: Path) -> None:
    task = replace(RETRY, window=2, stop_when_correct=True, correct=1 / 3)
    settings = SMALL | {"steps": 1, "evaluate_every": 1, "evaluate_threshold": 1 / 3}
    run: Run = train(tiny(), task, GRPO(), out=str(tmp_path / "run"), **settings)
    config = EvalConfig(greedy=False, threshold=1 / 3)
    found, _ = evaluate_retries(load(str(run.model)), task, Sampling(max_tokens=3), config)
    assert run.metrics[0]["accuracy"] == found.curves.accuracy[-1].value
    assert found.named["p1@t3"].value > found.curves.accuracy[-1].value
