"""Any trace as a Perfetto file: spans as slices, all else as instants, scheduling, flows, and what got lost."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from hotswap.trace.perfetto.annotations import field_annotations, undecoded
from hotswap.trace.perfetto.packets import INSTANT, SLICE_BEGIN, SLICE_END, Packets
from hotswap.trace.perfetto.scheduling import add_scheduling, is_scheduling
from hotswap.trace.perfetto.tracks import Tracks
from hotswap.trace.perfetto.wire import (
    FIXED64,
    VARINT,
    Chosen,
    Column,
    Part,
    encode,
    field,
    fixed,
    key,
    varint,
    varints,
)
from hotswap.trace.schema import unique_names
from hotswap.trace.shape import BEGIN, END, RoleFinder, Roles, Shape, Tables
from hotswap.trace.table import NO_SCHEMA, EventTable

Ints = NDArray[np.int64]

_TYPES = np.array([INSTANT, SLICE_BEGIN, SLICE_END], np.int64)
"""By role."""


def write_perfetto(tables: Tables, shape: Shape, stream: BinaryIO, *, unix_ns: int) -> int:
    """Write a trace and return how many events went into it.

    Times are exact nanoseconds since the session started, which was at `unix_ns`; where events lie before that, since
    the first one.
    """
    writer = _Writer(shape, stream, unix_ns)
    for table, rows in tables():
        writer.add(table, rows)
    writer.finish()
    return writer.written


class _Writer:
    def __init__(self, shape: Shape, stream: BinaryIO, unix_ns: int) -> None:
        self.shape = shape
        self.base = min(0, shape.first_ns)
        self.packets = Packets(stream, unix_ns=unix_ns + self.base)
        self.tracks = Tracks(self.packets, shape)
        self.finder = RoleFinder(shape.spans)
        self.written = 0
        self.first = 0
        self.fields: dict[int, frozenset[str]] = {}
        order = np.argsort(shape.flows.origin, kind="stable")
        self.flows_out = shape.flows.origin[order], order + 1
        self.flows_in = shape.flows.to, np.arange(1, len(order) + 1)
        self._losses()

    def add(self, table: EventTable, rows: Ints) -> None:
        roles = self.finder.roles(self.first, len(table))
        if not self.fields:
            self.fields = {number: _fields(table, task.begins) for number, task in enumerate(self.shape.spans.tasks)}
        for index in np.unique(table.kind[rows]).tolist():
            mine = rows[table.kind[rows] == index]
            hook = table.kinds[index].hook
            if is_scheduling(hook):
                order = mine + self.first
                mine = add_scheduling(self.packets, table, hook, mine, order, self._ns(table, mine))
            if table.kinds[index].schema is None:
                self._bare(table, index, mine, roles)
            else:
                self._decoded(table, index, mine, roles)
        self._on_top(table)
        self.packets.flush()
        self.written += len(rows)
        self.first += len(table)

    def finish(self) -> None:
        self.packets.flush()

    def _ns(self, table: EventTable, rows: Ints) -> Ints:
        return table.ns[rows] - self.base

    def _decoded(self, table: EventTable, index: int, rows: Ints, roles: Roles) -> None:
        """Events with their fields; an end has only those that its begin has not."""
        events = table.kind_events(index)
        wanted = np.zeros(len(table), np.bool_)
        wanted[rows] = True
        role = roles.role[events.rows]
        for what in np.unique(role[wanted[events.rows]]).tolist():
            for task in np.unique(roles.task[events.rows[role == what]]).tolist() if what == END else [-1]:
                chosen = wanted[events.rows] & (role == what)
                chosen &= (roles.task[events.rows] == task) if what == END else True
                fields = field_annotations(self.packets, events, chosen, self.fields.get(task, frozenset()))
                self._put(table, index, events.rows[chosen], roles, fields)
        wanted[events.rows] = False
        self._bare(table, index, np.flatnonzero(wanted), roles)

    def _bare(self, table: EventTable, index: int, rows: Ints, roles: Roles) -> None:
        """Events of which the fields are not known."""
        empty = table.payload_length[rows] == 0
        self._put(table, index, rows[empty], roles, [])
        rows = rows[~empty]
        if len(rows):
            described = table.kinds[index].schema is not None
            problems = (
                [str(table.row(row)["problem"]) for row in rows.tolist()] if described else [NO_SCHEMA] * len(rows)
            )
            self._put(table, index, rows, roles, undecoded(self.packets, table, rows, problems))

    def _put(self, table: EventTable, index: int, rows: Ints, roles: Roles, fields: list[Part]) -> None:
        if not len(rows):
            return
        kind = table.kinds[index]
        role, lane, task = roles.role[rows], roles.lane[rows], roles.task[rows]
        track = self.tracks.of(table, rows)
        apart = lane >= 0
        track[apart] = self.tracks.lanes(lane[apart])
        name = np.full(len(rows), self.packets.name(kind.name), np.int64)
        for one in np.unique(task[role == BEGIN]).tolist():
            name[(role == BEGIN) & (task == one)] = self.packets.name(self.shape.spans.tasks[one].name)
        named = role != END
        event: list[Part] = [
            *field(9, varints(_TYPES[role])),
            *field(11, varints(track)),
            Chosen(named, [*field(10, varints(name)), key(3, VARINT), varint(self.packets.category(kind.giver))]),
            *self._flows(rows),
            *fields,
        ]
        self.packets.events(rows + self.first, varints(self._ns(table, rows)), event)

    def _flows(self, rows: Ints) -> list[Part]:
        """One flow for each event that was led to; both its ends have its number."""
        if not len(self.shape.flows.to):
            return []
        return [_repeated(rows + self.first, *flows) for flows in (self.flows_out, self.flows_in)]

    def _on_top(self, table: EventTable) -> None:
        for role, spans, rows in self.finder.on_top(self.first, len(table)):
            if not len(rows):
                continue
            track = self.tracks.lanes(self.shape.spans.lane[spans])
            names = np.array([self.packets.name(task.name) for task in self.shape.spans.tasks], np.int64)
            event: list[Part] = [*field(9, varints(_TYPES[np.full(len(rows), role)])), *field(11, varints(track))]
            if role == BEGIN:
                event += field(10, varints(names[self.shape.spans.task[spans]]))
                event += [key(3, VARINT), varint(self.packets.category("pairs"))]
            self.packets.events(rows, varints(self._ns(table, rows - self.first)), event)

    def _losses(self) -> None:
        """At the beginning of the file, where their track is described; a reader puts them in their place."""
        free: list[int] = []
        for loss in sorted(self.shape.losses, key=lambda loss: (loss.start is not None, loss.start or 0)):
            start = max(0, (self.shape.first_ns if loss.start is None else loss.start) - self.base)
            end = max(start, (self.shape.last_ns if loss.end is None else loss.end) - self.base)
            lane = next((number for number, until in enumerate(free) if until <= start), len(free))
            free[lane : lane + 1] = [end + 1]
            track = self.tracks.losses(lane)
            where: dict[str, int | str] = {} if loss.cpu is None else {"cpu": loss.cpu}
            self.packets.event(-1, start, SLICE_BEGIN, track, loss.what, where, category="lost events")
            self.packets.event(-1, end, SLICE_END, track)


def _fields(table: EventTable, kinds: tuple[int, ...]) -> frozenset[str]:
    """The fields that the events of some kinds have."""
    schemas = (table.kinds[index].schema for index in kinds)
    return frozenset(name for schema in schemas if schema for name in unique_names(schema.fields))


def _repeated(rows: Ints, places: Ints, flows: Ints) -> Column:
    """For each row the flows of its place, as repeated fields; `places` are in order."""
    low, high = np.searchsorted(places, rows, "left"), np.searchsorted(places, rows, "right")
    count = high - low
    offset = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(count, out=offset[1:])
    within = np.arange(int(offset[-1])) - np.repeat(offset[:-1], count)
    chosen = flows[np.repeat(low, count) + within].astype(np.uint64)
    pieces = encode(len(chosen), [key(47, FIXED64), fixed(chosen)])
    return Column(pieces.data, pieces.offset[offset])
