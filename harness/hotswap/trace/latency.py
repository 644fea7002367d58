"""How long it takes from one event to another: pairs within a key, their percentiles, their histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hotswap.errors import UsageError
from hotswap.trace.pairs import match_queued
from hotswap.trace.row_keys import Keys
from hotswap.trace.select import kinds_named
from hotswap.trace.table import EventTable

Rows = NDArray[np.int64]

PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("max", 100.0))
_STEPS = (1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Spread:
    """The figures of some latencies in nanoseconds."""

    count: int
    mean: float
    minimum: float
    percentiles: tuple[float, ...]
    """In the order of PERCENTILES."""

    @classmethod
    def of(cls, nanoseconds: NDArray[np.float64]) -> Spread:
        """Of at least one."""
        at = np.percentile(nanoseconds, [percent for _, percent in PERCENTILES])
        return cls(len(nanoseconds), float(nanoseconds.mean()), float(nanoseconds.min()), tuple(at.tolist()))

    def to_json(self) -> dict[str, Any]:
        """For JSON output, in microseconds."""
        names = ("mean", "min", *(name for name, _ in PERCENTILES))
        values = (self.mean, self.minimum, *self.percentiles)
        return {"count": self.count, **{f"{name}_us": value / 1000 for name, value in zip(names, values, strict=True)}}


@dataclass(frozen=True)
class Latencies:
    """From each first event to the next second one of its key that no earlier first one took."""

    nanoseconds: NDArray[np.float64]
    """Of each pair, in the order of the first event."""
    key: Rows
    keys: Keys
    without_second: int
    without_first: int

    def by_key(self) -> list[tuple[str, Spread]]:
        """The figures of each key, the slowest first."""
        found = [
            (self.keys.names[number], Spread.of(self.nanoseconds[self.key == number]))
            for number in np.unique(self.key).tolist()
        ]
        return sorted(found, key=lambda item: (-item[1].percentiles[-1], item[0]))

    def histogram(self) -> list[tuple[float, float, int]]:
        """Bins in steps of 1, 2 and 5: from, to (nanoseconds, from included), how many; none left out between."""
        if not len(self.nanoseconds):
            return []
        low = max(1.0, float(self.nanoseconds.min()))
        edges = [0.0] if float(self.nanoseconds.min()) < 1 else []
        power = 10.0 ** np.floor(np.log10(low))
        while not edges or edges[-1] <= self.nanoseconds.max():
            edges += [step * power for step in _STEPS]
            power *= 10
        first = max(0, int(np.searchsorted(edges, self.nanoseconds.min(), "right")) - 1)
        last = int(np.searchsorted(edges, self.nanoseconds.max(), "right"))
        edges = edges[first : last + 1]
        counts = np.histogram(self.nanoseconds, edges)[0].tolist()
        return list(zip(edges, edges[1:], counts, strict=False))


class LatencyCollector:
    """Takes tables in the order of time and keeps of each event what the pairs need."""

    def __init__(self, first: str, second: str, per: Sequence[str]) -> None:
        self._names, self._keys = (first, second), Keys.parse(per)
        self._parts: list[tuple[Rows, Rows, NDArray[np.bool_]]] = []
        self._frequency = 1

    def add(self, table: EventTable, rows: Rows) -> None:
        """The chosen rows of a table. Raises UsageError for an event or a key that there is not."""
        first, second = (kinds_named(table, name) for name in self._names)
        if self._names[0] != self._names[1] and set(first) & set(second):
            raise UsageError(f"--between: {' and '.join(self._names)} are both names of the same events")
        self._keys.check(table, first)
        self._keys.check(table, second)
        self._frequency = table.frequency
        kind = table.kind[rows]
        for role, kinds in ((True, first), (False, second)):
            mine = rows[np.isin(kind, kinds)]
            key = self._keys.of(table, mine)
            self._parts.append((table.tick[mine[key >= 0]], key[key >= 0], np.full(int((key >= 0).sum()), role)))

    def result(self) -> Latencies:
        """All pairs. Raises UsageError when there is none."""
        tick, key, begins = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        # Where both happen in the same tick, the second one answers the first.
        order = np.lexsort((~begins, tick))
        tick, key, begins = tick[order], key[order], begins[order]
        if self._names[0] == self._names[1]:
            return self._distances(tick[begins], key[begins])
        partner = match_queued(key, begins)
        paired = np.flatnonzero(begins & (partner >= 0))
        if not len(paired):
            first, second = self._names
            raise UsageError(f"--between: no {first} is followed by a {second}{self._of_key()}")
        ticks = tick[partner[paired]] - tick[paired]
        lonely = partner < 0
        return Latencies(
            ticks * 1e9 / self._frequency, key[paired], self._keys,
            int((lonely & begins).sum()), int((lonely & ~begins).sum()),
        )  # fmt: skip

    def _of_key(self) -> str:
        return f" of the same {', '.join(self._keys.per)}" if self._keys.per else ""

    def _distances(self, tick: Rows, key: Rows) -> Latencies:
        """From each event to the next of its kind and key."""
        order = np.argsort(key, kind="stable")
        same = np.diff(key[order]) == 0
        begin, end = order[:-1][same], order[1:][same]
        if not len(begin):
            raise UsageError(f"--between: there are no two {self._names[0]}{self._of_key()}")
        back = np.argsort(begin)
        begin, end = begin[back], end[back]
        return Latencies((tick[end] - tick[begin]) * 1e9 / self._frequency, key[begin], self._keys, 0, 0)
