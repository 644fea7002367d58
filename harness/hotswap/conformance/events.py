"""The conformance driver's trace: the events of conformance_events.h, as the trace ring gives them."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hotswap.errors import LabFault, UsageError
from hotswap.paths import package_data

_ENTRY = struct.Struct("<IHH")
_HEADER = struct.Struct("<HBBHHIIq")
_HEADER_BYTES = 80
_ITEM = struct.Struct("<HHHH")
_SCHEMA_ITEM = 11
_EVENT = re.compile(r"\b(?:EVENT\(|CONFORMANCE_PROXY_EVENT\(EVENT,)\s*(\w+)\s*,[^)\n]*\)")
_FIELDS = {8: "I", 9: "q", 10: "Q", 20: "I", 21: "Q"}


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event: name, tick of KeQueryPerformanceCounter, thread, and its fields by their C names."""

    name: str
    tick: int
    thread_id: int
    fields: Mapping[str, int]

    def __getitem__(self, field: str) -> int:
        return self.fields[field]


@cache
def event_names() -> tuple[str, ...]:
    """The events in the order of the header, which numbers them from 0. Raises LabFault."""
    header = package_data("driver") / "include" / "conformance_events.h"
    try:
        text = header.read_text()
    except OSError as error:
        raise LabFault(f"reading the trace events in {header}: {error.strerror}") from error
    return tuple(_EVENT.findall(text[text.index("#define CONFORMANCE_EVENTS(") :]))


def event_number(name: str) -> int:
    """The number of an event, for pause points. Raises UsageError that lists the known ones."""
    try:
        return event_names().index(name)
    except ValueError:
        raise UsageError(f"no event {name!r}; there are: {', '.join(event_names())}") from None


def read_events(data: bytes, entries: int) -> list[TraceEvent]:
    """The events in `data`, entries as trace_ring.h has them."""
    events = []
    at = 0
    for _ in range(entries):
        size, _processor, _ = _ENTRY.unpack_from(data, at)
        events.append(_read_event(data, at + _ENTRY.size))
        at += size
    return events


def _read_event(data: bytes, start: int) -> TraceEvent:
    size, _type, _marker, _flags, _property, thread, _process, tick = _HEADER.unpack_from(data, start)
    at = start + _HEADER_BYTES
    schema = b""
    more = True
    while more:
        length, kind, linkage, data_size = _ITEM.unpack_from(data, at)
        if kind == _SCHEMA_ITEM:
            schema = data[at + _ITEM.size : at + _ITEM.size + data_size]
        more = bool(linkage & 1)
        at += length
    name, layout, names = _schema(schema)
    return TraceEvent(name, tick, thread, dict(zip(names, layout.unpack_from(data[at : start + size]), strict=True)))


@cache
def _schema(schema: bytes) -> tuple[str, struct.Struct, tuple[str, ...]]:
    """Name of the event, and layout and names of its fields: 16-bit size, tag byte, names with NUL and their types."""
    name, _, rest = schema[3:].partition(b"\0")
    names, layout = [], "<"
    while rest:
        field, _, rest = rest.partition(b"\0")
        names.append(field.decode())
        layout += _FIELDS[rest[0] & 0x7F]
        rest = rest[2:] if rest[0] & 0x80 else rest[1:]
    return name.decode(), struct.Struct(layout), tuple(names)
