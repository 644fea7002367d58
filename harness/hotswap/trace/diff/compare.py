"""The differences of two traces, lane by lane, the first in time first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.diff.align import Block, align
from hotswap.trace.diff.lanes import Lane, lanes
from hotswap.trace.diff.meaning import Meaning, Side, Tokens, tokens

Ints = NDArray[np.int64]


class Change(StrEnum):
    """What became of events of A in B."""

    REMOVED = "removed"
    ADDED = "added"
    CHANGED = "changed"
    TIME = "time"
    """The same events, but another time passed since the event before in the lane."""


@dataclass(frozen=True)
class Difference:
    """Rows of A's table that stand where rows of B's do, and what is around them: the same events on both sides."""

    change: Change
    lane: str
    a: tuple[int, ...]
    b: tuple[int, ...]
    before: tuple[tuple[int, int], ...]
    """Pairs of rows (A, B) right before."""
    after: tuple[tuple[int, int], ...]
    at: int
    """Nanoseconds since the session started, of A where A has an event there."""


@dataclass(frozen=True)
class LaneResult:
    """How a lane fared."""

    name: str
    a: int
    b: int
    removed: int
    added: int
    times: int


@dataclass(frozen=True)
class Comparison:
    """The answer: `differences` in the order of time, `lanes` as they were compared."""

    differences: tuple[Difference, ...]
    lanes: tuple[LaneResult, ...]
    tokens: Tokens
    counts: tuple[tuple[str, int, int], ...]
    """Events by `provider/name` of A and of B, of those that are not equally many or of which some differ."""

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare(
    a: Side, b: Side, meaning: Meaning, *, per: str = "thread", tolerance: int | None = None, context: int = 3
) -> Comparison:
    """Compare the chosen rows of two tables.

    `tolerance`: also compare how much time passed since the event before in the lane, to so many nanoseconds. Raises
    UsageError for a lane or an ignored field that there is not.
    """
    told = tokens(a, b, meaning)
    differences: list[Difference] = []
    results: list[LaneResult] = []
    for lane in lanes(a, b, told.sides, per):
        blocks = align(told.sides[0][lane.a], told.sides[1][lane.b])
        found = [_difference(a, b, lane, block, context) for block in blocks]
        late = _times(a, b, lane, blocks, tolerance, context) if tolerance is not None else []
        differences += found + late
        removed, added = (sum(len(side) for side in sides) for sides in ([d.a for d in found], [d.b for d in found]))
        results.append(LaneResult(lane.name, len(lane.a), len(lane.b), removed, added, len(late)))
    differences.sort(key=lambda difference: (difference.at, difference.lane))
    return Comparison(tuple(differences), tuple(results), told, tuple(_counts(a, b, differences)))


def _difference(a: Side, b: Side, lane: Lane, block: Block, context: int) -> Difference:
    in_a, in_b = lane.a[block.a0 : block.a1], lane.b[block.b0 : block.b1]
    change = Change.CHANGED if len(in_a) and len(in_b) else Change.REMOVED if len(in_a) else Change.ADDED
    return _told(a, b, lane, block, change, context)


def _told(a: Side, b: Side, lane: Lane, block: Block, change: Change, context: int) -> Difference:
    rows_a, rows_b = a.rows[lane.a], b.rows[lane.b]
    before = [(int(rows_a[block.a0 - i]), int(rows_b[block.b0 - i]))
              for i in range(min(context, block.a0, block.b0), 0, -1)]  # fmt: skip
    left = min(context, len(rows_a) - block.a1, len(rows_b) - block.b1)
    after = [(int(rows_a[block.a1 + i]), int(rows_b[block.b1 + i])) for i in range(left)]
    own_a, own_b = rows_a[block.a0 : block.a1], rows_b[block.b0 : block.b1]
    if len(own_a):
        at = int(a.table.ns[own_a[0]])
    elif block.a0 < len(rows_a):
        # Added before this event of A: it is there that A lacks it.
        at = int(a.table.ns[rows_a[block.a0]])
    else:
        at = int(a.table.ns[rows_a[-1]]) if len(rows_a) else int(b.table.ns[own_b[0]])
    return Difference(change, lane.name, tuple(own_a.tolist()), tuple(own_b.tolist()), tuple(before), tuple(after), at)


def _times(a: Side, b: Side, lane: Lane, blocks: list[Block], tolerance: int, context: int) -> list[Difference]:
    """Where events that follow each other on both sides do so with another distance in time."""
    at_a, at_b = _aligned(len(lane.a), len(lane.b), blocks)
    if len(at_a) < 2:
        return []
    follow = (np.diff(at_a) == 1) & (np.diff(at_b) == 1)
    gap_a = np.diff(a.table.ns[a.rows[lane.a[at_a]]])
    gap_b = np.diff(b.table.ns[b.rows[lane.b[at_b]]])
    late = np.flatnonzero(follow & (np.abs(gap_a - gap_b) > tolerance)) + 1
    return [
        _told(a, b, lane, Block(i, i + 1, j, j + 1), Change.TIME, context)
        for i, j in zip(at_a[late].tolist(), at_b[late].tolist(), strict=True)
    ]


def _aligned(count_a: int, count_b: int, blocks: list[Block]) -> tuple[Ints, Ints]:
    """The positions that are equal, one to one."""
    keep_a, keep_b = np.ones(count_a, np.bool_), np.ones(count_b, np.bool_)
    for block in blocks:
        keep_a[block.a0 : block.a1] = False
        keep_b[block.b0 : block.b1] = False
    return np.flatnonzero(keep_a), np.flatnonzero(keep_b)


def _counts(a: Side, b: Side, differences: list[Difference]) -> list[tuple[str, int, int]]:
    counts = [_by_kind(side) for side in (a, b)]
    differing = {_name(a, row) for difference in differences for row in difference.a}
    differing |= {_name(b, row) for difference in differences for row in difference.b}
    names = sorted(counts[0].keys() | counts[1].keys())
    return [
        (name, counts[0][name], counts[1][name])
        for name in names
        if counts[0][name] != counts[1][name] or name in differing
    ]


def _by_kind(side: Side) -> Counter[str]:
    found: Counter[str] = Counter()
    numbers = np.bincount(side.table.kind[side.rows], minlength=len(side.table.kinds)).tolist()
    for index, number in enumerate(numbers):
        found[_kind_name(side, index)] += number
    return found


def _name(side: Side, row: int) -> str:
    return _kind_name(side, int(side.table.kind[row]))


def _kind_name(side: Side, index: int) -> str:
    kind = side.table.kinds[index]
    return f"{kind.provider_name or kind.provider}/{kind.name}"
