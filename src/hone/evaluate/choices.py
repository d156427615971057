"""How probable each of a few answers is to a policy, after contexts of ids.

Dimensions: R contexts, K answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from hone.core.errors import HoneError
from hone.core.progress import Progress
from hone.data.rows import Row, pad_rows
from hone.models.policy import Policy
from hone.models.score import Scores
from hone.tabular.bandits.base import Floats

_TOKENS = 1 << 15
"""Tokens of one forward pass."""

Ids = Sequence[int]


def answer_probabilities(policy: Policy, contexts: Sequence[Ids], answers: Sequence[Ids], title: str) -> Floats:
    """[R, K] the probability of every answer after every context, given that it is one of them, at temperature 1.

    An answer's log-probability is the sum of those of its tokens. Where every answer is one token, neighbouring
    contexts of which each begins with the one before are computed in one row.

    Args:
        policy: the policy.
        contexts: ids up to the answer.
        answers: ids of every answer; none begins with another.
        title: of the progress bar.

    Raises:
        HoneError: a context with an answer is longer than the policy's own.
    """
    stem = _common(answers)
    ends = [list(answer[len(stem) :]) for answer in answers]
    contexts = [[*context, *stem] for context in contexts] if stem else contexts
    longest = max(map(len, contexts), default=0) + max(map(len, ends))
    if longest > policy.max_length:
        raise HoneError(
            "an episode is longer than the model's context",
            got=f"{longest} tokens",
            expected=f"at most {policy.max_length}",
            do="shorter episodes or fewer repeats, task.face.window, or a model with a longer context",
        )
    single = all(len(end) == 1 for end in ends)
    chains = _chains(contexts) if single else [range(r, r + 1) for r in range(len(contexts))]
    logprob = np.empty((len(contexts), len(answers)))
    with Progress(title, len(contexts)) as bar:
        for part in _parts(chains, longest * (1 if single else len(ends))):
            places = slice(part[0].start, part[-1].stop)
            if single:
                logprob[places] = _of_tokens(policy, contexts, part, [end[0] for end in ends])
            else:
                logprob[places] = _of_answers(policy, contexts[places], ends)
            bar.advance(by=places.stop - places.start)
    weight = np.exp(logprob - logprob.max(axis=1, keepdims=True))
    probability: Floats = weight / weight.sum(axis=1, keepdims=True)
    return probability


def _of_tokens(policy: Policy, contexts: Sequence[Ids], chains: Sequence[range], ends: Sequence[int]) -> Floats:
    """Log-probabilities of one-token answers: a row for every chain of contexts."""
    rows = []
    for chain in chains:
        places = {len(contexts[r]) for r in chain}
        tokens = (*contexts[chain[-1]], ends[0])  # behind the last context something has to stand in the answer's place
        rows.append(Row(tokens, tuple(t in places for t in range(len(tokens)))))
    batch = pad_rows(rows, policy.pad_id)
    ids = torch.tensor(ends).expand(*batch.tokens.shape, len(ends))
    with torch.no_grad():
        scores: Scores = policy.score(batch.with_(teacher_ids=ids).to(policy.device), needs=frozenset({"teacher"}))
    found = scores.need("teacher").cpu().numpy().astype(np.float64)
    return np.concatenate([found[b, [len(contexts[r]) for r in chain]] for b, chain in enumerate(chains)])


def _of_answers(policy: Policy, contexts: Sequence[Ids], ends: Sequence[Ids]) -> Floats:
    """Log-probabilities of longer answers: a row for every context and answer."""
    rows = [
        Row((*context, *end), (*[False] * len(context), *[True] * len(end))) for context in contexts for end in ends
    ]
    with torch.no_grad():
        scores: Scores = policy.score(pad_rows(rows, policy.pad_id).to(policy.device))
    return scores.logprob.sum(-1).reshape(len(contexts), len(ends)).cpu().numpy().astype(np.float64)


def _common(answers: Sequence[Ids]) -> list[int]:
    """What all answers begin with, so that something of each is left."""
    stem: list[int] = []
    for column in zip(*(answer[:-1] for answer in answers), strict=False):
        if len(set(column)) > 1:
            break
        stem.append(column[0])
    return stem


def _chains(contexts: Sequence[Ids]) -> list[range]:
    """Runs of neighbours of which each is longer than the one before and begins with it."""
    starts = [0] if contexts else []
    for r in range(1, len(contexts)):
        before, context = contexts[r - 1], contexts[r]
        if len(context) <= len(before) or list(context[: len(before)]) != list(before):
            starts.append(r)
    return [range(start, end) for start, end in zip(starts, [*starts[1:], len(contexts)], strict=True)]


def _parts(chains: Sequence[range], tokens: int) -> Iterator[Sequence[range]]:
    """Chains in parts of about so many tokens, where one takes ``tokens``."""
    size = max(_TOKENS // tokens, 1)
    for first in range(0, len(chains), size):
        yield chains[first : first + size]
