"""How a trace is to be drawn, found in a pass of its own: spans, flows, names. A second pass draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.flows import FlowFinder, Flows
from hotswap.trace.names import Names
from hotswap.trace.span_kinds import Pair
from hotswap.trace.spans import SpanFinder, Spans
from hotswap.trace.table import EventTable

Ints = NDArray[np.int64]

Tables = Callable[[], Iterable[tuple[EventTable, Ints]]]
"""The tables of a trace in their order, with the rows that are meant of each; as often as it is asked for."""

INSTANT, BEGIN, END = 0, 1, 2


@dataclass(frozen=True)
class Loss:
    """Events may be missing between these nanoseconds (None: from the beginning, to the end), of one CPU or of any."""

    start: int | None
    end: int | None
    what: str
    cpu: int | None = None


@dataclass(frozen=True)
class Shape:
    """What was found."""

    spans: Spans
    flows: Flows
    names: Names
    losses: tuple[Loss, ...] = ()
    first_ns: int = 0
    """Of the first event that is meant."""
    last_ns: int = 0

    @classmethod
    def of(cls, tables: Tables, pairs: Sequence[Pair] = (), losses: Sequence[Loss] = ()) -> Shape:
        """Of a trace. Raises UsageError for a pair that there is not."""
        spans, flows, names = SpanFinder(pairs), FlowFinder(), Names()
        first: int | None = None
        last = 0
        for table, rows in tables():
            spans.add(table, rows)
            flows.add(table, rows)
            names.add(table)
            if len(rows):
                first = int(table.ns[rows[0]]) if first is None else first
                last = int(table.ns[rows[-1]])
        return cls(spans.spans(), flows.flows(), names, tuple(losses), first or 0, last)


@dataclass(frozen=True)
class Roles:
    """What the rows of one table do: INSTANT, BEGIN or END of a span; its task; and its lane (-1: on the thread)."""

    role: NDArray[np.int8]
    task: Ints
    lane: Ints


class RoleFinder:
    """Tells the roles table by table. The spans of pairs that were asked for are told apart, for they come on top."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        asked = np.array([task.asked for task in spans.tasks] or [False], np.bool_)[spans.task]
        self.own, self.asked = np.flatnonzero(~asked), np.flatnonzero(asked)
        self._order = [_by_end(spans, which) for which in (self.own, self.asked)]

    def roles(self, first: int, count: int) -> Roles:
        """Of `count` rows from a row of the whole trace on."""
        role, task, lane = np.zeros(count, np.int8), np.full(count, -1, np.int64), np.full(count, -1, np.int64)
        for what, which, rows in self._within(0, first, count):
            role[rows - first] = what
            task[rows - first], lane[rows - first] = self.spans.task[which], self.spans.lane[which]
        return Roles(role, task, lane)

    def on_top(self, first: int, count: int) -> list[tuple[int, Ints, Ints]]:
        """Ends, then begins, of the spans asked for: the role, the spans, and the rows where they begin or end."""
        return self._within(1, first, count)[::-1]

    def _within(self, group: int, first: int, count: int) -> list[tuple[int, Ints, Ints]]:
        which, order = (self.own, self.asked)[group], self._order[group]
        begins, ends = self.spans.begin[which], self.spans.end[order]
        low, high = np.searchsorted(begins, [first, first + count])
        begun = which[low:high]
        low, high = np.searchsorted(ends, [first, first + count])
        ended = order[low:high]
        return [(BEGIN, begun, self.spans.begin[begun]), (END, ended, self.spans.end[ended])]


def _by_end(spans: Spans, which: Ints) -> Ints:
    ended = which[spans.end[which] >= 0]
    return ended[np.argsort(spans.end[ended], kind="stable")]
