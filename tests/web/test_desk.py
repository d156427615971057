"""What a server knows of its people between two requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from hone.core.feedback import Answer, Comparison
from hone.data.feedback.entries import Entry
from hone.data.feedback.questions import Asking, Group, Question, Questions
from hone.data.feedback.store import FeedbackStore
from hone.web.desk import Desk

GROUPS = [Group(f"p{i}", (Answer("good", "m"), Answer("bad", "n"))) for i in range(5)]


def desk_at(folder: Path, overlap: float) -> Desk:
    return Desk(FeedbackStore(folder / "f.db"), Questions(GROUPS, Asking(overlap=overlap)), folder)


def says(asked: Question | None, annotator: str, name: str) -> Entry:
    assert asked is not None
    first, second = asked.answers
    return Entry(Comparison(asked.prompt, first, second, annotator=annotator), name, asked.id)


def test_an_answer_taken_back_is_asked_of_those_again_who_had_passed_it(tmp_path: Path) -> None:
    desk = desk_at(tmp_path, overlap=0.0)
    first, *counts = desk.next("ann", "compare")
    assert counts == [0, 5]
    desk.add(says(first, "ann", "label-1"))
    second, *counts = desk.next("bob", "compare")
    assert second != first and counts == [0, 4]  # the first is ann's alone
    desk.add(says(second, "bob", "label-2"))
    assert desk.next("bob", "compare")[1:] == (1, 4) and desk.next("ann", "compare")[1:] == (1, 4)
    desk.undo("ann")
    assert desk.next("bob", "compare")[:2] == (first, 1)
    assert first is not None and desk.next("ann", "compare", first.id) == (first, 0, 4)
    desk.store.close()


@pytest.mark.parametrize("seen", [True, False])
def test_a_restart_knows_what_was_known(tmp_path: Path, seen: bool) -> None:
    desk = desk_at(tmp_path, overlap=1.0)
    labels = []
    for number in range(3):
        labels.append(says(desk.next("ann", "compare")[0], "ann", f"label-{number}"))
        assert desk.add(labels[-1])
    expected = desk.next("ann", "compare")
    desk.store.close()
    again = desk_at(tmp_path, overlap=1.0)
    if seen:
        assert again.next("ann", "compare") == expected
    assert not again.add(labels[0])  # a post that came again: known, and nothing is counted twice
    assert again.has_answered("ann", labels[0].item) and not again.has_answered("bob", labels[0].item)
    assert again.next("ann", "compare") == expected == (expected[0], 3, 5)
    assert again.last("ann") == "label-2"
    again.store.close()


def test_what_another_server_took_back_is_open_here_once_it_is_posted_again(tmp_path: Path) -> None:
    here, there = desk_at(tmp_path, overlap=1.0), desk_at(tmp_path, overlap=1.0)
    label = says(here.next("ann", "compare")[0], "ann", "label-0")
    assert here.add(label)
    there.undo("ann")
    assert not here.add(label)  # known, but it does not stand
    assert not here.has_answered("ann", label.item) and here.next("ann", "compare")[1:] == (0, 5)
    here.store.close()
    there.store.close()


def test_an_undo_here_sees_what_another_server_took_back(tmp_path: Path) -> None:
    here, there = desk_at(tmp_path, overlap=0.0), desk_at(tmp_path, overlap=0.0)
    for annotator in ("ann", "bob"):
        here.add(says(here.next(annotator, "compare")[0], annotator, f"label-{annotator}"))
    there.undo("ann")
    here.undo("bob")
    assert [here.next(annotator, "compare")[1:] for annotator in ("ann", "bob")] == [(0, 5), (0, 5)]
    here.store.close()
    there.store.close()


def test_a_label_taken_back_while_it_is_stored_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_at(tmp_path, overlap=1.0)
    label = says(desk.next("ann", "compare")[0], "ann", "label-0")
    stored = desk.store.add

    def then_undone(entry: Entry) -> bool:
        new = stored(entry)
        assert desk.undo("ann") is not None
        return new

    monkeypatch.setattr(desk.store, "add", then_undone)
    assert desk.add(label)
    assert not desk.has_answered("ann", label.item)
    assert desk.last("ann") == ""
    assert desk.next("ann", "compare")[1:] == (0, 5)
    desk.store.close()
