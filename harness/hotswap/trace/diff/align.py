"""What must go and what must come to make one sequence of tokens another: patience, then Myers between the anchors.

A million tokens that differ in few places cost some sorts; where two long stretches have nothing in common that is
unique, they are told as one replaced by the other rather than searched without end.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MOST_EDITS = 800
"""In one stretch between anchors; beyond it the stretch counts as replaced. Myers' search costs the square of it."""


class Block(NamedTuple):
    """`a[a0:a1]` stands where `b[b0:b1]` does; one of them may be empty."""

    a0: int
    a1: int
    b0: int
    b1: int


def align(a: Ints, b: Ints) -> list[Block]:
    """The places in which two sequences differ, in order; what lies between them is equal, one to one."""
    found: list[Block] = []
    waiting = [Block(0, len(a), 0, len(b))]
    while waiting:
        window = _trimmed(a, b, waiting.pop())
        if window.a0 == window.a1 or window.b0 == window.b1:
            if window.a0 != window.a1 or window.b0 != window.b1:
                found.append(window)
            continue
        at_a, at_b = _anchors(a, b, window)
        if len(at_a):
            waiting += _between(window, at_a, at_b)
        else:
            found += _edits(a, b, window)
    return _merged(sorted(found))


def _trimmed(a: Ints, b: Ints, window: Block) -> Block:
    """Without what both begin and end with."""
    a0, a1, b0, b1 = window
    same = _common(a[a0:a1], b[b0:b1])
    a0, b0 = a0 + same, b0 + same
    same = _common(a[a0:a1][::-1], b[b0:b1][::-1])
    return Block(a0, a1 - same, b0, b1 - same)


def _common(a: Ints, b: Ints) -> int:
    """How many tokens both begin with; looked at in growing steps."""
    length = min(len(a), len(b))
    at, step = 0, 16
    while at < length:
        differ = np.flatnonzero(a[at : min(at + step, length)] != b[at : min(at + step, length)])
        if len(differ):
            return at + int(differ[0])
        at, step = min(at + step, length), step * 4
    return length


def _anchors(a: Ints, b: Ints, window: Block) -> tuple[Ints, Ints]:
    """Tokens that each side has once, and of them the most that keep their order: their places in both."""
    a0, a1, b0, b1 = window
    once_a, place_a = _once(a[a0:a1])
    once_b, place_b = _once(b[b0:b1])
    _, in_a, in_b = np.intersect1d(once_a, once_b, assume_unique=True, return_indices=True)
    at_a, at_b = place_a[in_a] + a0, place_b[in_b] + b0
    order = np.argsort(at_a)
    at_a, at_b = at_a[order], at_b[order]
    rising = _longest_rising(at_b)
    return at_a[rising], at_b[rising]


def _once(tokens: Ints) -> tuple[Ints, Ints]:
    values, first, count = np.unique(tokens, return_index=True, return_counts=True)
    return values[count == 1], first[count == 1].astype(np.int64)


def _longest_rising(values: Ints) -> Ints:
    """The places of a longest rising subsequence."""
    if len(values) < 2 or bool((np.diff(values) > 0).all()):
        return np.arange(len(values), dtype=np.int64)
    tops: list[int] = []
    heads: list[int] = []
    before = [-1] * len(values)
    for at, value in enumerate(values.tolist()):
        pile = bisect_left(tops, value)
        if pile:
            before[at] = heads[pile - 1]
        if pile == len(tops):
            tops.append(value)
            heads.append(at)
        else:
            tops[pile], heads[pile] = value, at
    chain = [heads[-1]]
    while before[chain[-1]] >= 0:
        chain.append(before[chain[-1]])
    return np.array(chain[::-1], np.int64)


def _between(window: Block, at_a: Ints, at_b: Ints) -> list[Block]:
    """The stretches before, between and after the anchors that are not empty on both sides."""
    from_a, from_b = np.append(window.a0, at_a + 1), np.append(window.b0, at_b + 1)
    to_a, to_b = np.append(at_a, window.a1), np.append(at_b, window.b1)
    some = np.flatnonzero((to_a > from_a) | (to_b > from_b))
    parts = (from_a[some].tolist(), to_a[some].tolist(), from_b[some].tolist(), to_b[some].tolist())
    return [Block(*part) for part in zip(*parts, strict=True)]


def _edits(a: Ints, b: Ints, window: Block) -> list[Block]:
    """The fewest edits (Myers), or the whole stretch when they are more than MOST_EDITS."""
    a0, a1, b0, b1 = window
    x_end, y_end = a1 - a0, b1 - b0
    left, right = a[a0:a1], b[b0:b1]
    if not len(np.intersect1d(left, right)):
        return [window]
    reach: dict[int, int] = {1: 0}
    history: list[dict[int, int]] = []
    for edits in range(min(MOST_EDITS, x_end + y_end) + 1):
        history.append(dict(reach) if edits else {1: 0})
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and reach.get(k - 1, -1) < reach.get(k + 1, -1))
            x = reach[k + 1] if down else reach[k - 1] + 1
            y = x - k
            if x <= x_end and y <= y_end and x < x_end and y < y_end and left[x] == right[y]:
                x += _common(left[x:], right[y:])
            reach[k] = x
            if x >= x_end and x - k >= y_end:
                return _path(history, edits, k, window)
    return [window]


def _path(history: list[dict[int, int]], edits: int, k: int, window: Block) -> list[Block]:
    """The edits, found by going back along the furthest reaching paths."""
    blocks: list[Block] = []
    for number in range(edits, 0, -1):
        reach = history[number]
        down = k == -number or (k != number and reach.get(k - 1, -1) < reach.get(k + 1, -1))
        k = k + 1 if down else k - 1
        x, y = reach[k], reach[k] - k
        at_a, at_b = window.a0 + x, window.b0 + y
        blocks.append(Block(at_a, at_a, at_b, at_b + 1) if down else Block(at_a, at_a + 1, at_b, at_b))
    return blocks[::-1]


def _merged(blocks: list[Block]) -> list[Block]:
    merged: list[Block] = []
    for block in blocks:
        if merged and merged[-1].a1 == block.a0 and merged[-1].b1 == block.b0:
            merged[-1] = Block(merged[-1].a0, block.a1, merged[-1].b0, block.b1)
        else:
            merged.append(block)
    return merged
