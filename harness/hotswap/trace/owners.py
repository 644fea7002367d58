"""Which process and thread an event is about, where its header does not say so.

Events of the kernel have short headers, and what they tell of is often not who wrote them. In this order:

* A built-in event whose payload names a process is about that one, and about the thread named with it. Where there
  is none, as in the load of an image, it is the header's if that is a thread of this process, else none.
* Else the header counts.
* Else it is the thread that the payload names, and else the one that ran on the processor, as context switches tell.

The process of a thread is what starts, rundowns and headers say: the last of them before it, else the first after.
Of a trace that is read part by part, `Known` takes along what the parts before said; those after cannot be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.event_kind import EventKind
from hotswap.trace.framing import gather
from hotswap.trace.schema import EventSchema, fixed_dtype, unique_names
from hotswap.trace.schemas.builtin import SOURCE

if TYPE_CHECKING:
    from hotswap.trace.table import EventTable

Ints = NDArray[np.int64]
Said = tuple[Ints, Ints]
"""Keys, and what was said of each."""

_PROCESSES = ("ProcessId", "PID", "StackProcess", "HRPid")
_THREADS = ("TThreadId", "NewThreadId", "ThreadId", "IssuingThreadId", "TTID", "StackThread")
_SWITCH = "Thread/CSwitch"
_SESSION = "EventTrace"
"""Events of the session itself: nobody else is meant."""
_STRANGERS = frozenset({"Dispatcher/ReadyThread"})
"""Events whose thread is not the one that they happen in."""
_LIFE = frozenset(f"Thread/{name}" for name in ("Start", "Stop", "DCStart", "DCStop"))


@dataclass(frozen=True, slots=True)
class Owners:
    """The process and the thread of every row; -1 for none, and where nothing tells."""

    process: Ints
    thread: Ints
    differ: bool = False
    """Whether any event is about another than its header says."""


@dataclass
class Known:
    """What the parts of a trace before said: who runs on each processor, and the process of each thread."""

    running: Said = field(default_factory=lambda: (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    processes: Said = field(default_factory=lambda: (np.zeros(0, np.int64), np.zeros(0, np.int64)))


def find_owners(table: EventTable, known: Known | None = None) -> Owners:
    """Who every event of a table is about. `known` is of the parts before, and takes in what this one says."""
    kernel = [
        index
        for index, kind in enumerate(table.kinds)
        if kind.family in ("kernel", "classic") and not kind.name.startswith(_SESSION)
    ]
    if not kernel:
        return Owners(table.pid, table.tid)
    process, thread = table.pid.copy(), table.tid.copy()
    unnamed = np.isin(table.kind, kernel)
    for index in kernel:
        kind = table.kinds[index]
        by_process, by_thread = _named(kind, _PROCESSES), _named(kind, _THREADS)
        if by_process is None and by_thread is None:
            continue
        if by_process is not None:
            rows, told = _column(table, index, by_process)
            same = table.pid[rows] == told
            process[rows], thread[rows] = told, np.where(same, table.tid[rows], -1)
            unnamed[rows] = False
        if by_thread is not None:
            rows, told = _column(table, index, by_thread)
            if by_process is None:
                rows, told = rows[table.tid[rows] < 0], told[table.tid[rows] < 0]
            thread[rows] = told
            unnamed[rows] = False
    lost = np.flatnonzero(unnamed & (thread < 0) & (process < 0))
    if len(lost) or known is not None:
        running = _Facts.of(_running(table), known.running if known else None)
        thread[lost] = running.at(table.cpu[lost], lost)
        if known is not None:
            known.running = running.last()
    orphans = np.flatnonzero((process < 0) & (thread >= 0))
    if len(orphans) or known is not None:
        processes = _Facts.of(_life(table), known.processes if known else None)
        process[orphans] = processes.at(thread[orphans], orphans)
        if known is not None:
            known.processes = processes.last()
    return Owners(process, thread, not (np.array_equal(process, table.pid) and np.array_equal(thread, table.tid)))


def _named(kind: EventKind, names: tuple[str, ...]) -> str | None:
    """The first of these fields that a built-in event has."""
    if kind.description is None or kind.description.source != SOURCE or kind.name in _STRANGERS:
        return None
    fields = {item.name for item in kind.description.schema.fields}
    return next((name for name in names if name in fields), None)


def _column(table: EventTable, index: int, name: str) -> tuple[Ints, Ints]:
    """The rows of a kind that have a field, and the ids in it. What comes after the field is not looked at."""
    kind = table.kinds[index]
    assert kind.schema is not None
    names = unique_names(kind.schema.fields)
    head = kind.schema.fields[: names.index(name) + 1]
    dtype = fixed_dtype(EventSchema("", head), kind.pointer_size)
    if dtype is None:
        events = table.kind_events(index)
        return events.rows, _ids(events.fields[name])
    rows = np.flatnonzero(table.kind == index)
    rows = rows[table.payload_length[rows] >= dtype.itemsize]
    records = gather(np.frombuffer(table.data, np.uint8), table.payload_offset[rows], dtype)
    return rows, _ids(records[name])


def _ids(values: NDArray[np.generic]) -> Ints:
    """Ids as the table has them: none is -1."""
    numbers = values.astype(np.int64)
    return np.where((numbers < 0) | (numbers >= 0xFFFFFFFF), -1, numbers)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What was said of keys, by row: the last said before a row counts, else the first after it."""

    key: Ints
    row: Ints
    value: Ints
    begins: Ints
    """The first fact of each of `keys`, and behind the last."""
    keys: Ints

    @classmethod
    def of(cls, parts: Iterable[tuple[Ints, Ints, Ints]], before: Said | None = None) -> _Facts:
        """From keys, rows and values, and from what was said before the first row."""
        empty = np.zeros(0, np.int64)
        parts = list(parts)
        if before is not None:
            parts.append((before[0], np.full(len(before[0]), -1, np.int64), before[1]))
        columns = list(zip(*parts, strict=True)) or [(empty,), (empty,), (empty,)]
        key, row, value = (np.concatenate([empty, *column]) for column in columns)
        order = np.lexsort((row, key))
        key, row, value = key[order], row[order], value[order]
        keys, begins = np.unique(key, return_index=True)
        return cls(key, row, value, np.append(begins, len(key)).astype(np.int64), keys)

    def at(self, keys: Ints, rows: Ints) -> Ints:
        """The values of keys at rows; -1 for a key of which nothing was said."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.int64)
        # Facts lie in order of key and row, and rows begin at -1: one search finds the last that is not after.
        span = int(max(self.row.max(), rows.max(initial=0))) + 2
        place = np.searchsorted(self.keys, keys)
        known = place < len(self.keys)
        known[known] = self.keys[place[known]] == keys[known]
        group = np.where(known, place, 0)
        facts = np.repeat(np.arange(len(self.keys)), np.diff(self.begins)) * span + self.row
        found = np.searchsorted(facts, group * span + rows, side="right") - 1
        found = np.maximum(found, self.begins[group])
        return np.where(known, self.value[found], -1)

    def last(self) -> Said:
        """What was said last of each key."""
        return self.keys, self.value[self.begins[1:] - 1]


def _life(table: EventTable) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Threads, rows and processes that are named together."""
    for index, kind in enumerate(table.kinds):
        if kind.name in _LIFE and _named(kind, _PROCESSES) and _named(kind, _THREADS):
            rows, tid = _column(table, index, "TThreadId")
            yield tid, rows, _column(table, index, "ProcessId")[1]
    plain = np.array([kind.family == "event" for kind in table.kinds], np.bool_)[table.kind]
    rows = np.flatnonzero(plain & (table.pid >= 0) & (table.tid >= 0))
    # Of what is said again and again the first is enough.
    order = np.lexsort((rows, table.tid[rows]))
    tid, pid = table.tid[rows][order], table.pid[rows][order]
    news = np.ones(len(rows), np.bool_)
    news[1:] = (tid[1:] != tid[:-1]) | (pid[1:] != pid[:-1])
    yield tid[news], rows[order][news], pid[news]


def _running(table: EventTable) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Processors, rows and the threads that ran there from then on, as context switches tell."""
    for index, kind in enumerate(table.kinds):
        if kind.name == _SWITCH and _named(kind, _THREADS):
            rows, new = _column(table, index, "NewThreadId")
            _, old = _column(table, index, "OldThreadId")
            cpu = table.cpu[rows]
            yield cpu, rows, new
            cpus, first = np.unique(cpu, return_index=True)
            # Before the first switch the thread ran that it took off the processor.
            yield cpus.astype(np.int64), np.full(len(cpus), -1, np.int64), old[first]
