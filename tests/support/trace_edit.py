"""Changing a trace: events taken out, written twice, moved in time, with other fields. The table is edited, no file."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hotswap.trace.encode import encode_payload
from hotswap.trace.etl import EtlFile


@dataclass
class Item:
    """One event of the edited trace: a row of the first one, and what is otherwise now."""

    row: int
    name: str
    tick: int
    tid: int
    fields: dict[str, int]
    changed: bool = False
    """Whether the fields are other ones than in the first trace."""

    def __getitem__(self, name: str) -> int:
        return self.fields[name]


@dataclass
class TraceEdit:
    """A trace and what is to be changed in it."""

    etl: EtlFile
    provider: object
    gone: set[int] = field(default_factory=set)
    added: list[Item] = field(default_factory=list)
    """Copies, each with a time of its own."""
    moved: dict[int, int] = field(default_factory=dict)
    """New ticks by row."""
    threads: dict[int, int] = field(default_factory=dict)
    said: dict[int, dict[str, int]] = field(default_factory=dict)
    """New fields by row."""

    def build(self) -> EtlFile:
        """The changed trace."""
        table = self.etl.events
        kept = np.array([row for row in range(len(table)) if row not in self.gone], np.int64)
        source = np.concatenate([kept, np.array([item.row for item in self.added], np.int64)])
        taken = table.take(source)
        tick, tid = taken.tick.copy(), taken.tid.copy()
        offset, payload = taken.offset.copy(), taken.payload_offset.copy()
        place = {int(row): at for at, row in enumerate(kept.tolist())}
        patches: list[tuple[int, int, dict[str, int]]] = []
        for row, new in self.moved.items():
            tick[place[row]] = new
        for row, thread in self.threads.items():
            tid[place[row]] = thread
        for row, fields in self.said.items():
            patches.append((place[row], row, fields))
        for number, item in enumerate(self.added):
            at = len(kept) + number
            tick[at] = item.tick
            if item.changed:
                patches.append((at, item.row, item.fields))
        data = bytearray(table.data)
        for at, row, fields in patches:
            begin, size = int(table.offset[row]), int(table.size[row])
            event = bytearray(table.data[begin : begin + size])
            kind = table.kinds[int(table.kind[row])]
            assert kind.schema is not None
            content = encode_payload(kind.schema, fields)
            start = int(table.payload_offset[row]) - begin
            event[start : start + len(content)] = content
            data += bytes(-len(data) % 8)
            offset[at], payload[at] = len(data), len(data) + start
            data += event
        order = np.lexsort((np.arange(len(source)), taken.cpu, tick))
        clock = self.etl.header.clock
        changed = dataclasses.replace(
            taken, tick=tick, tid=tid, ns=clock.nanoseconds(tick), filetime=clock.filetimes(tick), offset=offset,
            payload_offset=payload, data=bytes(data), _decoded={},
        )  # fmt: skip
        result = copy.copy(self.etl)
        # What the file says as a whole stays, and is known already; these are its events now.
        assert result.index.events == len(table)
        result.__dict__["events"] = changed.take(order)
        return result


@dataclass(frozen=True)
class Records:
    """The events of one provider as plain objects, in time order."""

    etl: EtlFile
    provider: object

    @cached_property
    def all(self) -> list[Item]:
        table = self.etl.events
        found = []
        for row in range(len(table)):
            kind = table.kinds[int(table.kind[row])]
            if kind.provider == self.provider:
                fields = table.row(row)["fields"]
                assert isinstance(fields, dict)
                found.append(Item(row, kind.name, int(table.tick[row]), int(table.tid[row]), dict(fields)))
        return found

    def named(self, *names: str) -> list[Item]:
        return [item for item in self.all if item.name in names]
