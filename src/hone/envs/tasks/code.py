"""Programming problems from a file or the hub, judged by running the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hone.core.errors import HoneError
from hone.core.records import Record
from hone.core.types import Scored
from hone.envs.code_problems import read_problem
from hone.envs.graders.base import guarded
from hone.envs.graders.code import Code as CodeGrader
from hone.envs.questions import Question
from hone.envs.tasks._records import RecordTask, render

_MBPP = "{prompt}\nFor example: {example}\n"


@dataclass(frozen=True)
class Code(RecordTask):
    """Programming problems in the layouts of HumanEval, MBPP, APPS and CodeContests, as these files are.

    Columns tell the layout (:mod:`hone.envs.code_problems`). Training and test side are told apart as in
    ``questions``. Before training, the first problem's known solution must pass its tests.

    Attributes:
        path: a file, a folder or a hub data set, see :func:`hone.core.records.read_records`.
        template: the prompt's text; ``{prompt}``, ``{example}`` (the first of MBPP's tests) and any column may
            stand in it. "" is the prompt alone, for MBPP with the example, as its texts do not name the function.
        test: source of the test questions; "" to hold out ``test_fraction`` of ``path``.
        test_fraction: the fraction held out; 0 for no test split. Not used with ``test``.
        split: split of ``path``, if it is a folder or on the hub.
        test_split: split of ``test`` likewise; with it alone, that split of ``path`` is the test source.
        limit: at most so many questions in each split.
        graders: criteria of a :class:`Rubric`: graders, functions, names or tables.
    """

    path: str
    template: str = ""
    test: str = ""
    test_fraction: float = 0.1
    split: str | None = None
    test_split: str | None = None
    limit: int | None = None
    graders: tuple[Any, ...] = (CodeGrader(),)

    def check(self, records: Sequence[Record], source: str) -> None:
        """Every record is of a known layout."""
        for number, record in enumerate(records, start=1):
            try:
                problem = read_problem(record)
            except HoneError as error:
                where = f"{source}, record {number}"
                raise HoneError(error.what, where=where, got=error.got, expected=error.expected) from error
            if not problem.prompt.strip():
                raise HoneError("a programming problem asks nothing", where=f"{source}, record {number}")

    def content(self, record: Record) -> str:
        """The problem's text."""
        return read_problem(record).prompt

    def question(self, record: Record) -> Question:
        """The rendered prompt; all columns, the prompt as it was in ``prompt``."""
        problem = read_problem(record)
        template = self.template or (_MBPP if problem.example else "{prompt}")
        values = {**record, "prompt": problem.prompt, "example": problem.example}
        return Question(render(template, values), columns={**record, "prompt": problem.prompt}, known=problem.known)

    def preflight(self) -> None:
        """Try the sandbox and every reward on the first problem.

        Raises:
            HoneError: no training question, no sandbox, or the known solution does not pass the tests.
        """
        super().preflight()
        first = self.questions("train")[0]
        runs = [c.grader for c in self.graders if isinstance(c.grader, CodeGrader)]
        for grader in runs if first.known else []:
            columns = {name: [value] for name, value in first.row.items()}
            (outcome,) = guarded(grader, [first.prompt], [first.known], columns)
            if not isinstance(outcome, Scored) or outcome.value < grader.correct:
                raise HoneError(
                    "the data's own solution of the first problem does not pass its tests here",
                    where=self.path,
                    got=outcome.feedback if isinstance(outcome, Scored) else outcome.reason,
                    do="give it the packages and limits that it needs ([task.graders] packages, limits), or drop it",
                )
