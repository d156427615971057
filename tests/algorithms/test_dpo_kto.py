"""DPO and KTO: by hand, against TRL's losses and gradients, over rankings and ties, cut into micro-batches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from reducing import total_loss
from torch import Tensor

from hone.algorithms.base import Credit, credited
from hone.algorithms.dpo import DPO
from hone.algorithms.kto import KTO
from hone.core.batch import Batch
from hone.core.config import build_named
from hone.core.errors import HoneError
from hone.data.rows import Example, Row, pad_examples

NAN = math.nan


def example(*answers: tuple[int, float]) -> Example:
    """Rows of one prompt token and as many answer tokens as said, each with its worth."""
    return tuple(Row((1,) * (n + 1), (False, *[True] * n), worth) for n, worth in answers)


def columns(batch: Batch, seed: int = 0) -> tuple[Batch, Tensor]:
    """Reference and old log-probs added; and the learner's fresh ones. Garbage where nothing is trained."""
    random = torch.Generator().manual_seed(seed)
    ref, old, new = (-3 * torch.rand(batch.reward.shape, generator=random) - 0.05 for _ in range(3))
    return batch.with_(ref_logprob=ref, old_logprob=old), new


def run(algorithm: DPO | KTO, batch: Batch, new: Tensor, parts: Any = None) -> tuple[float, Tensor, dict[str, float]]:
    made, _ = credited(algorithm, batch, algorithm.init_state())
    kept = torch.isfinite(batch.reward.sum(-1))
    leaf = new[kept][:, : made.tokens.shape[1]].clone().requires_grad_()
    loss, named = total_loss(algorithm, made, leaf, parts=parts)
    assert leaf.grad is not None
    slope = torch.zeros_like(new)
    slope[kept.nonzero()[:, 0], : made.tokens.shape[1]] = leaf.grad
    return loss, slope, named


def h(batch: Batch, column: Tensor, row: int) -> float:
    assert batch.ref_logprob is not None
    apart = (column - batch.ref_logprob)[row]
    return sum(float(a) for a, t in zip(apart, batch.train[row], strict=True) if bool(t))


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_dpo_gives_trl_s_loss_and_gradient(kind: Any, beta: float) -> None:
    peer = pytest.importorskip("trl_preference_peer")
    lengths = [(3, 5), (4, 1), (2, 2)]
    # the better answer stands now first, now second
    pairs = [((a, 1.0), (b, 0.0)) for a, b in lengths]
    examples = [example(*(pair if i % 2 == 0 else pair[::-1])) for i, pair in enumerate(pairs)]
    batch, new = columns(pad_examples(examples, 0))
    loss, slope, named = run(DPO(beta, kind), batch, new)
    better = torch.tensor([0, 3, 4])
    worse = torch.tensor([1, 2, 5])
    leaf = new.clone().requires_grad_()
    ref, mask = batch.need("ref_logprob")[:, 1:], batch.train[:, 1:]
    both = torch.cat([better, worse])
    theirs = peer.dpo_loss(leaf[better, 1:], leaf[worse, 1:], ref[better], ref[worse], mask[both], beta, kind)
    theirs.backward()
    assert leaf.grad is not None
    assert loss == pytest.approx(float(theirs.detach()), abs=1e-6, rel=1e-6)
    torch.testing.assert_close(slope, leaf.grad, atol=1e-5, rtol=1e-5)
    right = [h(batch, new, int(b)) > h(batch, new, int(w)) for b, w in zip(better, worse, strict=True)]
    assert named["pair_accuracy"] == pytest.approx(sum(right) / 3)


def test_dpo_of_a_ranking_and_a_tie_by_hand() -> None:
    batch, new = columns(pad_examples([example((2, -1.0), (3, -3.0), (1, -2.0)), example((2, 0.0), (2, 0.0))], 0), 4)
    loss, _, named = run(DPO(0.5, label_smoothing=0.1), batch, new)
    r = [0.5 * h(batch, new, row) for row in range(5)]

    def pair(better: int, worse: int, wrong: float) -> float:
        return -(1 - wrong) * log_sigmoid(r[better] - r[worse]) - wrong * log_sigmoid(r[worse] - r[better])

    ranking = (pair(0, 1, 0.1) + pair(0, 2, 0.1) + pair(2, 1, 0.1)) / 3
    assert loss == pytest.approx((ranking + pair(3, 4, 0.5)) / 2, rel=1e-5)
    gaps = (r[0] - r[1] + r[0] - r[2] + r[2] - r[1]) / 3
    assert named["reward_gap"] == pytest.approx((gaps + r[3] - r[4]) / 2, rel=1e-4)
    # a tie of the square loss wants equal log-ratios per token
    loss, _, _ = run(DPO(0.5, "ipo"), batch.rows(torch.tensor([3, 4])), new[3:, :3])
    assert loss == pytest.approx(((r[3] - r[4]) / 0.5 / 2) ** 2, rel=1e-4)


def thumbs(*answers: tuple[int, float]) -> list[Example]:
    """Every answer with the next one's length as its mismatched row."""
    return [
        (*example((n, worth)), *example((answers[(i + 1) % len(answers)][0], NAN)))
        for i, (n, worth) in enumerate(answers)
    ]


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_kto_gives_trl_s_loss_and_gradient(seed: int) -> None:
    peer = pytest.importorskip("trl_preference_peer")
    batch, new = columns(pad_examples(thumbs((3, 1.0), (2, 0.0), (4, 1.0), (1, 1.0), (5, 0.0)), 0), seed)
    loss, slope, named = run(KTO(0.4, 1.3, 0.7), batch, new)
    judged, odd = torch.arange(0, 10, 2), torch.arange(1, 10, 2)
    ref, old, mask = batch.need("ref_logprob")[:, 1:], batch.need("old_logprob")[:, 1:], batch.train[:, 1:]
    apart = ((old - ref) * mask)[odd].sum(-1)
    up = torch.tensor([True, False, True, True, False])
    leaf = new.clone().requires_grad_()
    theirs = peer.kto_loss(leaf[judged, 1:], ref[judged], mask[judged], up, apart, 0.4, 1.3, 0.7)
    theirs.backward()
    assert leaf.grad is not None
    assert loss == pytest.approx(float(theirs.detach()), abs=1e-6, rel=1e-6)
    torch.testing.assert_close(slope, leaf.grad, atol=1e-5, rtol=1e-5)
    z = max(float(apart.mean()), 0.0)
    right = [(h(batch, new, int(row)) > z) == bool(thumb) for row, thumb in zip(judged, up, strict=True)]
    assert named["thumb_accuracy"] == pytest.approx(sum(right) / 5)


def test_mismatched_rows_make_z_and_nothing_else() -> None:
    batch, new = columns(pad_examples(thumbs((2, 1.0), (2, 0.0)), 0))
    known = batch.with_(old_logprob=batch.need("ref_logprob") + 0.25)
    made, metrics = credited(KTO(), known, KTO().init_state())
    assert metrics["kl_baseline"] == pytest.approx(0.5)  # two tokens of .25
    assert len(made) == 2
    assert made.train.sum() == 4
    assert made.need("advantage")[made.train].tolist() == pytest.approx([0.5] * 4)
    below = KTO().advantages(batch.with_(old_logprob=batch.need("ref_logprob") - 0.25), KTO().init_state())
    assert isinstance(below, Credit)
    assert below.metrics["kl_baseline"] == 0.0  # a KL is never negative
    _, slope, _ = run(KTO(), known, new)
    assert not slope[1::2].any()


@pytest.mark.parametrize("algorithm", [DPO(), DPO(loss_type="ipo"), KTO()], ids=str)
def test_micro_batches_of_whole_units_give_the_same(algorithm: DPO | KTO) -> None:
    if isinstance(algorithm, DPO):
        batch, new = columns(pad_examples([example((n, 1.0), (5 - n, 0.0)) for n in (1, 2, 3, 4)], 0))
        cuts = [[0, 1], [2, 3], [4, 5], [6, 7]]
    else:
        batch, new = columns(pad_examples(thumbs((3, 1.0), (2, 0.0), (4, 1.0), (1, 1.0)), 0))
        cuts = [[0], [1], [2], [3]]
    whole, cut = run(algorithm, batch, new), run(algorithm, batch, new, cuts)
    assert cut[0] == pytest.approx(whole[0], rel=1e-6)
    torch.testing.assert_close(cut[1], whole[1], atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "dpo", "beta": 0.0}, "beta must be positive"),
        ({"name": "dpo", "label_smoothing": 0.5}, "below 0.5"),
        ({"name": "dpo", "label_smoothing": 0.1, "loss_type": "ipo"}, "label_smoothing has no effect"),
        ({"name": "dpo", "loss_type": "hinge"}, "hinge"),
        ({"name": "kto", "undesirable": 0.0}, "must be positive"),
    ],
)
def test_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HoneError, match=sentence):
        build_named(values, "hone.algorithms", "algorithm")
