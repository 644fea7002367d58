"""Events of a table that fit a pattern, and how they lie to each other. Rows are row numbers, in time order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.table import EventTable

Ints = NDArray[np.int64]
Wanted = int | frozenset[int]

COMMON = ("tid", "pid", "cpu")
"""Columns that every event has."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Events of one name whose fields have these values, or one of these values."""

    name: str
    fields: Mapping[str, Wanted] = field(default_factory=dict)

    def __str__(self) -> str:
        values = ", ".join(f"{name}={_text(value)}" for name, value in self.fields.items())
        return f"{self.name} ({values})" if values else self.name


def rows_of(table: EventTable, pattern: Pattern) -> Ints:
    """The rows that fit a pattern. UsageError for a field that these events do not have."""
    events = table.events(pattern.name)
    chosen = np.ones(len(events), np.bool_)
    for name, wanted in pattern.fields.items():
        column = getattr(events, name) if name in COMMON else events.fields.get(name)
        if column is None:
            if len(events):
                raise UsageError(f"{pattern.name} has no field {name!r}; it has: {', '.join(events.fields)}")
            continue
        chosen &= column == wanted if isinstance(wanted, int) else np.isin(column, sorted(wanted))
    return events.rows[chosen]


def first_sequence(steps: Sequence[Ints]) -> list[int]:
    """The earliest rows, one of each step, that follow each other; it ends before the first step that has none."""
    found: list[int] = []
    for rows in steps:
        at = int(np.searchsorted(rows, found[-1], "right")) if found else 0
        if at == len(rows):
            break
        found.append(int(rows[at]))
    return found


def inside(rows: Ints, starts: Ints, ends: Ints) -> Ints:
    """The rows that lie after a start and before the first end that follows it; a start without an end is open."""
    last = np.searchsorted(starts, rows, "left") - 1
    rows, last = rows[last >= 0], last[last >= 0]
    end = np.searchsorted(ends, starts[last], "right")
    limit = np.append(ends, np.iinfo(np.int64).max)[end]
    return rows[rows < limit]


def window_around(row: int, starts: Ints, ends: Ints) -> tuple[int, int | None]:
    """The start and the end (None: there is none) that a row found by `inside` lies between."""
    start = int(starts[np.searchsorted(starts, row, "left") - 1])
    after = ends[ends > row]
    return start, int(after[0]) if len(after) else None


def _text(value: Wanted) -> str:
    # A code has a name (NtStatus).
    numbers = [value] if isinstance(value, int) else sorted(value)
    return " or ".join(getattr(number, "name", "") or str(number) for number in numbers)
