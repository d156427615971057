"""Label answers, see the arena and the runs: a local web page.

usage: hone ui [--answers FILE ...] [--rollouts RUN ...] [--models A B --prompts FILE] [--db FILE]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from hone.core.errors import HoneError

if TYPE_CHECKING:
    from hone.data.feedback.questions import Group


@dataclass(frozen=True)
class Args:
    """Label answers, see the arena and the runs: a local web page.

    Attributes:
        db: where labels are stored: a SQLite file, or postgresql://USER@HOST/NAME.
        answers: files of prompts with answers to judge (see docs/ui.md).
        rollouts: run directories whose sampled rollouts are judged.
        models: model directories that answer the prompts now.
        prompts: file with a column "prompt", for the models.
        samples: answers of each model to each prompt.
        max_tokens: longest answer of the models.
        temperature: of the models; 0 is greedy.
        save: where the models' answers are written (default: beside the database).
        runs: folder whose runs are shown.
        host: address to listen on; any but loopback asks for a token.
        port: to listen on; 0 takes a free one.
        token: asked of everyone who comes (default: none on loopback, else a new one).
        pairs: comparisons asked of one prompt at most.
        overlap: share of the questions that every annotator is asked; each of the others is asked of one.
        wait: seconds to wait for another program that holds the database.
        seed: of the order of questions, of who stands left, and of sampling.
    """

    db: str = "runs/feedback.db"
    answers: tuple[str, ...] = ()
    rollouts: tuple[Path, ...] = ()
    models: tuple[str, ...] = ()
    prompts: str | None = None
    samples: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    save: Path | None = None
    runs: Path = field(default_factory=lambda: Path("runs"))
    host: str = "127.0.0.1"
    port: int = 8400
    token: str | None = None
    pairs: int = 3
    overlap: float = 1.0
    wait: float = 10.0
    seed: int = 0


def run(argv: list[str]) -> None:
    """Gather what is to be judged, then serve until Ctrl-C."""
    args = tyro.cli(Args, args=argv, prog="hone ui")
    if bool(args.models) != (args.prompts is not None):
        raise HoneError("models answer prompts: both are needed", do="give --models A B --prompts FILE")
    from hone.core.extras import require_extra

    require_extra("fastapi", "multipart", "sqlalchemy", "uvicorn")

    from hone.data.feedback.questions import Asking, Questions
    from hone.data.feedback.schema import database_url
    from hone.data.feedback.store import FeedbackStore
    from hone.web.answers import groups_from_file, groups_from_run, model_names
    from hone.web.desk import Desk
    from hone.web.server import bind, serve, token_for

    asking = Asking(args.pairs, args.overlap, args.seed)
    token_for(args.host, args.token)
    bind(args.host, args.port).close()  # before the models work for minutes
    database_url(args.db)
    groups = [group for source in args.answers for group in groups_from_file(source)]
    called = model_names([str(folder) for folder in args.rollouts])
    for folder in args.rollouts:
        groups += groups_from_run(folder, args.seed, called[str(folder)][0])
    if args.prompts is not None:
        groups += _generated(args, args.prompts)
    desk = Desk(FeedbackStore(args.db, args.wait), Questions(groups, asking), args.runs)
    counts = ", ".join(f"{len(found)} to {ask}" for ask, found in desk.questions.lists.items() if found)
    print(f"labels: {desk.store.shown}   questions: {counts or 'none (see --answers, --rollouts, --models)'}")
    serve(desk, args.host, args.port, args.token)


def _generated(args: Args, prompts: str) -> list[Group]:
    from hone.engines.base import Sampling
    from hone.web.answers import Generation, generate

    try:
        sampling = Sampling(temperature=args.temperature, max_tokens=args.max_tokens)
    except ValueError as error:
        raise HoneError("answers cannot be sampled so", got=str(error)) from error
    beside = Path(args.db).with_suffix(".answers.jsonl") if "://" not in args.db else Path("runs/answers.jsonl")
    out = args.save or beside
    return generate(Generation(args.models, prompts, out, args.samples, args.seed, sampling))
