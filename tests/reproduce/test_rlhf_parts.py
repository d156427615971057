"""What the RLHF reproductions compute themselves: wins, choices, ratings, KL, perplexity, by hand or by a slow way."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policies import tiny

from hone.core.types import Completion, Scored, Trajectory, Turn
from hone.evaluate.estimates import NOTHING
from hone.models.chat import Renderer
from hone.reproduce import overoptimisation, rlhf
from hone.reproduce._rlhf import Answers, arena, chosen, judged, perplexity, pretraining_text
from hone.reproduce.base import Reproduction


def made(texts: str, gold: list[float], proxy: list[float] | None = None, prompts: str = "") -> Answers:
    """One letter is one answer; by default every answer has its own prompt."""
    asked = list(prompts or "abcdefgh"[: len(texts)])
    return Answers(asked, list(texts), gold, proxy or gold, NOTHING, 2.0)


def test_a_tie_is_half_a_win_and_equal_texts_are_one() -> None:
    ours, first = made("xxyz", [1.0, 2.0, 3.0, 0.0]), made("uvwz", [0.0, 2.0, 5.0, 0.0])
    assert ours.wins(first).value == pytest.approx((1 + 0.5 + 0 + 0.5) / 4)
    assert (ours.distinct, first.distinct) == (3, 4)
    found = rlhf.against(ours, first)
    assert found["distinct_of_sft"] == 0.75
    assert found["win_rate"] == 0.5
    assert found["win_rate_interval"]["low"] < 0.5 < found["win_rate_interval"]["high"]
    assert found["gold"] == 1.5
    assert found["distinct"] == 0.75


def test_the_best_by_the_proxy_is_chosen_and_gold_says_what_it_is_worth() -> None:
    pool = made("uvwxyz", [5.0, 1.0, 9.0, 0.0, 2.0, 4.0], [0.1, 0.2, 0.3, 3.0, 1.0, 2.0], prompts="aaabbb")
    best = chosen(pool, 2)
    assert (list(best.prompts), list(best.texts), list(best.gold)) == (["a", "b"], ["v", "x"], [1.0, 0.0])
    assert best.kl.value == pytest.approx(math.log(2) - 0.5)
    one, two, three = overoptimisation.best_of(pool, (1, 2, 3))
    assert one["gold"] == pytest.approx((5 + 1 + 9 + 0 + 2 + 4) / 6)
    # of the pairs: a: v, w, w; b: x, x, z
    assert two["gold"] == pytest.approx(((1 + 9 + 9) / 3 + (0 + 0 + 4) / 3) / 2)
    assert three == pytest.approx({"gold": 4.5, "proxy": (0.3 + 3.0) / 2})


def test_a_change_is_taken_prompt_by_prompt() -> None:
    first, last = made("uv", [1.0, -1.0], [0.0, 0.0]), made("xy", [0.0, 1.0], [3.0, 2.0])
    found = overoptimisation.compared(last, first)
    assert (found["gold_change"], found["proxy_change"]) == (0.5, 2.5)
    assert (found["gold_change_interval"]["low"], found["gold_change_interval"]["high"]) == (-1.0, 2.0)


def test_blocks_are_means_and_a_rest_is_dropped() -> None:
    assert overoptimisation.blocks([1.0, 3.0, 5.0, 9.0, 100.0], 2) == [2.0, 7.0]


def test_the_arena_rates_by_the_noisy_person_and_equal_texts_tie() -> None:
    prompts = [f"soup with bread, {aspect}?" for aspect in ("price", "taste", "room", "service")] * 30

    def player(text: str) -> Answers:
        return Answers(prompts, [text] * len(prompts), [], [], NOTHING, 0.0)

    good, bad = player("price superb, taste superb."), player("price awful, taste awful.")
    decent = player("price fresh, taste fresh.")  # wins now and then: where nobody ever does, draws tell nothing
    rated = arena({"good": good, "bad": bad, "twin": good, "decent": decent}, seed=0)
    assert rated["good"]["rating"] > 1 > -1 > rated["bad"]["rating"]
    assert rated["good"]["low"] < rated["good"]["rating"] < rated["good"]["high"]
    assert rated["good"]["rating"] == pytest.approx(rated["twin"]["rating"], abs=0.8)
    same = arena({"one": good, "two": good}, seed=0)
    assert same["one"]["rating"] == pytest.approx(0, abs=1e-9)


def test_the_pretraining_text_is_of_three_kinds_and_true() -> None:
    lines = pretraining_text(90, seed=3)
    assert lines == pretraining_text(90, seed=3) != pretraining_text(90, seed=4)
    assert not set(lines) <= set(pretraining_text(90, 3, "held out"))
    kinds = Counter("sum" if "=" in line else "menu" if " with " in line else "review" for line in lines)
    assert set(kinds.values()) == {30}
    for line in lines:
        if "=" in line:
            left, _, right = line.partition("=")
            assert sum(map(int, left.split("+"))) == int(right)
        assert "?" not in line  # no question that the reward model will judge answers to


def test_perplexity_is_that_of_a_plain_loop() -> None:
    policy, lines = tiny(), ["1+2=3", "45*6=270"]
    total, count = 0.0, 0
    for line in lines:
        ids = [*policy.tokenizer(line)["input_ids"], policy.tokenizer.eos_token_id]
        with torch.no_grad():
            logprob = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        total -= sum(float(logprob[t - 1, ids[t]]) for t in range(1, len(ids)))
        count += len(ids) - 1
    assert perplexity(policy, lines) == pytest.approx(math.exp(total / count), rel=1e-5)


def test_the_kl_of_answers_is_the_mean_of_their_summed_log_ratios() -> None:
    policy, reference = tiny(seed=0), tiny(seed=1)
    rows = [([3, 4], [5, 6, 1]), ([7], [8, 1])]

    def logprobs(which: Any, context: list[int], answer: list[int]) -> list[float]:
        with torch.no_grad():
            table = which.model(torch.tensor([context + answer])).logits[0].log_softmax(-1)
        return [float(table[len(context) + i - 1, token]) for i, token in enumerate(answer)]

    found, apart = [], []
    for number, (context, answer) in enumerate(rows):
        own = logprobs(policy, context, answer)
        apart.append(sum(own) - sum(logprobs(reference, context, answer)))
        action = Completion(tuple(answer), tuple(own), "end")
        turn = Turn(tuple(context), action, Renderer(policy.tokenizer).decode(answer), Scored(0.5))
        found.append(Trajectory(number, number, 0, (turn,), prompt=str(number), metrics={"gold": -1.0}))
    answers = judged(found, policy, reference)
    assert answers.kl.value == pytest.approx(np.mean(apart), abs=1e-4) != 0
    assert (answers.gold, answers.proxy, answers.length) == ([-1.0, -1.0], [0.5, 0.5], 2.5)
    assert dataclasses.replace(answers, kl=NOTHING).plain()["distinct"] == 1.0


def holds(found: Reproduction) -> dict[str, bool]:
    return {check.name: check.holds for check in found.checks}


def overoptimised(seed: int, free: float) -> dict[str, Any]:
    """What a seed would give whose gold changes by ``free`` without a KL."""
    arms = {
        overoptimisation._name(beta): {
            "gold_change": 1.0 if beta else free, "proxy_change": 2.0, "kl": 4.0, "distinct": 0.5,
        }
        for beta in overoptimisation.BETAS
    }  # fmt: skip
    line = [0.0, 4.0, 9.0 + seed]
    steps = {name: {"kl": line, "gold": line, "proxy": line, "step": [3.0, 6.0, 9.0]} for name in arms}
    best = [{"gold": 1.0, "proxy": 2.0} for _ in overoptimisation.SIZES]
    return {"arms": arms, "steps": steps, "best_of": best, "reward_model": {"accuracy": {"value": 0.7}}}


def test_gold_below_sft_without_a_kl_and_above_with_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(overoptimisation, "_one", lambda out, seed: overoptimised(seed, -2.0 + seed))
    found = overoptimisation.reproduce(tmp_path, range(2))
    assert all(holds(found).values())
    assert found.summary["arms"]["PPO without KL"]["gold_change"] == -1.5
    assert found.summary["best_of_n"]["4"]["kl"] == pytest.approx(math.log(4) - 0.75)
    assert len(found.pictures) == 4
    line = overoptimisation._against_root("PPO without KL", [overoptimised(s, 0) for s in (0, 1)], "gold")
    assert list(line.x) == pytest.approx([0.0, 2.0, math.sqrt(9.5)])
    assert list(line.y) == pytest.approx([0.0, 4.0, 9.5])
    monkeypatch.setattr(overoptimisation, "_one", lambda out, seed: overoptimised(seed, 0.1))
    missed = holds(overoptimisation.reproduce(tmp_path, range(1)))
    assert [name for name, held in missed.items() if not held] == ["without KL: gold, less SFT's"]


def trained(win: float, low: float, distinct: float, ptx: float, last: float = 0.5) -> dict[str, Any]:
    """What a seed would give: MAIN wins ``win``, DIVERSE the rest; ``last`` is the rating after the last round."""
    plain = {"kl": 1.0, "gold": 1.0, "win_rate": 0.7, "distinct_of_sft": distinct, "perplexity_of_sft": 1.5}
    plain["win_rate_interval"] = {"low": low, "high": 0.9, "count": 500}  # type: ignore[assignment]
    arms = {rlhf.MAIN: plain | {"win_rate": win}, rlhf.DIVERSE: plain, rlhf.PTX: plain | {"perplexity_of_sft": ptx}}
    line = {"step": [1.0, 2.0], "gold": [0.0, 1.0], "kl": [0.0, 1.0], "proxy": [0.0, 1.0]}
    rated = {name: {"rating": float(rating)} for name, rating in zip(rlhf.LADDER, (-1.0, 0.0, 0.5, last), strict=True)}
    return {
        "sft": {}, "arms": arms, "steps": dict.fromkeys(arms, line), "arena": rated,
        "reward_model": {"share": 0.75, "ceiling": 0.8},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seed", "missed"),
    [
        (trained(0.75, 0.51, 0.7, 1.05), set()),
        (trained(0.74, 0.51, 0.7, 1.05), {"PPO with KL: gold win rate against SFT"}),
        (trained(0.80, 0.49, 0.7, 1.05), {f"{rlhf.DIVERSE}: lower end of its interval, least of the seeds"}),
        (trained(0.80, 0.51, 0.6, 1.05), {f"{rlhf.DIVERSE}: distinct answers ÷ SFT's"}),
        (trained(0.80, 0.51, 0.7, 1.06), {"PPO-ptx: perplexity of pretraining text ÷ SFT's"}),
        (trained(0.80, 0.51, 0.7, 1.05, last=0.4), {"rounds: least rise of the rating from one to the next"}),
    ],
)
def test_what_rlhf_must_show(
    seed: dict[str, Any], missed: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rlhf, "_one", lambda out, number: seed)
    found = rlhf.reproduce(tmp_path, range(1))
    assert {name for name, held in holds(found).items() if not held} == missed
    assert found.summary["gold_win_rate_vs_sft"] == seed["arms"][rlhf.MAIN]["win_rate"]
