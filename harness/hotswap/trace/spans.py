"""Spans of time: from an event that begins something to the one that ends it.

Only what begins or ends is kept, some 50 bytes each; the tables that it came from can be let go.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.pairs import match_nested, match_queued
from hotswap.trace.row_keys import Keys
from hotswap.trace.select import kinds_named
from hotswap.trace.span_kinds import START, STOP, Pair, Roles, Task
from hotswap.trace.table import EventTable
from hotswap.trace.threads import distinct_threads

Ints = NDArray[np.int64]

_SINGLE_TRACK = 0.5
"""Less than this share of the begins ended: what is called start and stop here is not a span of a thread."""


@dataclass(frozen=True)
class Spans:
    """Spans in the order of their begins: rows of the whole trace, counted over all tables."""

    begin: Ints
    end: Ints
    """-1: it goes on at the end of the trace. A begin without an end that others follow on its thread is no span."""
    begin_tick: Ints
    end_tick: Ints
    """Of the begin where there is no end."""
    task: Ints
    lane: Ints
    """-1: on the track of its thread, in which it nests with the others. Else the number of a lane of its own."""
    tasks: tuple[Task, ...]
    lanes: tuple[tuple[int, int], ...]
    """Process and task of each lane: what overlaps, or moves from thread to thread, lies in several of them."""

    def __len__(self) -> int:
        return len(self.begin)


@dataclass(frozen=True)
class _Points:
    """Begins and ends, in the order of the trace."""

    row: Ints
    tick: Ints
    role: Ints
    task: Ints
    pid: Ints
    thread: Ints
    """Threads are numbered."""
    key: Ints
    """Of a pair that was asked for; else the number of the activity, -1 for none."""

    @classmethod
    def joined(cls, parts: Sequence[_Points]) -> _Points:
        empty = cls(*[np.zeros(0, np.int64)] * 7)
        return cls(*map(np.concatenate, zip(*(part._columns() for part in (empty, *parts)), strict=True)))

    def _columns(self) -> tuple[Ints, ...]:
        return self.row, self.tick, self.role, self.task, self.pid, self.thread, self.key

    def ordered(self, order: Ints) -> _Points:
        return _Points(*(column[order] for column in self._columns()))


class SpanFinder:
    """Takes the tables of a trace in their order, which have the same kinds, and then tells the spans."""

    def __init__(self, pairs: Sequence[Pair] = (), *, by_name: bool = True) -> None:
        """Without `by_name` only the pairs asked for are spans."""
        self._pairs, self._by_name = tuple(pairs), by_name
        self._keys = [Keys(pair.per) for pair in pairs]
        self._roles: Roles | None = None
        self._threads: dict[tuple[int, int], int] = {}
        self._activities: dict[bytes, int] = {}
        self._own: list[_Points] = []
        self._asked: list[list[_Points]] = [[] for _ in pairs]
        self._rows = 0

    def add(self, table: EventTable, rows: Ints | None = None) -> None:
        """The chosen rows of the next table (all, if not given). Raises UsageError for a pair that there is not."""
        if self._roles is None:
            self._roles = Roles.of(table.kinds, self._by_name)
        kind = table.kind if rows is None else table.kind[rows]
        at = np.flatnonzero(self._roles.role[kind] != 0)
        mine = at if rows is None else rows[at]
        kind = table.kind[mine]
        self._own.append(
            self._points(table, mine, self._roles.role[kind], self._roles.task[kind], self._activity(table, mine))
        )
        for pair, keys, parts in zip(self._pairs, self._keys, self._asked, strict=True):
            parts += self._part(table, rows, pair, keys)
        self._rows += len(table)

    def _part(self, table: EventTable, rows: Ints | None, pair: Pair, keys: Keys) -> list[_Points]:
        found = []
        for role, name in ((START, pair.first), (STOP, pair.second)):
            kinds = kinds_named(table, name)
            keys.check(table, kinds, "--pair")
            chosen = np.isin(table.kind, kinds)
            mine = np.flatnonzero(chosen) if rows is None else rows[chosen[rows]]
            key = keys.of(table, mine)
            mine, key = mine[key >= 0], key[key >= 0]
            found.append(self._points(table, mine, np.full(len(mine), role), np.zeros(len(mine), np.int64), key))
        return found

    def _points(self, table: EventTable, rows: Ints, role: Ints, task: Ints, key: Ints) -> _Points:
        thread = self._thread(table, rows)
        return _Points(rows + self._rows, table.tick[rows], role, task, table.pid[rows], thread, key)

    def _thread(self, table: EventTable, rows: Ints) -> Ints:
        pairs, number = distinct_threads(table.pid[rows], table.tid[rows])
        return np.array([self._threads.setdefault(pair, len(self._threads)) for pair in pairs], np.int64)[number]

    def _activity(self, table: EventTable, rows: Ints) -> Ints:
        """Numbers for the activities; -1 where an event has none."""
        ids, inverse = np.unique(table.activity[rows].view("S16"), return_inverse=True)
        codes = [self._activities.setdefault(one, len(self._activities)) if one else -1 for one in ids.tolist()]
        return np.array(codes, np.int64)[inverse.reshape(-1)]

    def spans(self) -> Spans:
        """All spans of the tables so far."""
        tasks = list(self._roles.tasks) if self._roles else []
        found = [_own_spans(_Points.joined(self._own), max(len(tasks), 1))]
        for pair, parts in zip(self._pairs, self._asked, strict=True):
            found.append(_asked_spans(_Points.joined(parts), len(tasks)))
            tasks.append(Task(pair.name, "", asked=True))
        whole = _Found(*(np.concatenate(parts) for parts in zip(*map(_Found.columns, found), strict=True)))
        order = np.argsort(whole.begin, kind="stable")
        whole = _Found(*(column[order] for column in whole.columns()))
        lane, lanes = _lanes(whole)
        return Spans(
            whole.begin, whole.end, whole.begin_tick, whole.end_tick, whole.task, lane, tuple(tasks), lanes
        )  # fmt: skip


@dataclass(frozen=True)
class _Found:
    """Spans before they have lanes; `apart` is 1 where they need one."""

    begin: Ints
    end: Ints
    begin_tick: Ints
    end_tick: Ints
    task: Ints
    pid: Ints
    apart: Ints

    @classmethod
    def of(cls, points: _Points, at: Ints, other: Ints, apart: NDArray[np.bool_]) -> _Found:
        """Of begins and their ends (-1: none)."""
        ended = other >= 0
        end, begin_tick = np.where(ended, points.row[other], -1), points.tick[at]
        end_tick = np.where(ended, points.tick[other], begin_tick)
        return cls(points.row[at], end, begin_tick, end_tick, points.task[at], points.pid[at], apart.astype(np.int64))

    def columns(self) -> tuple[Ints, ...]:
        """In the order of their names above."""
        return self.begin, self.end, self.begin_tick, self.end_tick, self.task, self.pid, self.apart


def _own_spans(points: _Points, tasks: int) -> _Found:
    """Pairs by thread or by activity, whichever ends more of a task's begins."""
    begins, task, activity = points.role == START, points.task, points.key
    by_thread = match_nested(points.thread * tasks + task, begins)
    has = np.flatnonzero(activity >= 0)
    by_activity = np.full(len(task), -1, np.int64)
    found = match_nested(activity[has] * tasks + task[has], begins[has])
    by_activity[has] = np.where(found >= 0, has[found], -1)
    counts = [np.bincount(task[begins & (partner >= 0)], minlength=tasks) for partner in (by_thread, by_activity)]
    partner = np.where((counts[1] > counts[0])[task], by_activity, by_thread)
    real = np.maximum(*counts) >= np.bincount(task[begins], minlength=tasks) * _SINGLE_TRACK
    at = np.flatnonzero(begins & real[task] & ((partner >= 0) | _last(points)))
    return _Found.of(points, at, partner[at], _apart(points, at, partner[at], tasks))


def _last(points: _Points) -> NDArray[np.bool_]:
    """Which of them no other follows on its thread: what such a begin began, goes on."""
    last = np.full(int(points.thread.max(initial=-1)) + 1, -1, np.int64)
    np.maximum.at(last, points.thread, points.row)
    found: NDArray[np.bool_] = points.row == last[points.thread]
    return found


def _asked_spans(points: _Points, task: int) -> _Found:
    """First come, first served; an event that is both ends the one before it."""
    points = points.ordered(np.lexsort((-points.role, points.row)))
    points = replace(points, task=np.full(len(points.row), task, np.int64))
    partner = match_queued(points.key, points.role == START)
    at = np.flatnonzero((points.role == START) & (partner >= 0))
    return _Found.of(points, at, partner[at], np.ones(len(at), np.bool_))


def _apart(points: _Points, at: Ints, other: Ints, tasks: int) -> NDArray[np.bool_]:
    """Which spans cannot lie on the track of their thread: all of a task that moves between threads or does not nest
    with the rest."""
    row, thread, task = points.row, points.thread, points.task
    ended = other >= 0
    moving = np.zeros(tasks, np.bool_)
    moving[task[at[ended]][thread[at[ended]] != thread[other[ended]]]] = True
    while True:
        inside = np.flatnonzero(ended & ~moving[task[at]])
        ends = np.concatenate([at[inside], other[inside]])
        step = np.concatenate([np.ones(len(inside), np.int64), -np.ones(len(inside), np.int64)])
        order = np.lexsort((row[ends], thread[ends]))
        # Of a thread begins and ends are balanced, so that all threads can share one running depth.
        depth = np.empty(len(ends), np.int64)
        depth[order] = np.cumsum(step[order])
        crossing = depth[: len(inside)] - 1 != depth[len(inside) :]
        if not crossing.any():
            break
        moving[task[at[inside[crossing]]]] = True
    apart: NDArray[np.bool_] = moving[task[at]]
    return apart


def _lanes(found: _Found) -> tuple[Ints, tuple[tuple[int, int], ...]]:
    """A lane for each span that lies apart, the lowest of its process and task that is free."""
    lane = np.full(len(found.begin), -1, np.int64)
    lanes: list[tuple[int, int]] = []
    free: dict[tuple[int, int], list[int]] = {}
    busy: dict[tuple[int, int], list[tuple[int, int]]] = {}
    chosen = np.flatnonzero(found.apart)
    until = np.where(found.end < 0, np.iinfo(np.int64).max, found.end)
    columns = (chosen, *(column[chosen] for column in (found.pid, found.task, found.begin, until)))
    for at, process, task, first, last in zip(*(column.tolist() for column in columns), strict=True):
        key = (process, task)
        mine, waiting = busy.setdefault(key, []), free.setdefault(key, [])
        while mine and mine[0][0] <= first:
            heapq.heappush(waiting, heapq.heappop(mine)[1])
        if waiting:
            number = heapq.heappop(waiting)
        else:
            number = len(lanes)
            lanes.append(key)
        heapq.heappush(mine, (last, number))
        lane[at] = number
    return lane, tuple(lanes)
