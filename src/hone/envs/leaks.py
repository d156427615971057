"""Does a text that the policy is shown reveal the reference? Looked for before anything is rolled out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from hone.core.errors import HoneError
from hone.core.types import Scored
from hone.envs.graders.base import guarded
from hone.envs.questions import Question, QuestionTask
from hone.envs.split import SPLITS

CHECKED, GRADED = 1000, 4
"""Questions of each split that fixed texts, and texts with a grader's feedback, are looked through for."""


def refuse_leaks(
    task: QuestionTask,
    fixed: Mapping[str, Callable[[Question], str]],
    heard: Mapping[str, Callable[[Question, str], str]],
) -> None:
    """Refuse texts in which a question's reference (or its known answer) stands as a whole word.

    What the question itself shows does not count. Feedback is that of answers known to be wrong: an empty one, and
    another question's.

    Args:
        task: whose questions.
        fixed: the key of an option to the text it makes of a question.
        heard: likewise of a question and a grader's feedback on an answer to it.

    Raises:
        HoneError: a text reveals a reference; names the option, the question and the text.
    """
    for split in SPLITS:
        questions = _questions(task, split)
        for question in questions[:CHECKED] if fixed else ():
            for key, text in fixed.items():
                _refuse(key, text(question), question)
        for number, question in enumerate(questions[:GRADED] if heard else ()):
            other = questions[(number + 1) % len(questions)]
            for wrong in ("", other.known or other.answer):
                feedback = _feedback(task, question, wrong)
                for key, said in heard.items() if feedback else ():
                    _refuse(key, said(question, feedback), question)


def revealed(text: str, question: Question) -> str:
    """The reference or known answer that stands in ``text`` but not in the question itself; "" for none."""
    shown = text.replace(question.text, " ")
    if not isinstance(question.prompt, str):
        for message in question.prompt:
            shown = shown.replace(str(message["content"]), " ")
    return next((secret for secret in _secrets(question) if _stands(secret, shown)), "")


def _secrets(question: Question) -> list[str]:
    return [secret for secret in (question.answer.strip(), question.known.strip()) if secret]


def _stands(secret: str, text: str) -> bool:
    """As a whole word or number: 5 stands in "it is 5." and not in 15, 0.5 or 5.2."""
    if secret not in text:
        return False
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(secret)}(?!\w|[.,]\d)", text) is not None


def _refuse(key: str, text: str, question: Question) -> None:
    if secret := revealed(text, question):
        raise HoneError(
            "what the policy is told after an attempt reveals the answer",
            where=f"task.{key}",
            got=f"{_short(text)} after the question {_short(question.text)}, whose answer is {_short(secret)}",
            expected="a text without the reference",
            do="word it otherwise, or set task.allow_leak = true if that is what you want",
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "...")


def _feedback(task: QuestionTask, question: Question, answer: str) -> str:
    columns = {name: [value] for name, value in question.row.items()}
    (outcome,) = guarded(task.grader, [question.prompt], [answer], columns)
    return outcome.feedback if isinstance(outcome, Scored) else ""


def _questions(task: QuestionTask, split: str) -> Sequence[Question]:
    try:
        return task.questions(split)
    except HoneError:  # not every task has a test split
        return ()
