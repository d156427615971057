"""The report of runs of all kinds: what stands in it, and what must never be markup or leave the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hone.core.errors import HoneError
from hone.report.page import write_report

CONFIG = '[algorithm]\nname = "grpo"\n[task]\nname = "addition"\n[run]\nsteps = 50\nseed = 3\n# <b>bold</b>\n'


class _Page(HTMLParser):
    """The page as a browser sees it: visible text, element names and every address."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[str] = []
        self.addresses: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            if name.rpartition(":")[2] in ("src", "href", "srcset", "action", "data"):
                self.addresses.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(run: Path) -> _Page:
    assert write_report(run) == run / "report.html"
    return _Page(run / "report.html")


def _run(path: Path, lines: list[dict[str, Any]], config: str = CONFIG, tail: str = "") -> Path:
    path.mkdir()
    (path / "config.toml").write_text(config)
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return path


def _rollout(sample: int, reward: float | None, pieces: list[str], advantage: float, **more: Any) -> dict[str, Any]:
    turn = {
        "observation": [1],
        "tokens": list(range(len(pieces))),
        "pieces": pieces,
        "logprobs": [-0.6931472] * len(pieces),
        "advantages": [advantage] * len(pieces),
        "text": "".join(pieces),
        "stop": "end",
        "reward": reward,
        "criteria": {"correct": reward},
        "restart": False,
    }
    common = {"step": 10, "episode": 41, "group": 0, "sample": sample, "prompt": "What is 1<2 & 3?"}
    return {**common, "reward": reward, "failed": None, "turns": [turn], "metrics": {}, **more}


def _write_rollouts(run: Path, rollouts: list[dict[str, Any]], tail: str = "") -> None:
    (run / "rollouts").mkdir()
    text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rollouts)
    (run / "rollouts" / "step-000010.jsonl").write_text(text + tail)


def test_an_online_run(tmp_path: Path) -> None:
    seconds = {"seconds_rollout": 2.0, "seconds_learn": 1.0, "seconds_step": 3.5}
    same = {"entropy": 1.5, "tokens": 1000, "criterion/format": 0.75, "environment/carries": 2.0, **seconds}
    lines = [{"step": s, "reward": s / 10, **same} for s in range(1, 11)]
    page = _page(_run(tmp_path / "my-run", lines))
    assert "Mean reward went from 0.1 to 1." in page.text
    assert "not finished, step 10 of 50" in page.text
    for text in (
        "my-run",
        "grpo",
        "addition",
        "10k",
        "35 s",
        "Entropy",
        "nats per token",
        "rollout  2",
        "other  0.5",
    ):
        assert text in page.text
    assert "Reward by criterion" in page.text
    assert "environment/carries" in page.text
    assert "KL to the reference" not in page.text


def test_before_and_after(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", [{"step": 1, "reward": 0.5}])
    (run / "evals").mkdir()
    for name, value in (("after", 0.9), ("before", 0.25)):
        accuracy = {"value": value, "low": value - 0.05, "high": value + 0.05, "count": 64}
        strata = {"one <carry>": {"accuracy": accuracy}}
        evaluation = {"questions": 64, "samples": 512, "failures": 0, "accuracy": accuracy, "greedy": None,
                      "pass_at": {"1": accuracy, "8": accuracy}, "maj_at": {}, "strata": strata}  # fmt: skip
        (run / "evals" / f"{name}.json").write_text(json.dumps(evaluation))
    (run / "model").mkdir()
    page = _page(run)
    assert "Held-out accuracy went from 25.0 % (before) to 90.0 % (after) on 64 questions." in page.text
    assert "finished, step 1 of 50" in page.text
    assert "20.0 to 30.0" in page.text
    assert "+65.0 points" in page.text
    assert "pass@8" in page.text
    assert "pass@1" not in page.text
    assert "Greedy" not in page.text
    assert "one <carry>" in page.text
    (run / "summary.json").write_text('{"headline": "It <works>."}')
    assert "It <works>." in _page(run).text


def test_model_text_is_text_and_the_page_stands_alone(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", [{"step": 10, "reward": 0.5, "criterion/<i>": 1.0}])
    evil = ["<script>", "alert(1)", "</script>", "<img src=http://x.invalid/a.png>", "\"'><b>"]
    _write_rollouts(run, [_rollout(0, 1.0, evil, 0.7), _rollout(1, 0.0, ["no", "\u2028", ""], -0.7)])
    page = _page(run)
    assert "<script>" in page.text
    assert "<img src=http://x.invalid/a.png>" in page.text
    assert "What is 1<2 & 3?" in page.text
    assert "# <b>bold</b>" in page.text
    assert not {"script", "img", "link", "iframe"} & set(page.elements)
    assert all(address.startswith("#") for address in page.addresses)
    for fetched in ("url(http", "@import", "url(//"):
        assert fetched not in page.source


def test_rollouts_show_credit_rewards_and_failures(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", [{"step": 10, "reward": 0.5}])
    good, bad = _rollout(0, 1.0, ["4", "2"], 1.5), _rollout(1, 0.0, ["4", "3"], -0.375)
    failed = _rollout(2, None, ["?"], 0.0, failed="timeout: no <verdict>")
    _write_rollouts(run, [bad, failed, good])
    page = _page(run)
    # the strongest credit has opacity 0.6; a quarter of it has 0.6 * sqrt(1/4)
    assert page.source.count('class="p" style="--a:0.60"') == 2
    assert page.source.count('class="n" style="--a:0.30"') == 2
    assert 'title="id 1, probability 0.5, advantage +1.5">2<' in page.source
    assert page.source.index("advantage +1.5") < page.source.index("advantage −0.375")
    for text in (
        "reward 1",
        "correct 1",
        "2 tokens, end",
        "grader failed",
        "timeout: no <verdict>",
        "Question 41",
    ):
        assert text in page.text
    assert "no signal" not in page.text


def test_turns_and_long_completions(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", [])
    first, second = (_rollout(0, r, [f"w{i} " for i in range(n)], 0.5)["turns"][0] for r, n in ((0.0, 3), (1.0, 1000)))
    _write_rollouts(
        run, [_rollout(0, 1.0, [], 0.0, turns=[first, {**second, "observation_text": "Wrong, try again."}])]
    )
    page = _page(run)
    for text in (
        "turn 1",
        "turn 2",
        "Wrong, try again.",
        "1000 tokens, end",
        "… 600 tokens …",
        "w299 ",
        "w900 ",
    ):
        assert text in page.text
    assert "w300 " not in page.text
    assert "no signal: all rewards are equal" in page.text


def test_a_cut_last_line_is_ignored_and_a_broken_one_is_counted(tmp_path: Path) -> None:
    run = _run(tmp_path / "cut", [{"step": 1, "reward": 0.25}, {"step": 2, "reward": 0.5}], tail='{"step": 3, "rewa')
    _write_rollouts(run, [_rollout(0, 1.0, ["yes"], 0.0)], tail='{"step": 10, "ep')
    page = _page(run)
    assert "Mean reward went from 0.25 to 0.5." in page.text
    assert "could not be read" not in page.text
    with (run / "metrics.jsonl").open("a") as file:
        file.write('\n{"step": 4, "reward": 0.75}\n')
    page = _page(run)
    assert "Mean reward went from 0.25 to 0.75." in page.text
    assert "1 lines or files of this run could not be read" in page.text


def test_metrics_that_are_not_finite(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"step": 1, "loss": float("nan")},
        {"step": 2, "loss": None},
        {"step": 3, "loss": 2.0},
    ]
    page = _page(_run(tmp_path / "nan", [*lines, {"step": 4, "loss": float("inf")}, {"step": 5, "loss": 1.0}]))
    assert "3 of 5 values are not finite" in page.text
    assert "Training loss went from 2 to 1." in page.text


def test_a_supervised_run(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"step": s, "loss": 3.0 - 0.01 * s, "lr": 1e-3} for s in range(1, 101)]
    lines[49]["validation_loss"], lines[99]["validation_loss"] = 2.5, 2.0
    page = _page(_run(tmp_path / "sft", lines))
    assert "Validation loss went from 2.5 to 2." in page.text
    for text in ("training  ", "validation  2", "Perplexity", "7.39"):  # exp(2) = 7.389
        assert text in page.text
    assert "Rollouts" not in page.text


def test_rounds_with_an_arena(tmp_path: Path) -> None:
    config = '[rounds]\nname = "rlhf"\nrounds = 3\n[run]\nseed = 3\n'
    lines = [{"step": n, "answers/gold": n / 2, "policy/kl_ref": 0.1 * n, "seconds_step": 4.0} for n in (1, 2)]
    run = _run(tmp_path / "run", lines, config)
    (run / "evals").mkdir()
    standings = [
        {"round": n, "name": f"run@round-{n}", "rating": {"value": 900.0 + 90 * n, "low": 850.0, "high": 1150.0}}
        for n in range(3)
    ]
    (run / "evals" / "arena.json").write_text(json.dumps({"headline": "It rose.", "standings": standings}))
    page = _page(run)
    for text in (
        "not finished, round 2 of 3",
        "It rose.",
        "Strength",
        "1080",
        "Stage answers",
        "Gold",
        "Stage policy",
    ):
        assert text in page.text, text
    assert "Other measurements" not in page.text
    assert page.text.count("round") > 4
    assert ">step<" not in page.source


def test_runs_that_hardly_began(tmp_path: Path) -> None:
    run = tmp_path / "begun"
    run.mkdir()
    (run / "config.toml").write_text("[run]\nsteps = 50\nthis is cut")
    page = _page(run)
    assert "Nothing has been measured yet." in page.text
    assert "this is cut" in page.text
    (run / "metrics.jsonl").touch()
    assert "not finished, step 0" in _page(run).text


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HoneError, match="no such run"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(HoneError, match=r"not a run.*an empty directory"):
        write_report(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(HoneError, match=r"notes\.txt"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
