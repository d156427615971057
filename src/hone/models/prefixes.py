"""Rows that begin alike share their beginnings: which tokens of a batch are distinct, and where each of them stands.

The rows of a batch, sorted, are the leaves of a prefix tree. Only branchings that pay are kept; every token of the
kept tree is computed once. Tokens are numbered in depth-first order, so the tokens that come after a token and see it
(its continuations) are a contiguous range.

Dimensions: B rows, T positions, N distinct tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

TOGETHER = 64
"""Trees up to this many tokens are attended in one piece: in there a branching costs nothing."""
WORTH = 0.25
"""A branching above that must save at least this share of the tokens that continue it, for they attend to it apart."""


@dataclass(slots=True)
class Node:
    """A branching of the tree, or (without children) the end of one row.

    Attributes:
        depth: tokens from the beginning of the row to here.
        rows: first and last (excluded) of the sorted rows that come through here.
        children: what continues.
        below: distinct tokens that continue.
        start: number of the first token of its own, those between its parent and it.
        own: how many they are.
        end: number of the last token that continues, plus 1.
    """

    depth: int
    rows: tuple[int, int]
    children: list[Node] = field(default_factory=list)
    below: int = 0
    start: int = 0
    own: int = 0
    end: int = 0


@dataclass(frozen=True)
class Tree:
    """The distinct tokens of a batch.

    Attributes:
        roots: the nodes that nothing precedes.
        tokens: [N].
        position: [N] where in its rows a token stands.
        end: [N] token j is seen by the tokens j ≤ i < end[j] and no other.
        index: [B,T] number of a row's token; 0 beyond its length.
    """

    roots: list[Node]
    tokens: Ints
    position: Ints
    end: Ints
    index: Ints


def tree_of(tokens_BT: Ints, length_B: Ints, *, share: bool, together: int = TOGETHER) -> Tree:
    """Number the distinct tokens of rows.

    Args:
        tokens_BT: tokens; what stands beyond a row's length is not looked at.
        length_B: how many tokens of each row are wanted; at least one row wants one.
        share: let equal beginnings be the same tokens; otherwise rows are only packed.
        together: see :data:`TOGETHER`.
    """
    rows, width = tokens_BT.shape
    inside_BT = np.arange(width) < length_B[:, None]
    if share:
        order, common = _sorted(np.where(inside_BT, tokens_BT, -1), length_B)
    else:
        order = np.flatnonzero(length_B)
        common = np.zeros_like(order)
    length = length_B[order]
    roots = _branchings(length.tolist(), common.tolist(), together)

    shared = np.zeros(len(order), np.int64)  # how much of a row its predecessor has
    _spread(roots, shared, 0)
    new = (np.arange(width) >= shared[:, None]) & inside_BT[order]
    number = new.ravel().cumsum().reshape(new.shape) - 1
    index = np.maximum.accumulate(np.where(new, number, 0), axis=0) if share else number
    after = np.cumsum(new.sum(1))
    row, position = np.nonzero(new)
    end = after[row]
    _number(roots, 0, index, after, end)
    whole = np.zeros((rows, width), np.int64)
    whole[order] = np.where(inside_BT[order], index, 0)
    return Tree(roots, tokens_BT[order][new], position, end, whole)


def common_prefixes(tokens_BT: Ints, length_B: Ints) -> tuple[Ints, Ints]:
    """Rows in an order in which equal beginnings are neighbours, and how many tokens each shares with the one before.

    The order is that of the bytes, not of the numbers.
    """
    inside_BT = np.arange(tokens_BT.shape[1]) < length_B[:, None]
    order, common = _sorted(np.where(inside_BT, tokens_BT, -1), np.ones_like(length_B))
    return order, np.minimum(common, length_B[order])


def _sorted(filled_BT: Ints, length_B: Ints) -> tuple[Ints, Ints]:
    filled_BT = np.ascontiguousarray(filled_BT)
    as_bytes = filled_BT.view(np.dtype((np.void, filled_BT.dtype.itemsize * filled_BT.shape[1]))).ravel()
    order = np.argsort(as_bytes, kind="stable")
    order = order[length_B[order] > 0]
    ordered = filled_BT[order]
    differs = (ordered[1:] != ordered[:-1]) | (ordered[1:] < 0)
    differs = np.concatenate([differs, np.ones((len(differs), 1), bool)], axis=1)
    return order, np.concatenate([[0], differs.argmax(1)])


def _branchings(length: list[int], common: list[int], together: int) -> list[Node]:
    """The kept branchings of sorted rows: the intervals of equal common prefixes, from the deepest up."""
    stack = [Node(0, (0, 0))]
    for row, (depth, shared) in enumerate(zip(length, common, strict=True)):
        while stack[-1].depth > shared:
            node = stack.pop()
            node.rows = (node.rows[0], row)
            kept = _keep(node, max(shared, stack[-1].depth), together)
            if stack[-1].depth < shared:
                stack.append(Node(shared, (node.rows[0], row)))
            stack[-1].children += kept
        if stack[-1].depth < shared:
            last = stack[-1].children.pop()
            stack.append(Node(shared, last.rows, [last]))
        stack[-1].children.append(Node(depth, (row, row + 1)))
    while len(stack) > 1:
        node = stack.pop()
        node.rows = (node.rows[0], len(length))
        stack[-1].children += _keep(node, stack[-1].depth, together)
    return stack[0].children


def _keep(node: Node, parent: int, together: int) -> list[Node]:
    """The node, or what continues it if it is not worth a branching."""
    node.below = sum(child.depth - node.depth + child.below for child in node.children)
    own = node.depth - parent
    saved = own * (len(node.children) - 1)
    keep = saved > 0 and (own + node.below <= together or saved >= WORTH * node.below)
    return [node] if keep else node.children


def _spread(nodes: list[Node], shared: Ints, depth: int) -> None:
    """What each row has in common with the one before it: the depth at which the tree parts them."""
    for number, node in enumerate(nodes):
        if number:
            shared[node.rows[0]] = depth
        if node.children:
            _spread(node.children, shared, node.depth)


def _number(nodes: list[Node], depth: int, index: Ints, after: Ints, end: Ints) -> None:
    for node in nodes:
        first, last = node.rows
        node.own, node.end = node.depth - depth, int(after[last - 1])
        # a row that ends where another goes on has no token of its own, and so no number to begin with
        node.start = int(index[first, depth]) if node.own else node.end
        end[node.start : node.start + node.own] = node.end
        _number(node.children, node.depth, index, after, end)
