"""Tables and pictures of several attempts, from what an evaluation writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hone.evaluate.turns import Attempt, Run, evaluate_turns
from hone.report.comparison import headline, table
from hone.report.page import write_report
from hone.report.turns import measure_rows, turn_chart, turn_charts, turn_rows


def attempts(grades: str) -> tuple[Attempt, ...]:
    return tuple(Attempt(answer, answer == "y", 3) for answer in grades)


RUNS = [Run(0, attempts("ny")), Run(1, attempts("yn")), Run(2, attempts("ny")), Run(3, attempts("nn"))]
PARALLEL = {q: attempts("yyyn" if q else "nnn") for q in range(4)}
PLAIN = json.loads(json.dumps(evaluate_turns(RUNS, PARALLEL, greedy=RUNS).plain()))


def test_a_row_per_turn_and_per_measure() -> None:
    first, second = turn_rows(PLAIN)
    assert first == {
        "turn": "1",
        "right": "0.250",
        "vote": "0.250",
        "any": "0.250",
        "fixed": "–",
        "broken": "–",
        "distinct": "1.000",
        "tokens": "3.000",
        "greedy": "0.250",
        "parallel": "0.562",
    }
    assert (second["fixed"], second["broken"], second["right"], second["any"]) == ("0.500", "0.250", "0.500", "0.750")
    measures = {row["measure"]: row for row in measure_rows(PLAIN)}
    assert measures["last − first"]["value"] == "0.250"
    assert measures["m1@t2 − m2@t1"]["value"] == "−0.062"
    assert measures["m1@t2 − m2@t1"]["95 % interval"] == "−0.750 to 0.625"
    assert "greedy" not in turn_rows({**PLAIN, "greedy": None})[0]


def test_lines_are_the_estimates() -> None:
    (axes,) = turn_chart(PLAIN, "title").axes
    drawn = [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()]
    assert drawn == [[0.25, 0.5], [0.25, 0.75], [0.25, 0.5], [0.5625, 0.5625]]
    assert "parallel majority" in turn_charts({"after": PLAIN})[0]
    assert len(turn_charts({"before": PLAIN, "after": PLAIN, "other": {"accuracy": {}}})) == 3


def test_the_report_of_a_run_shows_them(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "evals" / "turns.json").write_text(json.dumps(PLAIN))
    page = write_report(tmp_path).read_text()
    assert "Turn after turn" in page
    assert "m1@t2 − m2@t1" in page
    told = (
        "25.0 % of held-out questions are answered right at once, 50.0 % by a vote over 2 turns, "
        "56.2 % by a vote of 2 parallel answers (turns, 4 questions)."
    )
    assert headline({"turns": PLAIN}, {}) == told
    assert told in page


def test_the_table_beside_other_evaluations() -> None:
    rows = {row.name: row for row in table({"before": PLAIN, "after": PLAIN})}
    assert rows["m1@t2"].cells[0].value == "50.0 %"
    assert rows["m1@t2"].change == "+0.0 points"
    assert rows["attempts with oracle"].cells[0].value == "1.75"
    assert rows["m1@t2 − m2@t1"].cells[0].value == "−6.2 %"
