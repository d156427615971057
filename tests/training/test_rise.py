"""Rounds of RISE: what they collect is what happened, what they fit is what was kept, and a stopped one goes on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stopping import stop_at_writes
from teacher_server import says, serving

from hone.algorithms.awr import AWR
from hone.cli.main import call
from hone.core.errors import HoneError
from hone.core.types import Failed, Outcome, Scored
from hone.data.attempts import Dialogue
from hone.envs.tasks.subset_sum import SubsetSum, SumOfPicked
from hone.models.config import ModelConfig
from hone.models.policy import load
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer
from hone.rollout.improvers.base import Desk
from hone.training.attempts import AttemptsConfig, AttemptsRecipe, fit_attempts, load_examples
from hone.training.build import rounds_recipe_from
from hone.training.rounds.base import Round, train_rounds
from hone.training.run import Run

TASK = SubsetSum(train=40, test=10)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, with an alphabet."""
    folder = tmp_path_factory.mktemp("model") / "base"
    create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=128), char_tokenizer("0123456789>:=yn!"), 0).save(
        folder
    )
    return folder


def tables(base: Path, out: Path, **changed: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "model": {"path": str(base)},
        "task": {
            "name": "retry",
            "turns": 3,
            "retry": "!",
            "separator": "",
            "of": {"name": "subset_sum", "train": 40, "test": 10},
        },
        "rounds": {
            "name": "rise",
            "rounds": 2,
            "prompts": 6,
            "part": 4,
            "passes": 1,
            "sampling": {"max_tokens": 4},
            "improver": {"name": "solver"},
        },
        "fit": {
            "rows": 3,
            "data": {"criterion": "best", "after_correct": "keep"},
            "optimiser": {"lr": 1e-3, "warmup": 0},
        },
        "run": {"out": str(out), "seed": 5},
    }
    for name, value in changed.items():
        *path, last = name.split("__")
        table = values
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    return values


def dialogues(run: Run, number: int) -> list[Dialogue]:
    lines = (run.path / f"round-{number}" / "collect" / "rows.jsonl").read_text().splitlines()
    return [Dialogue.of(json.loads(line)) for line in lines]


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_rounds(rounds_recipe_from(tables(base, tmp_path_factory.mktemp("whole") / "run")))


def test_what_is_collected_is_what_happened(whole: Run, base: Path) -> None:
    policy = load(ModelConfig(str(base)))
    questions = TASK.questions("train")
    first, second = dialogues(whole, 1), dialogues(whole, 2)
    assert [len(first), len(second)] == [6, 6]
    assert not {d.episode for d in first} & {d.episode for d in second}, "the next round asks the next questions"
    retry = policy.tokenizer("!")["input_ids"]
    for dialogue in first:
        context = policy.tokenizer(questions[dialogue.episode].text)["input_ids"]
        assert dialogue.iteration == 1 and len(dialogue.visits) == 3
        for visit in dialogue.visits:
            assert list(visit.context) == context
            assert visit.own.text == policy.tokenizer.decode(list(visit.own.tokens), skip_special_tokens=True)
            assert visit.own.reward == SumOfPicked(3).judge(questions[dialogue.episode].text, visit.own.text).value
            assert visit.improved is not None and (visit.improved.reward, visit.improved.source) == (1, "solver")
            context = [*context, *visit.own.tokens, *retry]


def test_what_is_fitted_is_the_data_so_far(whole: Run) -> None:
    lines = whole.metrics
    assert [line["fit/prompts"] for line in lines] == [6, 12]
    assert [line["fit/steps"] for line in lines] == [2, 4]
    assert [line["collect/improved_3"] for line in lines] == [1, 1]
    assert lines[0]["fit/answers"] == 18
    assert (whole.model / "model.safetensors").exists()


def test_where_the_last_answer_alone_is_learnt_nobody_is_asked_for_others(
    whole: Run, base: Path, tmp_path: Path
) -> None:
    values = tables(base, tmp_path / "run", rounds__rounds=1, fit__data__improved="last")
    made = train_rounds(rounds_recipe_from(values))
    for alone, every in zip(dialogues(made, 1), dialogues(whole, 1), strict=True):
        assert [visit.improved is None for visit in alone.visits] == [True, True, False]
        assert alone.visits[-1] == every.visits[-1], "the same dialogue, the same answer"
    (line,) = made.metrics
    assert line["collect/unanswered"] == 0 and line["fit/answers"] == 6
    assert "collect/improved_2" not in line


def test_windows_growing_horizons_and_last_data(base: Path, tmp_path: Path) -> None:
    changed = {"task__window": 2, "rounds__turns": 1, "rounds__grow": 1, "rounds__keep": "last", "rounds__rounds": 3}
    made = train_rounds(rounds_recipe_from(tables(base, tmp_path / "run", **changed)))
    assert [len(dialogues(made, n)[0].visits) for n in (1, 2, 3)] == [1, 2, 3]
    assert [line["fit/prompts"] for line in made.metrics] == [6, 6, 6]
    opening = dialogues(made, 3)[0].visits[0].context
    for dialogue in dialogues(made, 3):
        opening = dialogue.visits[0].context
        before = dialogue.visits[1].own.tokens
        assert dialogue.visits[2].context[: len(opening) + len(before)] == (*opening, *before)


def test_stopped_in_the_middle_of_any_stage_it_ends_with_the_same_bits(whole: Run, base: Path, tmp_path: Path) -> None:
    """Every process gets one file further than the one before."""
    out = tmp_path / "run"
    recipe = rounds_recipe_from(tables(base, out))
    assert stop_at_writes(lambda resume: train_rounds(recipe, resume=resume), out) > 5
    for name in ("round-1/collect/rows.jsonl", "round-2/collect/rows.jsonl", "model/model.safetensors"):
        assert (out / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_best_of_and_own_attempts(base: Path, tmp_path: Path) -> None:
    own = {"rounds__improver": {"name": "best_of", "samples": 2}, "rounds__rounds": 1, "fit__data__own": True}
    made = train_rounds(rounds_recipe_from(tables(base, tmp_path / "a", **own, fit__data__criterion="all")))
    assert {d.visits[0].improved.source for d in dialogues(made, 1) if d.visits[0].improved} == {"best of 2"}
    assert made.metrics[0]["fit/answers"] > 18
    alone = {**own, "rounds__improver": {"name": "nobody"}, "fit__data__criterion": "all"}
    made = train_rounds(rounds_recipe_from(tables(base, tmp_path / "b", **alone)))
    assert made.metrics[0]["collect/unanswered"] == 1


def test_a_teacher_behind_a_server_that_dies_and_comes_back(base: Path, tmp_path: Path) -> None:
    from hone.rollout.improvers import http as http_module

    waits, well = list[float](), list[bool]()
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(lambda body, n: (200, says("111=3n")) if n <= 12 or well else (500, b"out of memory")) as server,
    ):
        patch.setattr(http_module, "_pause", waits.append)
        teacher = {"name": "http", "url": server.url, "model": "m", "tries": 2, "parallel": 1}
        values = tables(base, tmp_path / "run", rounds__improver=teacher, rounds__rounds=1)
        with pytest.raises(HoneError, match="500: out of memory"):
            train_rounds(rounds_recipe_from(values))
        asked = len(server.requests)
        assert asked == 14, "the first part has 12 answers; one of the next was tried twice, and no other"
        well.append(True)
        made = train_rounds(rounds_recipe_from(values), resume=True)
        assert len(server.requests) == asked + 6, "only the second part is asked for"
    assert {v.improved.text for d in dialogues(made, 1) for v in d.visits if v.improved} == {"111=3n"}


def test_nothing_that_can_be_graded_is_one_line(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: SumOfPicked, prompts: Any, completions: Any, columns: Any) -> list[Outcome]:
        known = len(completions) == 1 and "y" in completions[0]
        return self_grade(self, prompts, completions, columns) if known else [Failed("gone", "gone")] * len(completions)

    self_grade = SumOfPicked.grade
    monkeypatch.setattr(SumOfPicked, "grade", fails)
    best = {"rounds__improver": {"name": "best_of", "samples": 2}}
    with pytest.raises(
        HoneError, match=r"the policy's answers failed; at round 1; got 100% of 4; the first: gone: gone"
    ):
        train_rounds(rounds_recipe_from(tables(base, tmp_path / "capped", **best)))
    with pytest.raises(HoneError, match=r"no answer is left to learn from.*6 dialogues, 0 graded attempts"):
        train_rounds(rounds_recipe_from(tables(base, tmp_path / "run", **best, rounds__failure_cap=1.0)))


def test_failed_gradings_of_improved_answers_are_counted_and_capped(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the three samples at each of a part's places every third fails: none is left without an answer."""

    def fails(self: Desk, places: Any, answers: Any) -> list[Outcome]:
        outcomes: list[Outcome] = [
            Failed("late", "timeout") if i % 3 == 1 else Scored(0.5) for i in range(len(answers))
        ]
        self.graded.extend(zip(places, outcomes, strict=True))
        return outcomes

    monkeypatch.setattr(Desk, "grade", fails)
    best = {"rounds__improver": {"name": "best_of", "samples": 3}, "rounds__rounds": 1}
    with pytest.raises(
        HoneError, match=r"the improver's answers failed.*33% of 36; the first: timeout: late.*most 20%"
    ):
        train_rounds(rounds_recipe_from(tables(base, tmp_path / "capped", **best)))
    made = train_rounds(rounds_recipe_from(tables(base, tmp_path / "run", **best, rounds__failure_cap=0.34)))
    (line,) = made.metrics
    assert line["collect/failed_improved"] == pytest.approx(1 / 3) and line["collect/unanswered"] == 0


def test_passes_are_over_the_prompts_that_fit(whole: Run, base: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (whole.path / "round-1/collect/rows.jsonl").read_text().splitlines()]
    for row in rows[:4]:
        for visit in row["visits"]:
            visit["context"] = visit["context"] + [visit["context"][0]] * 128
    out = tmp_path / "round-1" / "fit"
    out.mkdir(parents=True)
    (out / "dialogues.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = rounds_recipe_from(tables(base, tmp_path))
    found = recipe.rounds._fit(Round(recipe, 1), out)
    assert (found["prompts"], found["too_long"], found["steps"]) == (2, 4, 1)


def test_a_window_longer_than_the_context_names_the_question(base: Path, tmp_path: Path) -> None:
    wide = {"task__retry": "!" * 60, "rounds__prompts": 2}
    with pytest.raises(HoneError, match=r"no room for an attempt; got the context of turn 3 on episode \d+ .*only 128"):
        train_rounds(rounds_recipe_from(tables(base, tmp_path / "run", **wide)))
    short = {**wide, "task__overflow": "shorten", "rounds__rounds": 1}
    made = train_rounds(rounds_recipe_from(tables(base, tmp_path / "short", **short)))
    assert [len(dialogue.visits) for dialogue in dialogues(made, 1)] == [3, 3]
    assert max(len(visit.context) for dialogue in dialogues(made, 1) for visit in dialogue.visits) <= 124


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"task": {"name": "subset_sum"}}, 'SubsetSum.*expected name = "retry"'),
        ({"task__critique": "?"}, "with critiques"),
        ({"rounds__turns": 4}, "more turns than the task has"),
        ({"rounds__improver": {"name": "nobody"}}, r"set fit\.data\.own"),
        ({"rounds__improver": {"name": "somebody"}}, "unknown improver"),
        ({"rounds__grow": 1}, "grow has no effect"),
        ({"rounds__sampling": {"top_k": 3}}, "without top_k"),
        ({"rounds__failure_cap": 1.5}, "failure_cap is 1.5"),
        (
            {"rounds__improver": {"name": "best_of", "ties": "held"}, "fit__data__after_correct": "drop"},
            'ties = "held" has no effect',
        ),
        ({"task__of": {"name": "addition"}}, "cannot solve its questions; got Addition"),
        ({"fit__data__criterion": "better"}, "nothing beats a correct one"),
        ({"fit__run__steps": 3}, "sets the key itself"),
        ({"fit__algorithm": {"name": "grpo"}}, "GRPO does not learn from data of this kind"),
    ],
)
def test_what_cannot_be_meant(changed: dict[str, Any], said: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(HoneError, match=said):
        train_rounds(rounds_recipe_from(tables(base, tmp_path / "run", **changed)))
    assert not (tmp_path / "run").exists()


def test_awr_fits_logged_attempts_with_a_value(whole: Run, base: Path, tmp_path: Path) -> None:
    data = AttemptsConfig("all", own=True, duplicates=True, source=str(whole.path / "round-1/collect/rows.jsonl"))
    recipe = AttemptsRecipe(data, ModelConfig(str(base)), AWR(temperature=0.5), rows=6)
    first = replace(recipe, run=replace(recipe.run, out=str(tmp_path / "run"), steps=1, save_every=1))
    made = fit_attempts(first)
    line = made.metrics[0]
    # A new value head says 0, so every answer weighs exp(r / τ) at first.
    rewards = [row.reward for row in load_examples(data)[1]]
    assert {0.0, 1.0} == set(rewards)
    expected = sum(math.exp(r / 0.5) for r in rewards) / len(rewards)
    assert line["weight"] == pytest.approx(expected, rel=1e-5)
    assert line["value"] == pytest.approx(sum(0.5 * r**2 for r in rewards) / len(rewards), rel=1e-5)
    learnt = load(ModelConfig(str(made.model)))
    assert learnt.value_head is not None
    assert any(bool(torch.any(p != 0)) for p in learnt.value_head.parameters())


def test_the_verb_and_its_help(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tomli_w

    path = tmp_path / "rise.toml"
    path.write_text(tomli_w.dumps(tables(base, tmp_path / "run", rounds__rounds=1)))
    assert call(["rounds", str(path)]) == 0
    assert (tmp_path / "run" / "report.html").exists()
    capsys.readouterr()
    assert call(["rounds", "--help", "--rounds.name", "rise", "--task.name", "retry"]) == 0
    text = capsys.readouterr().out
    for line in (
        "--rounds.prompts 512",
        "--rounds.improver.name 'best_of'",
        "--fit.data.criterion 'better'",
        "--fit.algorithm.name 'rwr'",
    ):
        assert line in text, line
    assert "--fit.data.source" not in text


def test_rounds_of_one_seed_are_apart(base: Path, tmp_path: Path) -> None:
    recipe = rounds_recipe_from(tables(base, tmp_path / "run"))
    assert Round(recipe, 1).seed("collect") != Round(recipe, 2).seed("collect") != Round(recipe, 2).seed("improve")
