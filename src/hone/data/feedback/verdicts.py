"""Who met whom: comparisons and rankings without their texts, as an arena and a measure of agreement need them."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from hone.core.feedback import author
from hone.data.feedback.schema import ANSWERS, LABEL_ANSWERS, LABELS, OTHERS


@dataclass(frozen=True, slots=True)
class Verdict:
    """A comparison or ranking without its texts.

    Attributes:
        prompt: number of the prompt.
        annotator: who said it.
        answers: (number of the answer, its authors, its rank), by number.
    """

    prompt: int
    annotator: str
    answers: list[tuple[int, tuple[str, ...], int]]


def read_verdicts(connection: sa.Connection) -> list[Verdict]:
    """Every standing comparison and ranking, in the order of entry."""
    query = (
        sa.select(
            LABELS.c.id,
            LABELS.c.prompt_id,
            LABELS.c.annotator,
            ANSWERS.c.id.label("answer"),
            ANSWERS.c.model,
            ANSWERS.c.checkpoint,
            LABEL_ANSWERS.c.rank,
            LABEL_ANSWERS.c.place,
        )
        .join(LABEL_ANSWERS, LABEL_ANSWERS.c.label_id == LABELS.c.id)
        .join(ANSWERS, ANSWERS.c.id == LABEL_ANSWERS.c.answer_id)
        .where(LABELS.c.undone.is_(None), LABELS.c.kind.in_(["comparison", "ranking"]))
        .order_by(LABELS.c.id, LABEL_ANSWERS.c.place)
    )
    found: dict[int, tuple[Verdict, dict[int, tuple[int, tuple[str, ...], int]]]] = {}
    for label, prompt, annotator, answer, model, checkpoint, rank, place in connection.execute(query):
        _, places = found.setdefault(label, (Verdict(prompt, annotator, []), {}))
        number, authors, _ = places.get(place % OTHERS, (answer, (), rank))  # its first author comes first
        places[place % OTHERS] = (number, (*authors, author(model, checkpoint)), rank)
    for verdict, places in found.values():
        verdict.answers.extend(sorted(places.values()))
    return [verdict for verdict, _ in found.values()]
