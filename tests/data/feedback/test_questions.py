"""Groups of answers become questions: which, in which order, for whom; and where the answers come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hone.core.errors import HoneError
from hone.core.feedback import Answer
from hone.data.feedback.answered import Answered
from hone.data.feedback.questions import Asking, Group, Questions, merge
from hone.web.answers import groups_from_file, groups_from_run, names_of

A, B, C = Answer("a", "m"), Answer("b", "n"), Answer("c", "m")


def test_questions_of_a_group() -> None:
    found = Questions([Group("p", (A, B, C)), Group("q", ())]).lists
    assert {ask: len(questions) for ask, questions in found.items()} == {
        "compare": 3,
        "rank": 1,
        "thumb": 3,
        "write": 2,
    }
    assert found["rank"][0].answers == (A, B, C)
    few = Questions([Group("p", (A, B, C))], Asking(pairs=2)).lists["compare"]
    # pairs of different models come first: (a, c) are both of m
    assert {frozenset(a.author for a in q.answers) for q in few} == {frozenset({"m", "n"})}


def test_answers_that_read_the_same_are_one_by_all_who_wrote_them() -> None:
    groups = [Group("p", (A, Answer("a ", "other", "s"))), Group("p", (B, A, Answer("a")))]
    assert merge(groups) == [Group("p", (Answer("a", "m", "", (("other", "s"),)), B))]
    assert merge(groups)[0].answers[0].authors == ("m", "other@s")
    assert merge([Group("p", (Answer("a"), A))]) == [Group("p", (Answer("a", "", "", (("m", ""),)),))]
    first, again = Questions(groups[:1]), Questions([Group("p", (A,))])
    assert first.by_id.keys() == again.by_id.keys()  # the question is the same, whoever else wrote it


def test_every_answer_is_ranked_and_rankings_hang_together() -> None:
    for count in range(3, 40):
        answers = tuple(Answer(f"{i}", "mn"[i >= count // 2]) for i in range(count))
        (group,) = merge([Group("p", answers)])
        rankings = [q.answers for q in Questions([group]).lists["rank"]]
        assert {a for ranking in rankings for a in ranking} == set(answers)
        assert max(map(len, rankings)) <= 6 and max(map(len, rankings)) - min(map(len, rankings)) <= 1
        joined, rest = set(rankings[0]), rankings[1:]
        while rest:  # a ranking that shares an answer with those before
            (*_, following) = [r for r in rest if joined & set(r)]
            joined |= set(following)
            rest.remove(following)
        assert all({a.model for a in ranking} == {"m", "n"} for ranking in rankings)
    assert [q.answers for q in Questions([Group("p", answers[:6])]).lists["rank"]] == [answers[:6]]


def test_everything_is_the_same_after_a_restart_and_depends_on_the_seed() -> None:
    groups = [Group(f"p{i}", (A, B)) for i in range(30)]
    first, again, other = Questions(groups), Questions(groups[::-1]), Questions(groups, Asking(seed=1))
    ids = [q.id for q in first.lists["compare"]]
    assert ids == [q.id for q in again.lists["compare"]]
    assert sorted(ids) == sorted(q.id for q in other.lists["compare"]) and ids != [q.id for q in other.lists["compare"]]
    orders = {name: [first.order(q, name) for q in first.lists["compare"]] for name in ("ann", "bob")}
    assert orders["ann"] == [again.order(q, "ann") for q in again.lists["compare"]]
    assert orders["ann"] != orders["bob"]
    assert {(0, 1), (1, 0)} == set(orders["ann"])


def test_overlap_says_what_everyone_is_asked() -> None:
    groups = [Group(f"p{i}", (A, B)) for i in range(400)]
    half = Questions(groups, Asking(overlap=0.5))
    everything = {q.id for q in half.lists["compare"]}
    mine, others = Answered(half), Answered(half, everything)  # somebody else has answered everything
    done, left = mine.progress("compare", others)
    assert done == 0 and 150 < left < 250
    asked = mine.next("compare", others)
    assert asked is not None and Answered(half, everything).next("compare", others) is None
    mine.add(asked.id)
    assert mine.progress("compare", others) == (1, left)
    whole = Questions(groups)
    assert Answered(whole).progress("compare", Answered(whole, everything)) == (0, 400)
    none = Questions(groups, Asking(overlap=0.0))
    assert Answered(none).next("compare", Answered(none, everything)) is None
    with pytest.raises(HoneError, match="overlap"):
        Asking(overlap=1.5)


def test_answers_from_files(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "answers": ["a", {"text": "b", "model": "m", "checkpoint": "s"}]},
        {"prompt": "q", "chosen": "x", "rejected": "y", "chosen_model": "m"},
        {"prompt": "r", "completion": "x"},
        {"prompt": "s"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert groups_from_file(str(tmp_path / "a.jsonl")) == [
        Group("p", (Answer("a"), Answer("b", "m", "s"))),
        Group("q", (Answer("x", "m"), Answer("y"))),
        Group("r", (Answer("x"),)),
        Group("s", ()),
    ]
    for row, said in (({"prompt": "p", "answers": [" "]}, "record 1.*|empty"), ({"text": "p"}, 'no column "prompt"')):
        (tmp_path / "b.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(HoneError, match=said):
            groups_from_file(str(tmp_path / "b.jsonl"))


def rollout(step: int, sample: int, text: str) -> dict[str, object]:
    return {"step": step, "group": 0, "sample": sample, "prompt": "2+2=", "reward": 1.0, "turns": [{"text": text}]}


def test_answers_from_the_rollouts_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "my-run"
    (run / "rollouts").mkdir(parents=True)
    (run / "config.toml").write_text("")
    with pytest.raises(HoneError, match="no recorded rollouts"):
        groups_from_run(run)
    for step in (1, 10):
        lines = [rollout(step, i, f"answer {i} of {step}") for i in range(5)]
        (run / "rollouts" / f"step-{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (group,) = groups_from_run(run)
    assert group.prompt == "2+2=" and len(group.answers) == 6
    assert sorted(a.author for a in group.answers) == ["my-run@step-1"] * 3 + ["my-run@step-10"] * 3
    assert {a.author for a in group.answers[:2]} == {"my-run@step-1", "my-run@step-10"}
    assert groups_from_run(run) == [group] != groups_from_run(run, seed=1)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("runs/a", ("a", "")),
        ("runs/a/model", ("a", "")),
        ("runs/a/checkpoints/step-10", ("a", "step-10")),
        ("/x/a/checkpoints/step-10/model", ("a", "step-10")),
        ("owner/name", ("name", "")),
    ],
)
def test_models_and_checkpoints_are_called_by_their_paths(path: str, names: tuple[str, str]) -> None:
    assert names_of(path) == names
