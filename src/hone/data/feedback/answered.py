"""What is still to be asked of whom: who has answered which question, counted, so that the next one is found at once.

A page asks this for every label, so none of it may take longer the more labels there are.
"""

from __future__ import annotations

from collections.abc import Iterable

from hone.data.feedback.questions import ASKS, Ask, Question, Questions


class Answered:
    """The questions that somebody has answered.

    Args:
        questions: all there are.
        ids: of those answered; others (of another day, of a correction) are remembered too and count as none.

    Attributes:
        ids: of everything answered.
        done: how many questions of each kind.
        alone: of them, those that are asked of one annotator alone.
    """

    def __init__(self, questions: Questions, ids: Iterable[str] = ()) -> None:
        self._questions = questions
        self.ids: set[str] = set()
        self.done, self.alone = dict.fromkeys(ASKS, 0), dict.fromkeys(ASKS, 0)
        self._start = dict.fromkeys(ASKS, 0)
        for name in ids:
            self.add(name)

    def add(self, name: str) -> None:
        """One more is answered; one that is already changes nothing."""
        if name in self.ids:
            return
        self.ids.add(name)
        question = self._questions.by_id.get(name)
        if question is not None:
            self.done[question.ask] += 1
            self.alone[question.ask] += self._questions.alone(name)

    def next(self, ask: Ask, anybodys: Answered) -> Question | None:
        """The first question of a kind that is still to be asked; None if there is none.

        What was passed over is not looked at again, so all calls together take one walk. Where an answer is taken back
        everybody's questions are counted anew.

        Args:
            ask: of which kind.
            anybodys: what anyone has answered.
        """
        listed = self._questions.lists[ask]
        while self._start[ask] < len(listed):
            question = listed[self._start[ask]]
            by_another = self._questions.alone(question.id) and question.id in anybodys.ids
            if question.id not in self.ids and not by_another:
                return question
            self._start[ask] += 1
        return None

    def progress(self, ask: Ask, anybodys: Answered) -> tuple[int, int]:
        """How many are answered, and of how many in all: those that others answered alone do not count.

        Args:
            ask: of which kind.
            anybodys: what anyone has answered, among them all of these.
        """
        return self.done[ask], len(self._questions.lists[ask]) - (anybodys.alone[ask] - self.alone[ask])
