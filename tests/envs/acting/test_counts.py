"""The summary for tiny models: counts and means in a letter and four digits, thoughts before the letter."""

import pytest

from hone.envs.acting.base import Scene, Transition
from hone.envs.acting.face import Face
from hone.envs.tasks.bandit import Bandit
from hone.envs.tasks.tictactoe import TicTacToe

SCENE = Scene("", ("x", "y", "z"), "Gc|", (0.0, 2.0))


def pulled(*pairs: tuple[int, float]) -> list[Transition]:
    return [Transition("", "", action, reward, None, "policy") for action, reward in pairs]


def test_counts_by_hand() -> None:
    face = Face("counts", thoughts=True)
    labels = face.labels(SCENE)
    assert face.context(SCENE, labels, [], "", range(3)) == "Gc|a?b?c?"
    history = pulled((0, 1.0), (2, 5.0), (0, 0.5), (2, -9.0), (0, 0.0))
    # a: three times, mean 0.5 of 0 to 2; c: twice, mean −2, below the range.
    assert face.context(SCENE, labels, history, "", range(3)) == "Gc|a0325b?c0200"
    assert face.context(SCENE, labels, pulled(*[(1, 1.0)] * 120), "", range(3)) == "Gc|a?b9950c?"
    assert face.anew and face.terse


def test_the_last_letter_of_a_thought_is_the_action() -> None:
    face, labels = Face("counts", thoughts=True), ("a", "b", "c")
    for text, action, place in (
        ("a103b?c050>b", 1, 11),
        ("c", 2, 0),
        ("a103b?", 1, 4),
        ("a103", None, 3),
        ("", None, None),
    ):
        assert face.read(text, labels) == action
        assert face.place(text) == place
    assert Face().place("so ACTION=blue") == 10


def test_where_it_says_nothing_it_is_refused() -> None:
    with pytest.raises(ValueError, match='"counts" counts actions, which says nothing about a game'):
        TicTacToe(face=Face("counts"))
    with pytest.raises(ValueError, match=r"face.window has no effect on a counts"):
        Face("counts", window=3)
    Bandit(face=Face("counts")).preflight()
