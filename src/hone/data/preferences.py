"""What people said → examples: the answers to a prompt as rows of tokens, each with what it is worth.

Only the order or the size of these numbers means anything: of a comparison 1 and 0 (or the margin and 0), of a tie
twice 0, of a ranking minus the rank, of a rating its value. Just the last token of a row is marked for training: that
is where a reward model reads its score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal, Protocol

from hone.core.errors import HoneError
from hone.core.feedback import (
    Answer,
    Comparison,
    Demonstration,
    Label,
    Ranking,
    Rating,
    Skip,
    Text,
    answer_text,
    canonical,
    messages,
    same_text,
)
from hone.core.seeding import key
from hone.data.feedback.layouts import turns_of
from hone.data.rows import Encoder, Example, Row
from hone.functional.scalar_reward import gain_and_bias, scalar_rewards

Kind = Literal["pairs", "thumbs", "scores"]
"""What an algorithm learns from."""

_BARELY = 1e-6


class AnswerEncoder(Protocol):
    """What encodes an answer to a prompt; :class:`hone.models.reward.RewardModel` does."""

    def encode(self, prompt: Text, answer: Text) -> list[int]:
        """The ids of prompt and answer with an end token."""


def prompt_content(prompt: Text) -> str:
    """What two prompts must share to be the same for a split: the text, of a conversation its first user message.

    Data sets of dialogues hold many continuations of one conversation, which must not lie on both sides, whether they
    are messages or text as HH-RLHF writes it. Case and white space do not count.
    """
    messages_ = turns_of(prompt) if isinstance(prompt, str) else prompt
    text = next((str(m["content"]) for m in messages_ or () if m["role"] == "user"), canonical(prompt))
    return " ".join(text.casefold().split())


def split_labels(labels: Iterable[Label], held_out: float) -> tuple[list[Label], list[Label]]:
    """Labels to train on and labels held out, by the content of the prompt: no prompt is on both sides."""
    sides: tuple[list[Label], list[Label]] = ([], [])
    for label in labels:
        sides[key("feedback", prompt_content(label.prompt)) < held_out * 2**64].append(label)
    return sides


def score_comparisons(ratings: Iterable[Rating], min_gap: float = 0.0, max_pairs: int = 0) -> list[Comparison]:
    """(higher, lower) of every two answers to a prompt that one annotator rated on one scale, and not alike.

    The margin of a pair is the difference. So scored text makes pairs to pretrain a preference model on (Askell et al.,
    arXiv 2112.00861); answers that read the same make none. A thumb is never compared with a score, nor one person's
    numbers with another's: nobody said that 3 means the same to both. Ratings without an annotator are one scale.

    Args:
        ratings: of any number of prompts.
        min_gap: the least difference of a pair.
        max_pairs: most pairs of one prompt, drawn by a key made of their texts; 0 is all K(K−1)/2.
    """
    scales: dict[tuple[str, bool], list[Rating]] = {}
    by_prompt: dict[str, list[Comparison]] = {}
    for rating in ratings:
        scales.setdefault((rating.annotator, rating.thumb is None), []).append(rating)
    for scale in scales.values():
        for prompt, group in _by_prompt(scale).items():
            for first, second in combinations(group, 2):
                gap = first.value - second.value
                if gap and abs(gap) >= min_gap and not same_text(first.answer.text, second.answer.text):
                    better, worse = (first, second) if gap > 0 else (second, first)
                    pair = Comparison(
                        better.prompt, better.answer, worse.answer, annotator=better.annotator, margin=abs(gap)
                    )
                    by_prompt.setdefault(prompt, []).append(pair)
    return [pair for pairs in by_prompt.values() for pair in _drawn(pairs, max_pairs)]


def pairs_of(labels: Iterable[Label], min_gap: float = 0.0, max_pairs: int = 0) -> list[Comparison | Ranking]:
    """Everything among labels that says which of two answers is better: comparisons, rankings, ratings in pairs."""
    known = list(labels)
    judged: list[Comparison | Ranking] = [label for label in known if isinstance(label, Comparison | Ranking)]
    return judged + score_comparisons([label for label in known if isinstance(label, Rating)], min_gap, max_pairs)


def scores_of(labels: Iterable[Label]) -> list[Rating]:
    """The scores among labels; where there is none, scores computed from the comparisons (normalised)."""
    known = list(labels)
    given = [label for label in known if isinstance(label, Rating) and label.score is not None]
    if given:
        return given
    comparisons = [c for label in known if isinstance(label, Ranking) for c in label.comparisons()]
    return scalar_rewards([*comparisons, *(label for label in known if isinstance(label, Comparison))])


def standardise(train: Sequence[Rating], held_out: Sequence[Rating]) -> tuple[list[Rating], list[Rating]]:
    """Both with scores moved and stretched so that those to train on have mean 0 and deviation 1."""
    gain, bias = gain_and_bias([rating.value for rating in train])

    def moved(ratings: Sequence[Rating]) -> list[Rating]:
        return [dataclasses.replace(rating, thumb=None, score=gain * rating.value + bias) for rating in ratings]

    return moved(train), moved(held_out)


def answers_of(label: Label) -> list[Text]:
    """The texts of the answers a label speaks of."""
    if isinstance(label, Comparison):
        return [label.chosen.text, label.rejected.text]
    if isinstance(label, Ranking | Skip):
        return [answer.text for answer in label.answers]
    assert isinstance(label, Rating | Demonstration)
    return [label.answer.text]


def fitting(encoder: AnswerEncoder, labels: Iterable[Label], max_length: int) -> list[Label]:
    """The labels none of whose answers makes a row longer than ``max_length``, as :func:`encode_labels` takes them."""
    return [
        label
        for label in labels
        if all(len(encoder.encode(label.prompt, text)) <= max_length for text in answers_of(label))
    ]


def encode_labels(
    encoder: AnswerEncoder, labels: Iterable[Comparison | Ranking | Rating], max_length: int
) -> tuple[list[Example], int]:
    """One example per comparison or ranking, and one per prompt for ratings.

    Args:
        encoder: of the model that is trained.
        labels: what people said.
        max_length: an example with a longer row is left out whole: a pair is never split.

    Returns:
        The examples, and how many were left out.
    """
    judged = worths_of(labels)
    examples = []
    for prompt, answers in judged:
        rows = tuple(_row(encoder.encode(prompt, answer.text), worth) for answer, worth in answers)
        if max(len(row.tokens) for row in rows) <= max_length:
            examples.append(rows)
    return examples, len(judged) - len(examples)


def worths_of(labels: Iterable[Comparison | Ranking | Rating]) -> list[tuple[Text, list[tuple[Answer, float]]]]:
    """Prompt and answers with their worths, of every comparison and ranking, and of every prompt with ratings."""
    known = list(labels)
    judged = [_worths(label) for label in known if not isinstance(label, Rating)]
    for group in _by_prompt(label for label in known if isinstance(label, Rating)).values():
        judged.append((group[0].prompt, [(rating.answer, rating.value) for rating in group]))
    return judged


def encode_answers(
    encoder: Encoder, labels: Iterable[Comparison | Ranking | Rating], max_length: int
) -> tuple[list[Example], int]:
    """As :func:`encode_labels`, for a policy: all tokens of an answer, its end token included, are marked for training.

    Args:
        encoder: renders prompts and answers as a rollout would.
        labels: what people said.
        max_length: an example with a longer row is left out whole.
    """
    judged = worths_of(labels)
    found = [tuple(_answer_row(encoder, prompt, a.text, worth) for a, worth in answers) for prompt, answers in judged]
    return _short(found, max_length), sum(_longest(rows) > max_length for rows in found)


def encode_thumbs(encoder: Encoder, ratings: Sequence[Rating], max_length: int) -> tuple[list[Example], int]:
    """One example per rating: its row, and its prompt with the next rating's answer to another prompt, worth NaN.

    The second row serves to estimate a KL (KTO, arXiv 2402.01306); it is missing where all prompts are the same.
    """
    found: list[Example] = []
    for i, rating in enumerate(ratings):
        rows = [_answer_row(encoder, rating.prompt, rating.answer.text, rating.value)]
        others = (ratings[(i + step) % len(ratings)] for step in range(1, len(ratings)))
        other = next((r for r in others if canonical(r.prompt) != canonical(rating.prompt)), None)
        if other is not None:
            rows.append(_answer_row(encoder, rating.prompt, other.answer.text, float("nan")))
        found.append(tuple(rows))
    return _short(found, max_length), sum(_longest(rows) > max_length for rows in found)


def select(
    labels: Sequence[Label], kind: Kind, min_gap: float = 0.0, max_pairs: int = 0
) -> list[Comparison | Ranking] | list[Rating]:
    """The labels that an algorithm can learn from; for the numbers see :func:`score_comparisons`.

    Raises:
        HoneError: there is none; says what there is.
    """
    found: list[Comparison | Ranking] | list[Rating]
    if kind == "pairs":
        found = pairs_of(labels, min_gap, max_pairs)
    elif kind == "scores":
        found = scores_of(labels)
    else:
        found = [label for label in labels if isinstance(label, Rating) and label.thumb is not None]
    if not found:
        there = ", ".join(sorted({type(label).__name__.lower() + "s" for label in labels})) or "nothing"
        raise HoneError(f"there are no {kind} to learn from", got=there, do="choose another algorithm or other data")
    return found


def _worths(label: Comparison | Ranking) -> tuple[Text, list[tuple[Answer, float]]]:
    if isinstance(label, Ranking):
        return label.prompt, [(a, -float(rank)) for a, rank in zip(label.answers, label.ranks, strict=True)]
    # A margin of 0 or less still says which answer is better; equal worths would be a tie.
    gap = 0.0 if label.tie else 1.0 if label.margin is None else max(label.margin, _BARELY)
    return label.prompt, [(label.chosen, gap), (label.rejected, 0.0)]


def _drawn(pairs: list[Comparison], most: int) -> list[Comparison]:
    """At most so many of the pairs of a prompt; 0 is all."""
    if not 0 < most < len(pairs):
        return pairs
    order = [key("pair", canonical(c.prompt), canonical(c.chosen.text), canonical(c.rejected.text)) for c in pairs]
    kept = sorted(range(len(pairs)), key=lambda i: (order[i], i))[:most]
    return [pairs[i] for i in sorted(kept)]


def _row(tokens: Sequence[int], worth: float) -> Row:
    return Row(tuple(tokens), (False,) * (len(tokens) - 1) + (True,), worth)


def _by_prompt(ratings: Iterable[Rating]) -> dict[str, list[Rating]]:
    groups: dict[str, list[Rating]] = {}
    for rating in ratings:
        groups.setdefault(canonical(rating.prompt), []).append(rating)
    return groups


def _answer_row(encoder: Encoder, prompt: Text, answer: Text, worth: float) -> Row:
    if not isinstance(answer, str) and len(answer) > 1:
        ids, train = encoder.conversation([*messages(prompt, "user"), *answer])
        return Row(tuple(ids), (False, *train[1:]), worth)
    context = encoder.opening(prompt) if isinstance(prompt, str) else encoder.opening("", prompt)
    own = encoder.answer(answer_text(answer))
    return Row((*context, *own), (*[False] * len(context), *[True] * len(own)), worth)


def _short(examples: Sequence[Example], max_length: int) -> list[Example]:
    return [rows for rows in examples if _longest(rows) <= max_length]


def _longest(rows: Example) -> int:
    return max(len(row.tokens) for row in rows)
