"""A run's page shows calibration and length bias of a reward model, and nothing of the kind for other runs."""

from __future__ import annotations

import json
from pathlib import Path

from hone.evaluate.preferences import calibration, plain_bins
from hone.report.page import write_report
from hone.report.preferences import preference_charts


def evaluation() -> dict[str, object]:
    share = {"value": 0.75, "low": 0.5, "high": 0.9, "count": 8}
    bins = plain_bins(calibration([0.55, 0.56, 0.9, 0.95], [1.0, 0.0, 1.0, 1.0], list("abcd"), low=0.5))
    length = dict.fromkeys(
        ("people_prefer_longer", "model_prefers_longer", "accuracy_longer", "accuracy_shorter"), share
    )
    return {"accuracy": share, "calibration": bins, "length": length, "questions": 8}


def test_the_page_of_a_reward_model(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "config.toml").write_text("rows = 1\n")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.7, "pair_accuracy": 0.5}\n')
    before = write_report(tmp_path).read_text()
    assert "Agreement with people" not in before
    (tmp_path / "evals" / "held-out.json").write_text(json.dumps(evaluation()))
    page = write_report(tmp_path).read_text()
    assert "Agreement with people" in page
    assert page.count("<svg") == before.count("<svg") + 2
    for text in ("Calibration (held-out)", "accuracy, shorter chosen", "75 %"):
        assert text in page
    assert "Pairs in the right order" in page


def test_other_evaluations_have_no_such_charts() -> None:
    assert preference_charts({"after": {"accuracy": {"value": 1.0}, "length": {"value": 3.0}}}) == []
    assert len(preference_charts({"held-out": evaluation()})) == 2
