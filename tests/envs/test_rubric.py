import math
from pathlib import Path
from typing import Any

import pytest

from hone.core.config import build, plain
from hone.core.errors import HoneError
from hone.core.resolve import names, resolve
from hone.core.types import Failed, Scored
from hone.envs.graders.base import guarded
from hone.envs.graders.exact import Exact
from hone.envs.graders.function import Function
from hone.envs.graders.length import Length
from hone.envs.graders.numeric import Numeric
from hone.envs.graders.rubric import Criterion, Rubric, as_grader


def test_weighted_sum_with_its_breakdown() -> None:
    """willccbb's shape (SPECS D.4) by hand: right 2, an integer .5, too long up to -1."""
    rubric = Rubric(
        (
            (Exact(marker="####"), 2.0),
            {
                "name": "pattern",
                "pattern": "#### [0-9]+",
                "match": "search",
                "weight": 0.5,
                "label": "integer",
            },
            Length(maximum=10, cache=4),
        )
    )
    outcomes = rubric.grade(["?"] * 3, ["#### 72", "#### 7", "so #### 72"], {"answer": ["72"] * 3})
    assert outcomes == [
        Scored(2 + 0.5 - 0.25, {"exact": 1, "integer": 1, "length": -0.25}, "72"),
        Scored(0 + 0.5 + 0, {"exact": 0, "integer": 1, "length": 0}, "7"),
        Scored(2 + 0.5 - 1, {"exact": 1, "integer": 1, "length": -1}, "72"),
    ]
    assert rubric.floor == -1


def test_any_failure_fails_the_whole_and_is_named() -> None:
    rubric = Rubric((Exact(), lambda completions, **_: [math.nan if c == "x" else 1.0 for c in completions]))
    scored, failed = rubric.grade(["?"] * 2, ["a", "x"], {"answer": ["a", "x"]})
    assert scored == Scored(2.0, {"exact": 1, "<lambda>": 1}, "a")
    assert failed == Failed("<lambda>: returned nan", "not_finite")


def test_labels_are_distinct_and_nested_rubrics_keep_their_breakdown() -> None:
    inner = Rubric((Exact(), Numeric()))
    outer = Rubric((Exact(), "exact", Criterion(inner, weight=0.5, label="both")))
    (outcome,) = outer.grade(["?"], ["5.0"], {"answer": ["5"]})
    assert outcome == Scored(
        0.5, {"exact": 0, "exact_2": 0, "both": 1, "both/exact": 0, "both/numeric": 1}, answer="5.0"
    )


def test_tables_round_trip_through_the_configuration() -> None:
    tables = {
        "graders": [
            {"name": "exact", "marker": "####", "weight": 2.0},
            {"name": "os.path:basename", "timeout": 3.0, "label": "mine"},
        ]
    }
    rubric = build(Rubric, tables)
    assert [(type(c.grader), c.weight, c.label) for c in rubric.graders] == [
        (Exact, 2.0, "exact"),
        (Function, 1.0, "mine"),
    ]
    assert rubric.graders[1].grader == Function("os.path:basename", timeout=3.0)
    assert build(Rubric, plain(rubric, {"grader": "hone.envs.graders"})) == rubric


def test_mistakes_in_a_table_are_named() -> None:
    with pytest.raises(HoneError, match='did you mean "exact"'):
        Rubric(({"name": "exakt"},))
    with pytest.raises(HoneError, match='got "markr"; expected did you mean "marker"'):
        Rubric(({"name": "exact", "markr": "#"},))
    with pytest.raises(ValueError, match="at least one"):
        Rubric(())
    with pytest.raises(ValueError, match="not int"):
        Rubric((3,))


def test_every_grader_is_found_by_its_short_name() -> None:
    found = names("hone.envs.graders")
    assert found == ["code", "exact", "function", "length", "math", "numeric", "pattern", "reward_model", "rubric"]
    for name in found:
        assert resolve(name, "hone.envs.graders", "grader").__name__.lower() == name.replace("_", "")


def test_a_class_of_the_users_own_is_a_grader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_graders.py").write_text(
        "from dataclasses import dataclass\nfrom hone.core.types import Scored\n"
        "@dataclass(frozen=True)\nclass Shout:\n    loud: float = 1.0\n    floor: float = 0.0\n"
        "    def grade(self, prompts, completions, columns):\n"
        "        return [Scored(self.loud * c.isupper()) for c in completions]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    grader = as_grader({"name": "my_graders:Shout", "loud": 3})
    assert guarded(grader, ["?"] * 2, ["A", "a"], {}) == [Scored(3.0), Scored(0.0)]


def test_guarded_turns_every_fault_of_a_grader_into_failed() -> None:
    class Faulty:
        floor = 0.0

        def grade(self, prompts: Any, completions: Any, columns: Any) -> list[Any]:
            if "raise" in completions:
                raise RuntimeError("no")
            return [Scored(math.nan) if c == "nan" else 1 if c == "int" else Scored(1.0) for c in completions if c]

    texts = ["ok", "raise", "nan", "int", "", "ok"]
    outcomes = guarded(Faulty(), ["?"] * 6, texts, {})
    assert [o.kind if isinstance(o, Failed) else o.value for o in outcomes] == [
        1.0,
        "exception",
        "not_finite",
        "exception",
        "exception",
        1.0,
    ]
