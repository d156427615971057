"""How far annotators agree: observed share, Cohen's kappa for two, Krippendorff's alpha for any number.

All three are for nominal labels (first better, second better, tie). Kappa and alpha subtract the agreement of chance:
1 is perfect, 0 is what labels thrown at random would give.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

Labels = Mapping[Any, Mapping[str, Hashable]]
"""item → annotator → label."""


def percent_agreement(labels: Labels) -> tuple[float, int]:
    """Share of equal labels over all pairs of annotators of the same item, and how many pairs; NaN if none."""
    pairs = [a == b for item in labels.values() for a, b in combinations(item.values(), 2)]
    return (sum(pairs) / len(pairs) if pairs else math.nan), len(pairs)


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    """``(p_o − p_e) / (1 − p_e)`` for the labels two annotators gave to the same items (Cohen 1960).

    ``p_o`` is the observed share of equal labels, ``p_e = Σ_c p_1(c) p_2(c)`` that of chance. NaN without items or
    where chance alone agrees always.
    """
    if not pairs:
        return math.nan
    n = len(pairs)
    observed = sum(a == b for a, b in pairs) / n
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    chance = sum(first[c] * second[c] for c in first) / n**2
    return (observed - chance) / (1 - chance) if chance < 1 else math.nan


def pairwise_kappa(labels: Labels) -> dict[tuple[str, str], tuple[float, int]]:
    """Cohen's kappa and number of common items for every two annotators that share an item."""
    common: dict[tuple[str, str], list[tuple[Hashable, Hashable]]] = {}
    for item in labels.values():
        for a, b in combinations(sorted(item), 2):
            common.setdefault((a, b), []).append((item[a], item[b]))
    return {names: (cohen_kappa(pairs), len(pairs)) for names, pairs in sorted(common.items())}


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float:
    """``1 − D_o / D_e`` for nominal labels, any number of annotators, missing labels allowed (Krippendorff 2004).

    Over items with m ≥ 2 labels: an ordered pair of labels inside an item weighs ``1/(m − 1)``; D_o is the weighted
    share of unequal pairs, D_e the share of unequal pairs when all n labels are mixed:
    ``Σ_{c≠k} n_c n_k / (n (n − 1))``. NaN without two labels of an item, or if all labels are equal.
    """
    pairable = [list(unit) for unit in units if len(unit) > 1]
    totals: Counter[Hashable] = Counter(label for unit in pairable for label in unit)
    n = sum(totals.values())
    if n < 2 or len(totals) < 2:
        return math.nan
    unequal = sum(
        (len(unit) ** 2 - sum(count**2 for count in Counter(unit).values())) / (len(unit) - 1) for unit in pairable
    )
    expected = (n**2 - sum(count**2 for count in totals.values())) / (n * (n - 1))
    return 1 - (unequal / n) / expected
