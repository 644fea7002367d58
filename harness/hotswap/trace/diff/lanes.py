"""In which lanes two traces are compared: how threads interleave differs from run to run, what one does should not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.diff.meaning import Side
from hotswap.trace.row_keys import Keys
from hotswap.trace.table import EventTable

Ints = NDArray[np.int64]

PLACES = ("thread", "process", "cpu", "none")
"""What a lane can be besides a field. Threads and processes of two traces are matched by what they do."""
_BUCKETS = 2048
_MOST_MATCHED = 1000
"""Threads of each side that are compared with each other; beyond that the order of appearance decides."""


@dataclass(frozen=True)
class Lane:
    """Positions in the rows of each side, in their order; a side that has no such lane has none of them."""

    name: str
    a: Ints
    b: Ints


def lanes(a: Side, b: Side, codes: tuple[Ints, Ints], per: str) -> list[Lane]:
    """The lanes by a field or one of PLACES; events without the field lie in lanes by thread.

    `codes` are the tokens of the sides. UsageError when no event has the field.
    """
    if per == "none":
        return [Lane("all events", np.arange(len(a.rows)), np.arange(len(b.rows)))]
    if per in PLACES:
        everything = np.arange(len(a.rows)), np.arange(len(b.rows))
        return _by_place(a, b, codes, per, everything)
    return _by_field(a, b, codes, per)


def _by_field(a: Side, b: Side, codes: tuple[Ints, Ints], per: str) -> list[Lane]:
    keys = Keys.parse([per])
    key_a, key_b = (keys.of(side.table, side.rows) for side in (a, b))
    if not keys.names:
        raise UsageError(f"--per {per}: no event has such a field; lanes can be by {', '.join(PLACES)}, or a field")
    order = sorted(range(len(keys.names)), key=lambda number: _natural(keys.names[number]))
    found = [
        Lane(keys.names[number], np.flatnonzero(key_a == number), np.flatnonzero(key_b == number)) for number in order
    ]
    return found + _by_place(a, b, codes, "thread", (np.flatnonzero(key_a < 0), np.flatnonzero(key_b < 0)))


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Numbers in a text are compared as such."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def _by_place(a: Side, b: Side, codes: tuple[Ints, Ints], per: str, chosen: tuple[Ints, Ints]) -> list[Lane]:
    groups_a, groups_b = _groups(a.table, a.rows, per, chosen[0]), _groups(b.table, b.rows, per, chosen[1])
    if per == "cpu":
        empty = np.zeros(0, np.int64)
        names = sorted(groups_a.keys() | groups_b.keys())
        return [Lane(name, groups_a.get(name, empty), groups_b.get(name, empty)) for name in names]
    return _matched(groups_a, groups_b, codes)


def _groups(table: EventTable, rows: Ints, per: str, chosen: Ints) -> dict[str, Ints]:
    """Positions by the name of their thread, process or CPU, in the order of appearance."""
    rows = rows[chosen]
    if per == "cpu":
        parts: tuple[Ints, ...] = (table.cpu[rows],)
    else:
        parts = (table.owner_pid[rows], table.owner_tid[rows]) if per == "thread" else (table.owner_pid[rows],)
    keys, first, inverse = np.unique(np.stack(parts), axis=1, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(np.bincount(inverse, minlength=len(first)))
    members = np.split(chosen[order], ends[:-1]) if len(first) else []
    return {
        f"{per} {'/'.join(str(part) for part in keys[:, group].tolist())}": members[group]
        for group in np.argsort(first).tolist()
    }


def _matched(a: dict[str, Ints], b: dict[str, Ints], codes: tuple[Ints, Ints]) -> list[Lane]:
    """Those that did the same belong together, then those that did most alike; what is left has no partner."""
    by_content: dict[bytes, list[str]] = {}
    for name, at in b.items():
        by_content.setdefault(codes[1][at].tobytes(), []).append(name)
    partner: dict[str, str] = {}
    for name, at in a.items():
        same = by_content.get(codes[0][at].tobytes())
        if same:
            partner[name] = same.pop(0)
    taken = set(partner.values())
    left_a, left_b = [name for name in a if name not in partner], [name for name in b if name not in taken]
    partner |= _alike(left_a, left_b, [codes[0][a[name]] for name in left_a], [codes[1][b[name]] for name in left_b])
    empty = np.zeros(0, np.int64)
    found = [Lane(_name(name, partner.get(name)), at, b[partner[name]] if name in partner else empty)
             for name, at in a.items()]  # fmt: skip
    taken = set(partner.values())
    return found + [Lane(f"{name} of B", empty, at) for name, at in b.items() if name not in taken]


def _name(a: str, b: str | None) -> str:
    if b is None:
        return f"{a} of A"
    return a if a == b else f"{a} of A, {b.split(' ', 1)[1]} of B"


def _alike(a: list[str], b: list[str], tokens_a: Sequence[Ints], tokens_b: Sequence[Ints]) -> dict[str, str]:
    a, b = a[:_MOST_MATCHED], b[:_MOST_MATCHED]
    if not a or not b:
        return {}
    counted = np.stack([np.bincount(tokens % _BUCKETS, minlength=_BUCKETS) for tokens in tokens_b[: len(b)]])
    found: list[tuple[float, int, int, int]] = []
    for i, tokens in enumerate(tokens_a[: len(a)]):
        mine = np.bincount(tokens % _BUCKETS, minlength=_BUCKETS)
        shared = np.minimum(mine, counted).sum(axis=1)
        likeness = 2 * shared / (len(tokens) + counted.sum(axis=1))
        found += [(-float(likeness[j]), abs(i - int(j)), i, int(j)) for j in np.flatnonzero(shared)]
    partner: dict[str, str] = {}
    taken: set[int] = set()
    for _, _, i, j in sorted(found):
        if a[i] not in partner and j not in taken:
            partner[a[i]] = b[j]
            taken.add(j)
    return partner
