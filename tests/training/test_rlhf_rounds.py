"""Iterated RLHF: who is asked what, what is learnt from which labels, waiting for people, exact resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from stopping import stop_at_writes, timeless
from toy import Echo, tiny_model

from hone import GRPO, train
from hone.cli.main import call
from hone.core.config import read_toml
from hone.core.errors import HoneError
from hone.core.feedback import Answer, Comparison, Label, Ranking
from hone.core.files import read_json_lines
from hone.core.records import read_records
from hone.data.feedback.entries import Entry, from_record
from hone.data.feedback.questions import Asking, Questions
from hone.data.feedback.store import FeedbackStore
from hone.envs.review_judge import NoisyJudge, prompts
from hone.envs.tasks.reviews import Reviews
from hone.evaluate.arena import make_arena
from hone.models.tiny import TinyConfig, create_tiny
from hone.models.tokenizer import char_tokenizer
from hone.training.build import rounds_recipe_from
from hone.training.rounds.base import WaitingError, train_rounds
from hone.training.run import Run
from hone.web.answers import groups_from_file


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model over the letters of reviews."""
    folder = tmp_path_factory.mktemp("model") / "base"
    texts = [text for pair in Reviews().corpus(300, 0) for text in pair]
    create_tiny(TinyConfig(width=16, layers=1, heads=2, max_length=96), char_tokenizer(texts), seed=0).save(folder)
    return folder


def recipe(base: Path, out: Path, **rounds: Any) -> dict[str, Any]:
    kind = {"name": "rlhf", "rounds": 2, "prompts": 6, "answers": 2, "arena": 3, "judge": {"name": "noisy_judge"}}
    return {
        "model": {"path": str(base)},
        "task": {"name": "reviews"},
        "rounds": {k: v for k, v in {**kind, **rounds}.items() if v is not None},
        "reward": {"rows": 4, "run": {"steps": 2}, "optimiser": {"lr": 1e-3}, "normalise": {"answers": 8}},
        "online": {
            "algorithm": {"beta": 0.05},
            "sampling": {"max_tokens": 12},
            "batch": {"prompts": 4, "samples": 2},
            "optimiser": {"lr": 1e-3},
            "run": {"steps": 2, "rollouts_every": 0},
        },
        "run": {"out": str(out), "seed": 4},
    }


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_rounds(rounds_recipe_from(recipe(base, tmp_path_factory.mktemp("whole") / "run")))


def entries(run: Run, number: int, stage: str) -> list[Entry]:
    return [from_record(row) for row in read_json_lines(run.path / f"round-{number}" / stage / "rows.jsonl")]


def test_who_answers_what(whole: Run) -> None:
    asked: dict[str, set[str]] = {"train": set(), "test": set()}
    for number in (1, 2):
        for stage, side, players in (
            ("answers", "train", {1: {"round-0": 2}, 2: {"round-1": 2, "round-0": 1}}),
            (
                "arena-answers",
                "test",
                {1: {"round-1": 1, "round-0": 1}, 2: dict.fromkeys(["round-2", "round-1", "round-0"], 1)},
            ),
        ):
            rows = read_json_lines(whole.path / f"round-{number}" / stage / "rows.jsonl")
            mine = {row["prompt"] for row in rows}
            assert len(mine) == (6 if side == "train" else 3)
            assert mine <= set(Reviews().side(side))
            assert not mine & asked[side]  # other prompts in each round
            asked[side] |= mine
            for prompt in mine:
                counts: dict[str, int] = {}
                for row in rows:
                    if row["prompt"] == prompt:
                        counts[row["player"]] = counts.get(row["player"], 0) + 1
                assert counts == players[number]
    assert set(prompts()) >= asked["train"] | asked["test"]
    line = whole.metrics[1]
    rows = [r for r in read_json_lines(whole.path / "round-2" / "answers" / "rows.jsonl") if r["player"] == "round-1"]
    assert line["answers/answers"] == 12
    assert line["answers/gold"] == pytest.approx(sum(row["metrics"]["gold"] for row in rows) / 12)
    assert line["answers/distinct"] == len({row["text"] for row in rows}) / 12


def test_the_judge_is_asked_every_question_and_its_verdict_is_kept(whole: Run) -> None:
    for number in (1, 2):
        for stage, answers in (("comparisons", "answers"), ("arena", "arena-answers")):
            groups = groups_from_file(str(whole.path / f"round-{number}" / answers / "answers.jsonl"))
            wanted = {q.id for q in Questions(groups, Asking(pairs=3)).lists["compare"]}
            said = entries(whole, number, stage)
            assert {entry.item for entry in said} == wanted
            for entry in said:
                label = entry.label
                assert isinstance(label, Comparison)
                pair = str(label.chosen.text), str(label.rejected.text)
                assert NoisyJudge().prefers_first(str(label.prompt), *pair, number)
                assert {label.chosen.model, label.rejected.model} == {"run"}


def test_the_reward_model_learns_from_the_union_and_never_from_the_arena(whole: Run) -> None:
    first, second = (entries(whole, number, "comparisons") for number in (1, 2))
    data = [from_record(row) for row in read_json_lines(whole.path / "round-2" / "reward" / "data.jsonl")]
    assert data == [*first, *second]
    held = set(Reviews().side("test"))
    assert not any(str(entry.label.prompt) in held for entry in data)
    config = read_toml(whole.path / "round-2" / "reward" / "config.toml")
    assert config["normalise"] == {"answers": 8, "policy": config["model"]["path"], "max_tokens": 12}


def test_the_policy_goes_on_from_the_last_one_and_is_held_to_the_first(whole: Run, base: Path) -> None:
    configs = [read_toml(whole.path / f"round-{number}" / "policy" / "config.toml") for number in (1, 2)]
    assert [config["reference"] for config in configs] == ["", str(base)]
    assert [config["model"]["path"] for config in configs] == [str(base), str(whole.path / "round-1/policy/model")]
    for number, config in enumerate(configs, 1):
        (grader,) = config["task"]["graders"]
        assert grader["grader"]["path"] == str(whole.path / f"round-{number}/reward/model")
    assert configs[0]["run"]["seed"] != configs[1]["run"]["seed"]


def test_all_labels_are_in_one_database_whose_arena_is_the_reports(whole: Run, tmp_path: Path) -> None:
    where = whole.path / "feedback.db"
    kept = [entries(whole, n, stage) for n in (1, 2) for stage in ("comparisons", "arena")]
    store = FeedbackStore(where)
    assert sorted(e.id for e in store.entries()) == sorted(e.id for part in kept for e in part)
    arena = make_arena(store.verdicts())
    store.close()
    found = json.loads((whole.path / "evals" / "arena.json").read_text())
    assert [s["round"] for s in found["standings"]] == [0, 1, 2]
    by_name = {s.name: s for s in arena.standings}
    for standing in found["standings"]:
        mine = by_name[standing["name"]]
        assert standing["name"] == f"run@round-{standing['round']}"
        assert (standing["battles"], standing["won"]) == (mine.battles, pytest.approx(mine.won))
        assert standing["rating"]["value"] == pytest.approx(mine.bradley_terry.value)
    labels = [e.label for part in kept for e in part]
    duels = [
        c
        for c in labels
        if isinstance(c, Comparison) and {c.chosen.checkpoint, c.rejected.checkpoint} == {"round-0", "round-2"}
    ]
    assert found["against_first"]["value"] == pytest.approx(
        sum(c.chosen.checkpoint == "round-2" for c in duels) / len(duels)
    )
    assert (
        call(["feedback", "export", str(tmp_path / "pairs.jsonl"), "--db", str(where), "--layout", "preference"]) == 0
    )
    assert len(read_records(str(tmp_path / "pairs.jsonl"))) == len(labels)


def test_stopped_anywhere_it_ends_with_the_same_bits(whole: Run, base: Path, tmp_path: Path) -> None:
    """Each process puts three files more in their places than the one before it."""
    out = tmp_path / "run"
    made = rounds_recipe_from(recipe(base, out))
    stops = stop_at_writes(lambda resume: train_rounds(made, resume=resume), out, lambda n: 3 * n)
    assert stops > 4
    for path in whole.path.rglob("*"):
        name = path.relative_to(whole.path)
        if path.name in ("rows.jsonl", "data.jsonl", "answers.jsonl", "arena.json", "model.safetensors"):
            assert (out / name).read_bytes() == path.read_bytes(), name
        elif path.name == "metrics.jsonl":
            assert timeless(read_json_lines(out / name)) == timeless(read_json_lines(path))
    assert labels(out / "feedback.db") == labels(whole.path / "feedback.db")


def labels(db: Path) -> dict[str, Label]:
    store = FeedbackStore(db)
    found = {entry.id: entry.label for entry in store.entries()}
    store.close()
    return found


def answer(db: Path, answers: Path, most: int = 1000, rank: bool = False) -> None:
    """A person at the page: longer answers are better."""
    questions, store = Questions(groups_from_file(str(answers)), Asking(pairs=3)), FeedbackStore(db)
    for question in questions.lists["rank" if rank else "compare"][:most]:
        best = sorted(question.answers, key=lambda a: (-len(a.text), a.text))
        label = Ranking(question.prompt, tuple(best), tuple(range(1, len(best) + 1)), "ann") if rank else None
        store.add(
            Entry(label or Comparison(question.prompt, best[0], best[1], annotator="ann"), question.id, question.id)
        )
    store.close()


def test_people_are_waited_for(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, path = tmp_path / "run", tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(recipe(base, out, judge=None, answers=3, rounds=1, arena=2)))
    db = out / "feedback.db"
    assert call(["rounds", str(path)]) == 3
    first = out / "round-1" / "answers" / "answers.jsonl"
    said = capsys.readouterr().err.splitlines()[-1]
    assert "waiting for people" in said
    assert "0 of 18 comparisons, 18 are missing" in said
    assert f"hone ui --db {db} --answers {first} --pairs 3" in said
    assert "--resume" in said
    answer(db, first, most=7)
    assert call(["rounds", str(path), "--resume"]) == 3
    assert "7 of 18 comparisons, 11 are missing" in capsys.readouterr().err
    answer(db, first, rank=True, most=2)  # a ranking answers all pairs of its prompt
    assert call(["rounds", str(path), "--resume"]) == 3
    assert " 18 comparisons" in (said := capsys.readouterr().err)
    assert "0 are missing" not in said
    answer(db, first)
    assert call(["rounds", str(path), "--resume"]) == 3
    second = out / "round-1" / "arena-answers" / "answers.jsonl"
    assert f"--answers {second}" in capsys.readouterr().err
    rows = entries(Run(out), 1, "comparisons")
    assert len(rows) == 18 + 2
    assert all(entry.label.annotator == "ann" for entry in rows)
    store = FeedbackStore(db)
    assert store.undo("ann") is not None  # what a person takes back afterwards changes no finished stage
    store.close()
    answer(db, second)
    assert call(["rounds", str(path), "--resume"]) == 0
    assert entries(Run(out), 1, "comparisons") == rows
    assert (out / "model" / "model.safetensors").is_file()
    assert "the policy has gone from" in (out / "report.html").read_text()


def test_labels_of_people_are_recorded_before_they_are_learnt(base: Path, tmp_path: Path) -> None:
    made = rounds_recipe_from(recipe(base, tmp_path / "run", judge=None, rounds=1, arena=0))
    with pytest.raises(WaitingError):
        train_rounds(made)
    answer(tmp_path / "run" / "feedback.db", tmp_path / "run" / "round-1" / "answers" / "answers.jsonl")
    done = train_rounds(made, resume=True)
    assert not (done.path / "evals").exists()  # one policy alone was compared: with itself
    data = read_json_lines(done.path / "round-1" / "reward" / "data.jsonl")
    assert [from_record(row) for row in data] == entries(done, 1, "comparisons")
    assert {row["annotator"] for row in data} == {"ann"}


class Moody:
    """A judge with a fault."""

    def prefers_first(self, prompt: str, first: str, second: str, turn: int = 0) -> bool | None:
        raise OSError("no connection")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rounds": {"answers": 1}}, "answers at least 2"),
        ({"rounds": {"judge": {"name": "toy:Echo"}}}, r"this is no judge.*rounds\.judge.*Echo.*prefers_first"),
        ({"rounds": {"judge": {"name": "noisy"}}}, 'unknown judge.*did you mean "noisy_judge"'),
        ({"rounds": {"judge": {"name": "noisy_judge", "heat": 1}}}, 'unknown key.*"heat"'),
        ({"task": {"name": "toy:Echo"}}, "takes no graders"),
        (
            {"task": {"name": "reviews", "graders": [{"name": "length", "maximum": 9}]}},
            r"task\.graders.*rounds\.graders",
        ),
        ({"task": {"name": "toy:Echo", "turns": 2}}, "single answers"),
        ({"reward": {"algorithm": {"name": "thumbs"}}}, r"other labels than comparisons.*reward\.algorithm\.name"),
        ({"online": {"algorithm": {"beta": 0.1, "clip_ration": 1}}}, r"\[online\].*clip_ration"),
        ({"online": {"algorithm": {"name": "grpo"}, "batch": {"samples": 1}}}, "compares the samples of one question"),
        (
            {
                "online": {"algorithm": {"name": "grpo"}, "run": {"reference_every": 0}},
                "rounds": {"critic_from_reward": True},
            },
            "needs no values",
        ),
        ({"online": {"task": {"name": "addition"}}}, "sets the key itself"),
        ({"online": {"ptx": {"rows": 4}}}, "ptx"),
        ({"reward": {"normalise": {"policy": "x"}}}, r"normalise\.policy"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_first_round(
    change: dict[str, Any], said: str, base: Path, tmp_path: Path
) -> None:
    values = recipe(base, tmp_path / "run")
    for section, table in change.items():
        values[section] = {**(values[section] if section in ("rounds",) else {}), **table}
    with pytest.raises(HoneError, match=said):
        train_rounds(rounds_recipe_from(values))
    assert not (tmp_path / "run").exists()


def test_a_judge_that_raises_is_named(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoisyJudge, "prefers_first", Moody.prefers_first)
    with pytest.raises(HoneError, match=r"the judge raised.*NoisyJudge.*OSError: no connection.*--resume"):
        train_rounds(rounds_recipe_from(recipe(base, tmp_path / "run")))


def test_the_kl_can_be_measured_to_another_model(tmp_path: Path) -> None:
    model, other = tiny_model(tmp_path / "a"), tmp_path / "b"
    train(str(model), Echo(), GRPO(), out=str(tmp_path / "moved"), steps=3, lr=1e-2, prompts=4, samples=4, max_tokens=3)
    other = tmp_path / "moved" / "model"
    found = {}
    for name, reference in (("own", ""), ("same", str(model)), ("other", str(other))):
        run = train(
            str(model), Echo(), GRPO(beta=0.1), out=str(tmp_path / name), steps=2, lr=1e-3, prompts=4, samples=4,
            max_tokens=3, reference=reference,
        )  # fmt: skip
        found[name] = timeless(run.metrics)
    assert found["own"] == found["same"]
    assert found["own"][0]["kl_ref"] < 1e-6 < found["other"][0]["kl_ref"]
    back = train(
        str(other), Echo(), GRPO(beta=0.1), out=str(tmp_path / "back"), steps=1, prompts=4, samples=4, max_tokens=3,
        reference=str(other),
    )  # fmt: skip
    assert back.metrics[0]["kl_ref"] < 1e-6


def test_a_reference_that_cannot_be_meant(base: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "a")
    with pytest.raises(HoneError, match=r"another tokenizer.*reference"):
        train(str(model), Echo(), GRPO(beta=0.1), out=str(tmp_path / "x"), reference=str(base))
    with pytest.raises(HoneError, match=r"no effect.*reference"):
        train(str(model), Echo(), GRPO(), out=str(tmp_path / "x"), reference=str(model), reference_every=0)


def test_answer_of_two_models_with_one_text_is_one(base: Path) -> None:
    from hone.training.rounds._comparing import groups_of

    rows = [
        {"prompt": "p", "text": text, "player": p}
        for p, text in (("round-0", "a"), ("round-1", "a "), ("round-1", " "))
    ]
    (group,) = groups_of(rows, "run")
    assert group.answers == (Answer("a", "run", "round-0"), Answer("a ", "run", "round-1"))
    assert Questions([group]).lists["compare"] == []
