"""The speed benchmark's own arithmetic and manners; nothing here is slow enough to be timed."""

from __future__ import annotations

import io
import json
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.speed import harness, models
from benchmarks.speed.__main__ import SECTIONS, alone
from benchmarks.speed.channel import Channel, Stopped
from benchmarks.speed.figures import Spread, costs, ratios, risen, spread, times
from benchmarks.speed.harness import Case, Variant, Worker, WorkerError, run_case
from benchmarks.speed.page import about, fill
from benchmarks.speed.picture import ratios_of
from benchmarks.speed.plan import Plan
from benchmarks.speed.reward import even_share
from benchmarks.speed.tables import markdown, short, table, within

SLEEPER = """
import time

def run(channel, seconds, file, tokens=0, breaks=99):
    turn = 0
    while True:
        channel.gate(tokens=tokens, turn=turn)
        turn += 1
        if turn == breaks:
            raise ValueError("as asked")
        with open(file, "a") as out:
            out.write(str(tokens) + " ")
        time.sleep(seconds)
"""


def sample(seconds: float, tokens: int = 0, peak: float = 100.0, **more: Any) -> dict[str, Any]:
    return {"seconds": seconds, "cpu": seconds / 2, "tokens": tokens, "memory": peak, "peak": peak, **more}


def test_ratios_are_taken_pair_by_pair() -> None:
    """A slow second minute doubles both sides: the pairs say 4 and 5, the quotient of the medians something else."""
    assert ratios([4.0, 10.0, 99.0], [1.0, 2.0]) == Spread(4.5, 4.0, 5.0)
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def test_a_row_of_the_table() -> None:
    ready = {"memory": 60.0}
    case = {
        "name": "small",
        "facts": {"matrix_parameters": 1_000_000},
        "variants": {
            "TRL fp32": {"ready": ready, "samples": [sample(4.0, 100), sample(10.0, 100)]},
            "hone fp32": {"ready": ready, "samples": [sample(1.0, 50, peak=90), sample(2.0, 50, peak=70)]},
            "products, fp32": {"ready": ready, "samples": [sample(1.0, 9, gflops=1, gbytes=1, rows=5, device="cuda")]},
            "broken": {"error": "out of luck"},
        },
    }
    found = table({"title": "T", "peers": ["TRL fp32"], "cases": [case]}, "wall")
    assert found.head == [
        "",
        "variant",
        "seconds",
        "tokens/s",
        "peak MiB",
        "+ MiB",
        "of GEMM",
        "of bandwidth",
        "TRL fp32 ÷",
    ]
    assert found.rows[0][:4] == ["small", "TRL fp32", "7 (4–10)", "17.5 (10–25)"]
    # 37.5 tokens/s × 2 × 10⁶ of 10⁹ operations; 37.5 / 5 steps × 4 MB of 10⁹ bytes
    assert found.rows[1] == ["", "hone fp32", "1.50 (1–2)", "37.5 (25–50)", "90", "30", "8%", "3%", "4.50 (4–5) ×"]
    assert found.rows[3][2] == "failed: out of luck"
    per_token = table({"title": "T", "peers": ["TRL fp32"], "per_token": True, "cases": [case]}, "cpu")
    assert per_token.rows[1][-1] == "2.25 (2–2.50) ×"
    assert markdown(found).splitlines()[1] == "|" + "---|" * 9


def test_numbers_are_short() -> None:
    assert [short(x) for x in (0.01234, 1.234, 12.34, 123.4, 12345.6, 5.0)] == [
        "0.012", "1.23", "12.3", "123", "12,346", "5",
    ]  # fmt: skip
    assert within(Spread(2.0, 2.0, 2.0)) == "2"


def test_processor_time_is_the_other_clock() -> None:
    variant = {"ready": {"memory": 10.0}, "samples": [sample(4.0, 8), sample(2.0, 8)]}
    assert times(variant, "wall") == [4.0, 2.0]
    assert costs(variant, "cpu", per_token=True) == [0.25, 0.125]
    assert risen(variant) == 90.0


def test_the_page_is_filled_between_its_markers() -> None:
    page = "a\n<!-- speed:step -->\nold | table\n<!-- end -->\nb\n<!-- speed:grpo -->\nkept\n<!-- end -->\n"
    filled = fill(page, {"step": r"new \1"})
    assert filled == page.replace("old | table", r"new \1")
    assert fill(filled, {"step": r"new \1"}) == filled
    with pytest.raises(ValueError, match="0 places for speed:threads"):
        fill(page, {"threads": ""})


def test_what_it_was_measured_on_is_said() -> None:
    machine = {
        "processor": "P", "cores": 2, "memory_gib": 23.4, "versions": {"torch": "1"}, "peers": {"trl": "2"},
        "commit": "abc", "changed": True, "date": "today", "load": 0.25,
    }  # fmt: skip
    said = about({"machine": machine, "threads": 1, "clock": "cpu", "quick": True})
    assert said == (
        "P, 2 cores, 23 GiB; 1 thread unless a row says otherwise; processor time; hone abc with changes (torch 1) "
        "beside trl 2; today, load 0.2 at the start; the quick version."
    )
    nobody = about({"machine": machine | {"peers": {}, "changed": False}, "threads": 1, "clock": "cpu", "quick": False})
    assert "; hone abc (torch 1); today" in nobody
    assert [name for name in SECTIONS if alone(name)] == ["ppo"]


def test_the_picture_compares_equal_precisions_and_defaults() -> None:
    ready = {"memory": 1.0}
    variants = {
        "TRL fp32": {"ready": ready, "samples": [sample(6.0), sample(8.0)]},
        "TRL default (bf16, checkpointing)": {"ready": ready, "samples": [sample(99.0)]},
        "hone fp32": {"ready": ready, "samples": [sample(3.0), sample(4.0)]},
        "hone fp32, padded": {"ready": ready, "samples": [sample(0.1), sample(0.1)]},
        "hone bf16": {"ready": ready, "samples": [sample(0.1)]},
    }
    labels, series = ratios_of({"step": {"clock": "wall", "cases": [{"name": "5M", "variants": variants}]}})
    assert labels == ["update: 5M"]
    assert list(series) == ["fp32"]
    assert (series["fp32"][0].value, series["fp32"][0].low, series["fp32"][0].high) == (2.0, 2.0, 2.0)


def test_the_gate_times_what_lies_between_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    told = iter(["go\n", "step-5\n", ""])

    def readline() -> str:
        now[0] += 1000  # waiting for a turn takes no time of the work
        return next(told)

    reader, out = io.StringIO(), io.StringIO()
    monkeypatch.setattr(reader, "readline", readline)
    channel = Channel(reader, out)
    assert channel.gate() == "go"
    now[0] += 3
    with channel.uncounted():
        now[0] += 50
    now[0] += 4
    assert channel.gate(tokens=5) == "step-5"
    with pytest.raises(Stopped):
        channel.gate()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert "seconds" not in lines[0]
    assert (lines[1]["seconds"], lines[1]["tokens"]) == (7, 5)
    assert lines[0]["peak"] >= lines[0]["memory"] > 10


def test_variants_take_turns_and_a_broken_one_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "turns"

    def variant(tokens: int, **more: Any) -> Variant:
        return Variant("sleeper_of_the_tests", {"seconds": 0.01, "file": str(file), "tokens": tokens, **more})

    (tmp_path / "sleeper_of_the_tests.py").write_text(SLEEPER)
    monkeypatch.setattr(harness, "_command", lambda python, job: [python, "-c", STARTER, str(tmp_path), job])
    case = Case("c", {"a": variant(1), "b": variant(2), "c": variant(3, breaks=2)}, rounds=3, warmup=1)
    found = run_case(case)["variants"]
    assert file.read_text().split() == ["1", "2", "3", "1", "2", "1", "2", "1", "2"]
    assert [len(found[label]["samples"]) for label in "ab"] == [3, 3]
    assert "ValueError: as asked" in found["c"]["error"]
    assert 0.01 <= statistics.median(s["seconds"] for s in found["a"]["samples"]) < 0.5
    both = Case("c", {"two": Variant(**{**vars(variant(1)), "beside": (variant(4),)})}, rounds=1, warmup=0)
    (sample_of_two,) = run_case(both)["variants"]["two"]["samples"]
    assert sample_of_two["tokens"] == 5
    assert len(sample_of_two["each"]) == 2


STARTER = """
import sys
import benchmarks.speed.jobs as package
package.__path__.append(sys.argv.pop(1))
from benchmarks.speed.worker import main
main()
"""


def test_a_worker_that_cannot_start_says_why() -> None:
    worker = Worker(Variant("no_such_job", {}))
    with pytest.raises(WorkerError, match="no_such_job"):
        worker.ready()
    worker.stop()


def test_lengths_are_geometric_and_cut() -> None:
    lengths = models.make_lengths(20_000, models.MEAN_LENGTH, 64)
    assert (min(lengths), max(lengths)) == (1, 64)
    # Σ_{k<64} (1 − p)^k = (1 − (1 − p)^64) / p
    p = 1 / models.MEAN_LENGTH
    assert statistics.fmean(lengths) == pytest.approx((1 - (1 - p) ** 64) / p, rel=0.02)


def test_the_model_ends_as_often_as_it_should_whatever_the_vocabulary(tmp_path: Path) -> None:
    import torch

    from hone.models.policy import load

    for vocabulary in (100, 2000):
        facts = models.make_model(tmp_path / str(vocabulary), "0.3M", vocabulary)
        policy = load(str(tmp_path / str(vocabulary)))
        ids = torch.randint(models.FIRST, vocabulary, (8, 40), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            end = policy.model(ids).logits.softmax(-1)[..., models.END]
        assert float(end.mean()) == pytest.approx(1 / models.MEAN_LENGTH, rel=0.2)
        assert float(end.std()) < 0.5 * float(end.mean())
        assert facts["parameters"] == sum(p.numel() for p in policy.model.parameters())
        text = models.words([5, 17, 99])
        assert policy.tokenizer(text, add_special_tokens=False)["input_ids"] == [5, 17, 99]


def test_rewards_differ_within_every_group_of_given_rollouts(tmp_path: Path) -> None:
    rows = json.loads(Path(Plan(tmp_path).rollouts("r", 3, 8, (4, 6), 10, 20)).read_text())
    groups = {g: {row["reward"] for row in rows if row["group"] == g} for g in range(3)}
    assert all(len(rewards) > 1 for rewards in groups.values())
    assert all(row["prompt"] == rows[8 * row["group"]]["prompt"] for row in rows)
    assert even_share([], ["t2 t3 t4 t5 t8", "", "words"]) == [0.6, 0.0, 0.0]
