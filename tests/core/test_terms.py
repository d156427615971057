import pytest
import torch
from torch import Tensor

from hone.core.batch import Batch
from hone.core.terms import Credited, Fixed, Normaliser, Sequences, Sum, Term, Tokens


def batch(train: list[list[int]], episode: list[int], advantage: list[list[float]] | None = None) -> Batch:
    mask = torch.tensor(train).bool()
    rows, width = mask.shape
    zeros = torch.zeros(rows, width)
    return Batch(
        tokens=torch.zeros(rows, width, dtype=torch.int64),
        mask=torch.ones(rows, width, dtype=torch.bool),
        sampled=mask,
        train=mask,
        turn=torch.zeros(rows, width, dtype=torch.int64),
        reward=zeros,
        behaviour_logprob=zeros,
        episode=torch.tensor(episode),
        step=torch.zeros(rows, dtype=torch.int64),
        group=torch.tensor(episode),
        terminated=torch.ones(rows, dtype=torch.bool),
        bootstrap=torch.zeros(rows),
        advantage=None if advantage is None else torch.tensor(advantage),
    )


B = batch([[0, 1, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]], [7, 7, 3, 9])
VALUES = torch.tensor([[9.0, 1, 2, 3], [9, 4, 9, 9], [9, 9, 9, 9], [9, 9, 5, 6]])


@pytest.mark.parametrize(
    ("normaliser", "expected"),
    [
        (Tokens(), (1 + 2 + 3 + 4 + 5 + 6) / 6),
        # episode 7 has two rows and four tokens, episode 9 two tokens, episode 3 none: it does not count
        (Sequences(), ((1 + 2 + 3 + 4) / 4 + (5 + 6) / 2) / 2),
        (Fixed(1), (10 + 11) / 2),
        (Fixed(10), (10 + 11) / 20),
        (Sum(), 21.0),
    ],
)
def test_normalisers_by_hand(normaliser: Normaliser, expected: float) -> None:
    assert float(Term(VALUES, normaliser).reduce(normaliser.weights(B))) == pytest.approx(expected)


def test_credited_counts_only_tokens_with_credit() -> None:
    credited = batch([[0, 1, 1]], [0], [[0.0, 1.0, 0.0]])
    values = torch.tensor([[7.0, 3.0, 5.0]])
    assert float(Term(values, Credited()).reduce(Credited().weights(credited))) == 3.0


def test_ranks_share_one_denominator() -> None:
    def two_ranks(x: Tensor) -> Tensor:
        return x * 2

    assert torch.equal(Tokens().weights(B, two_ranks), Tokens().weights(B) / 2)


def test_nothing_to_train_gives_zero_with_a_graph_and_nan_off_the_mask_is_harmless() -> None:
    empty = batch([[0, 0]], [0])
    values = torch.full((1, 2), float("nan"), requires_grad=True)
    loss = Term(values, Sequences()).reduce(Sequences().weights(empty))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0.0
    assert values.grad is not None and torch.equal(values.grad, torch.zeros(1, 2))
