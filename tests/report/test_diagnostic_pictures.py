"""What a diagnostic wrote becomes pictures and rows: the numbers stand where they belong."""

from pathlib import Path

from hone.core.files import write_json
from hone.envs import minimax
from hone.envs.acting.rationale import Rationale
from hone.envs.arms import Gaussian
from hone.envs.bandit import Bandits
from hone.envs.tasks.tictactoe import TicTacToe
from hone.evaluate.diagnostics.frequency_bias import FrequencyBias
from hone.evaluate.diagnostics.greediness import Greediness
from hone.evaluate.diagnostics.knowing_doing import KnowingDoing
from hone.evaluate.diagnostics.opponents import Opponents
from hone.evaluate.gamers import ByTable
from hone.evaluate.subjects import Scripted
from hone.report.diagnostics import diagnostic_charts, diagnostic_pictures, diagnostic_rows
from hone.report.page import write_report
from hone.tabular.bandits.tallies import greedy

SUBJECT = Scripted(greedy, Bandits(Gaussian(), 4, split="test", horizon=8), thinks=Rationale(tuple("abcd")))
FOUND = [
    Greediness(episodes=8).examine(SUBJECT),
    FrequencyBias(bandits=2, targets=2, histories=1, repeats=55).examine(SUBJECT),
    KnowingDoing(episodes=8).examine(SUBJECT),
    Opponents(games=20, opponents=("random", "perfect")).examine(ByTable(minimax.uniform()), TicTacToe()),
]


def test_every_diagnostic_has_pictures_and_rows() -> None:
    for found, count in zip(FOUND, (2, 3, 1, 1), strict=True):
        assert len(diagnostic_pictures(found)) == count
        assert all(row["measure"] for row in diagnostic_rows(found))
    rows = {row["measure"]: row["value"] for found in FOUND for row in diagnostic_rows(found)}
    assert rows["coverage, agent"] == "0.250"
    assert rows["greedy, repeats 45-55"] == "1.000"
    assert rows["greedy, given that it knows"] == "1.000"
    assert rows["best response, random, first"] == "0.995"
    assert diagnostic_pictures({"accuracy": {}}) == []


def test_a_report_shows_them_and_no_empty_column_of_accuracies(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[run]\nsteps = 1\n")
    for found in FOUND:
        write_json(tmp_path / "evals" / f"{found['diagnostic']}.json", found)
    page = write_report(tmp_path).read_text()
    assert "What ails it" in page
    assert page.count("<svg") == 7
    for text in ("Arms tried", "Entropy over repeats", "Knowing and doing", "Return against every opponent", "100.0"):
        assert text in page
    assert "<th>greediness</th>" not in page
    assert len(diagnostic_charts({"x": FOUND[2], "y": {"accuracy": {"value": 1}}})) == 1
