"""Counting events by what they have in common."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.event_kind import EventKind
from hotswap.trace.row_keys import Keys
from hotswap.trace.table import EventTable

Rows = NDArray[np.int64]

BY = ("event", "provider", "cpu", "process", "thread")
"""What events can be counted by, besides fields."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Events of one key: `first` and `last` in seconds since the session started, the rate between these two."""

    key: str
    events: int
    per_second: float
    first: float
    last: float
    payload_bytes: int

    def to_json(self) -> dict[str, str | int | float]:
        """For JSON output."""
        return asdict(self)


class EventCounter:
    """Counts the events of any number of tables that follow each other, by one of BY or by fields."""

    def __init__(self, by: str) -> None:
        self._by = by
        self._keys = None if by in ("event", "provider") else Keys.parse([by])
        self._counted: dict[str, list[int]] = {}

    def add(self, table: EventTable, rows: Rows) -> None:
        """The chosen rows of a table, which are in order. Raises UsageError for a field that there is not."""
        if self._keys is None:
            names, code = [_name(kind, self._by) for kind in table.kinds], table.kind[rows].astype(np.int64)
        else:
            self._keys.check(table, range(len(table.kinds)), "--by")
            code = self._keys.of(table, rows)
            rows, code = rows[code >= 0], code[code >= 0]
            # By a place, its bare number says enough.
            names = [name.partition(" ")[2] for name in self._keys.names] if "," not in self._by else self._keys.names
        sizes = np.bincount(code, weights=table.payload_length[rows], minlength=len(names))
        numbers, at, count = np.unique(code, return_index=True, return_counts=True)
        last = len(code) - 1 - np.unique(code[::-1], return_index=True)[1]
        columns = (numbers, count, table.ns[rows[at]], table.ns[rows[last]])
        for number, events, begin, end in zip(*(column.tolist() for column in columns), strict=True):
            self._add(names[number], events, begin, end, int(sizes[number]))

    def _add(self, name: str, events: int, begin: int, end: int, size: int) -> None:
        known = self._counted.setdefault(name, [0, begin, end, 0])
        self._counted[name] = [known[0] + events, min(known[1], begin), max(known[2], end), known[3] + size]

    def counted(self) -> list[Counted]:
        """The most frequent first."""
        found = []
        for key, (events, first, last, size) in self._counted.items():
            rate = (events - 1) / ((last - first) / 1e9) if last > first else 0.0
            found.append(Counted(key, events, rate, first / 1e9, last / 1e9, size))
        return sorted(found, key=lambda item: (-item.events, item.key))


def _name(kind: EventKind, by: str) -> str:
    return kind.giver if by == "provider" else f"{kind.giver}/{kind.name}"
