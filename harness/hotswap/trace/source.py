"""The chosen events of a file as tables: all in one where it is small, part by part where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from hotswap.trace.chunks import CHUNK_BUFFERS
from hotswap.trace.etl import EtlFile
from hotswap.trace.owners import Known, Owners, find_owners
from hotswap.trace.payload_numpy import ragged
from hotswap.trace.select import Rows, Selection
from hotswap.trace.table import EventTable

AT_ONCE = 256 << 20
"""Bytes of buffers, inflated, that are read at once."""
PART_BUFFERS = CHUNK_BUFFERS
"""Of a larger file, about so many buffers are read at a time."""


def is_large(etl: EtlFile) -> bool:
    """Whether a file is better not held in memory as a whole."""
    return len(etl.buffers) * etl.header.buffer_size > AT_ONCE


def tables_of(etl: EtlFile) -> Iterator[EventTable]:
    """All events in time order, in one table or in several that follow each other."""
    if not is_large(etl):
        yield etl.events
        return
    known = Known()
    for table in etl.chunks(PART_BUFFERS):
        yield _of_owners(table, find_owners(table, known))


def subset(table: EventTable, rows: Rows) -> EventTable:
    """Some rows of a table, which keep whose they are."""
    return _owned(table.take(rows), table, rows)


def compact(table: EventTable, rows: Rows) -> EventTable:
    """The same without the bytes of other events."""
    data, begins = ragged(np.frombuffer(table.data, np.uint8), table.offset[rows], table.size[rows])
    moved = begins[:-1] - table.offset[rows]
    part = table.take(rows)
    offset, payload_offset = part.offset + moved, part.payload_offset + moved
    part = replace(part, offset=offset, payload_offset=payload_offset, data=data.tobytes(), _decoded={})
    return _owned(part, table, rows)


def joined(parts: Sequence[EventTable]) -> EventTable:
    """Tables that follow each other as one; their kinds are the same."""
    sizes = np.cumsum([0, *(len(part.data) for part in parts)]).tolist()
    columns: dict[str, Any] = {
        column.name: np.concatenate([getattr(part, column.name) for part in parts])
        for column in fields(EventTable)
        if column.name not in ("kinds", "frequency", "data", "_decoded")
    }
    shift = np.repeat(sizes[:-1], [len(part) for part in parts])
    columns["offset"] += shift
    columns["payload_offset"] += shift
    table = replace(parts[0], **columns, data=b"".join(bytes(part.data) for part in parts), _decoded={})
    process, thread = (np.concatenate([getattr(part, f"owner_{name}") for part in parts]) for name in ("pid", "tid"))
    return _with_owners(table, process, thread)


def _owned(part: EventTable, table: EventTable, rows: Rows) -> EventTable:
    return _with_owners(part, table.owner_pid[rows], table.owner_tid[rows])


def _with_owners(table: EventTable, process: Rows, thread: Rows) -> EventTable:
    differ = not (np.array_equal(process, table.pid) and np.array_equal(thread, table.tid))
    return _of_owners(table, Owners(process, thread, differ))


def _of_owners(table: EventTable, owners: Owners) -> EventTable:
    # What a part alone could not tell: who ran on a processor.
    table.__dict__["_owners"] = owners
    return table


@dataclass
class ChosenEvents:
    """The events of a file that a selection means. They can be gone through again and again."""

    etl: EtlFile
    selection: Selection = field(default_factory=Selection)
    traced: bool = False
    """Without the event that is the file's own header."""
    told: Callable[[float], None] | None = None
    """Told the part that is done, 0 to 1."""
    _rows: Rows | None = None

    def tables(self) -> Iterator[tuple[EventTable, Rows]]:
        """Tables in time order with the rows that are meant. Raises UsageError for what the trace does not have."""
        return ((table, rows) for _, table, rows in self.numbered())

    def numbered(self) -> Iterator[tuple[int, EventTable, Rows]]:
        """The same, with the number that the first row of each table has in the whole trace."""
        done = 0
        for table in tables_of(self.etl):
            yield done, table, self._chosen(table)
            done += len(table)
            if self.told is not None:
                self.told(done / max(1, self.etl.index.events))

    def _chosen(self, table: EventTable) -> Rows:
        if self._rows is not None:
            return self._rows
        rows = self.selection.rows(table)
        if self.traced:
            rows = rows[table.recorded[rows]]
        if not is_large(self.etl):
            self._rows = rows
        return rows

    def first(self, most: int) -> tuple[EventTable, Rows, int]:
        """At most so many of them as rows of one table, and how many more there are. Of a large file, a copy."""
        if not is_large(self.etl):
            table, rows = next(self.tables())
            return table, rows[:most], max(0, len(rows) - most)
        parts: list[EventTable] = []
        held = left = 0
        for table, rows in self.tables():
            kept = rows[: most - held]
            left += len(rows) - len(kept)
            held += len(kept)
            if len(kept) or not parts:
                parts.append(compact(table, kept))
        whole = joined(parts)
        return whole, np.arange(len(whole)), left
