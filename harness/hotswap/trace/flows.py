"""What led to what: from the last event of an activity to each event that names it as the related one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.table import EventTable

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Flows:
    """Rows of the whole trace, counted over all tables, in the order of `to`."""

    origin: Ints
    to: Ints


class FlowFinder:
    """Takes the tables of a trace in their order."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._last = np.zeros(0, np.int64)
        self._found: list[tuple[Ints, Ints]] = []
        self._rows = 0

    def add(self, table: EventTable, rows: Ints) -> None:
        """The chosen rows of the next table, in order."""
        related = rows[table.related_activity[rows].view("S16") != b""]
        active = rows[table.activity[rows].view("S16") != b""]
        activity = self._codes(table.activity[active])
        wanted = self._codes(table.related_activity[related])
        if len(self._numbers) > len(self._last):
            more = np.full(max(len(self._numbers) - len(self._last), len(self._last)), -1, np.int64)
            self._last = np.concatenate([self._last, more])
        # The last row of the activity before this one: of this table, or of those before.
        width = len(table) + 1
        places = np.concatenate([[-1], np.sort(activity * width + active)])
        before = places[np.searchsorted(places, wanted * width + related, "left") - 1]
        origin = np.where(before // width == wanted, before % width + self._rows, self._last[wanted])
        self._found.append((origin[origin >= 0], related[origin >= 0] + self._rows))
        # Of several assignments to one place the last counts.
        self._last[activity] = active + self._rows
        self._rows += len(table)

    def _codes(self, ids: NDArray[np.void]) -> Ints:
        distinct, inverse = np.unique(ids.view("S16"), return_inverse=True)
        codes = [self._numbers.setdefault(one, len(self._numbers)) for one in distinct.tolist()]
        return np.array(codes, np.int64)[inverse.reshape(-1)]

    def flows(self) -> Flows:
        """All of the tables so far."""
        empty = np.zeros(0, np.int64)
        parts = [(empty, empty), *self._found]
        return Flows(np.concatenate([origin for origin, _ in parts]), np.concatenate([to for _, to in parts]))
