"""Charts: numbers as text, smoothing and label spacing by hand, SVG that is stable and stays in its page."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from hone.evaluate.estimates import NOTHING, Estimate, t_mean
from hone.report.charts import Series, bars, curve, figure_to_svg, over_seeds, save_png, stacked
from hone.report.style import INK, PALETTE, number, running_mean, spread


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.03124, "0.0312"), (1.0, "1"), (8470.4, "8470"), (12500.0, "12.5k"), (3e6, "3M"), (2e-5, "2e−5"),
     (-0.5, "−0.5"), (float("nan"), "NaN"), (float("-inf"), "−∞"), (1.5e9, "1.5G")],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_running_mean_by_hand() -> None:
    y = np.array([1.0, 2.0, np.nan, 4.0, 9.0])
    np.testing.assert_allclose(running_mean(y, 3), [1.5, 1.5, np.nan, 6.5, 6.5])


def test_labels_keep_their_distance_and_stay_inside() -> None:
    assert spread([0.2, 0.25, 0.9], 0.1) == pytest.approx([0.2, 0.3, 0.9])
    assert spread([0.95, 0.97, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    assert spread([], 0.1) == []


def test_bands_over_seeds_are_students_intervals() -> None:
    line = over_seeds("a", [1, 2], [[1.0, 5.0], [2.0, float("nan")], [3.0, 7.0]])
    first, second = t_mean([1.0, 2.0, 3.0]), t_mean([5.0, 7.0])
    assert line.y == [2.0, 6.0]
    assert line.low == [first.low, second.low]
    assert line.high == [first.high, second.high]


def test_curve_labels_each_line_with_its_last_value() -> None:
    figure = curve(
        [Series("train", [1, 2, 3], [0.1, 0.2, 0.42]), Series("test", [1, 3], [0.1, float("nan")])],
        title="Accuracy", unit="share of samples",
    )  # fmt: skip
    svg = figure_to_svg(figure, "x")
    for text in ("train  0.42", "test  0.1", "Accuracy", "share of samples", "step"):
        assert f">{text}<" in svg


def test_what_cannot_be_drawn_leaves_a_gap() -> None:
    nothing = [float("nan"), float("inf"), float("nan")]
    svg = figure_to_svg(curve([Series("a", [1, 2, 3], nothing)], title="NaN"), "a")
    assert ">NaN<" in svg
    log = curve([Series("a", [1, 2, 3], [0.0, 1e-3, 1e-1]), Series("b", [], [])], title="Log", log=True)
    assert "a  0.1" in figure_to_svg(log, "b")


def test_bars_print_their_values_and_skip_what_is_missing() -> None:
    series = {"before": [Estimate(0.25, 0.2, 0.31, 9), NOTHING], "after": [Estimate(0.9, 0.8, 0.95, 9)] * 2}
    svg = figure_to_svg(bars(["$1 & <b>", "漢字"], series, title="A", percent=True), "bars")
    assert svg.count(">25 %<") == 2  # the bar and the tick
    assert svg.count(">90 %<") == 2
    assert "$1 &amp; &lt;b&gt;" in svg
    assert "漢字" in svg


def test_a_share_of_something_else_may_pass_100_percent_and_still_has_its_value() -> None:
    series = {"distinct": [Estimate(1.02, 0.9, 1.41, 3), Estimate(0.95, 0.7, 1.2, 3)]}
    svg = figure_to_svg(bars(["a", "b"], series, title="A", percent=True), "bars")
    assert ">102 %<" in svg
    assert ">95 %<" in svg


def test_stacked_labels_are_means() -> None:
    figure = stacked([1, 2], {"rollout": [1.0, 3.0], "learn": [0.5, float("nan")]}, title="Time", unit="s")
    svg = figure_to_svg(figure, "time")
    assert "rollout  2" in svg
    assert "learn  0.25" in svg


def test_svg_is_stable_themed_and_has_its_own_ids() -> None:
    def make(name: str) -> str:
        return figure_to_svg(curve([Series("a", [1, 2], [0.0, 1.0])], title="T", unit="u"), name)

    first, again, other = make("one"), make("one"), make("an other!")
    assert first == again
    assert first.startswith("<svg")
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (first, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, known in zip((first, other), ids, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', svg)) <= known
    assert f"var(--c0, {PALETTE[0]})" in first
    assert f"var(--ink, {INK})" in first
    assert not re.search(r": #(0072b2|1b1f27|626b78|dfe3e8)", first)


def test_nothing_global_changes(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save_png(curve([Series("a", [1, 2], [0.0, 1.0])], title="T"), tmp_path / "a.png", dpi=50)
    assert dict(mpl.rcParams) == before
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([14.0, 20.0, 31.0], ["15", "20", "25", "30"]),
        ([14.0, 60.0, 130.0], ["20", "50", "100"]),
        ([0.3, 4.0, 45.0], ["0.5", "1", "2", "5", "10", "20", "50"]),
        ([1e-8, 1.0], ["1e−8", "1e−6", "0.0001", "0.01", "1"]),
    ],
)
def test_a_logarithmic_axis_has_several_labels_over_any_range(values: list[float], labels: list[str]) -> None:
    figure = curve([Series("a", list(range(len(values))), values)], title="t", log=True)
    figure.draw_without_rendering()
    axis = figure.axes[0].yaxis
    low, high = figure.axes[0].get_ylim()
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    shown = sorted((t.get_loc(), t.label1.get_text()) for t in ticks if low <= t.get_loc() <= high)
    assert [text for _, text in shown if text] == labels
