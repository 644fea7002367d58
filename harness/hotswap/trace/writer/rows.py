"""Events to write, one at a time: a class for each family of headers (etl.md, sections 2.2 and 2.3)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol
from uuid import UUID

from hotswap.errors import UsageError
from hotswap.trace.encode import encode_payload
from hotswap.trace.event_kind import LOST_EVENT_GUID
from hotswap.trace.framing import EVENT_HEADER_SIZE, HeaderType
from hotswap.trace.schema import EventSchema, Value
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer.items import Item, pack_items, schema_item, traits_item

CHANNEL_TRACELOGGING = 11
NOBODY = UUID(int=0)
_MARKER = 0xC0
_MARKER_MESSAGE = 0x90
_MOST = 0xFFFF
_UNSIGNED = 0xFFFFFFFF


class Row(Protocol):
    """An event to write: its raw session time, its processor, and its bytes without padding."""

    @property
    def tick(self) -> int:
        """Raw session time."""
        ...

    @property
    def cpu(self) -> int:
        """Processor."""
        ...

    def encode(self) -> bytes:
        """Header, extended items and payload. Raises UsageError for what cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class EventRow:
    """A TraceLogging event. `items` come before those that make it one."""

    tick: int
    cpu: int
    pid: int
    tid: int
    provider: Provider
    schema: EventSchema
    values: Mapping[str, Value] = field(default_factory=dict)
    level: int = 4
    opcode: int = 0
    keyword: int = 0
    items: tuple[Item, ...] = ()
    activity: UUID = NOBODY
    pointer_size: int = 8

    def encode(self) -> bytes:
        """As Row says."""
        described = _described(self.provider.name, self.schema, self.items)
        payload = encode_payload(self.schema, self.values, self.pointer_size)
        descriptor = (0, 0, CHANNEL_TRACELOGGING, self.level, self.opcode, 0, self.keyword)
        return _event(
            self.tick, self.pid, self.tid, self.provider.guid, descriptor, self.activity, self.pointer_size,
            described, payload,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """An event that a manifest describes. `provider_name` adds the traits that EventSource-like providers have."""

    tick: int
    cpu: int
    pid: int
    tid: int
    provider: UUID
    event_id: int
    payload: bytes = b""
    version: int = 0
    channel: int = 0
    level: int = 4
    opcode: int = 0
    task: int = 0
    keyword: int = 0
    items: tuple[Item, ...] = ()
    activity: UUID = NOBODY
    pointer_size: int = 8
    provider_name: str = ""

    def encode(self) -> bytes:
        """As Row says."""
        items = (*self.items, *([traits_item(self.provider_name)] if self.provider_name else ()))
        descriptor = (self.event_id, self.version, self.channel, self.level, self.opcode, self.task, self.keyword)
        return _event(
            self.tick, self.pid, self.tid, self.provider, descriptor, self.activity, self.pointer_size,
            pack_items(items), self.payload,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instance:
    """What an INSTANCE header says beyond a FULL one."""

    instance: int
    parent: int = 0
    parent_guid: UUID = NOBODY


@dataclass(frozen=True, slots=True)
class ClassicRow:
    """An event of a classic (MOF) provider: EVENT_TRACE_HEADER, with `instance` EVENT_INSTANCE_GUID_HEADER.

    `guid` is the event class, `type` what others call the opcode.
    """

    tick: int
    cpu: int
    pid: int
    tid: int
    guid: UUID
    type: int
    payload: bytes = b""
    version: int = 0
    level: int = 0
    pointer_size: int = 8
    instance: Instance | None = None
    times: tuple[int, int] = (0, 0)
    """KernelTime and UserTime."""

    def encode(self) -> bytes:
        """As Row says."""
        narrow, which = self.pointer_size == 4, self.instance
        kind = HeaderType.FULL32 if narrow else HeaderType.FULL64
        tail = b""
        if which is not None:
            kind = HeaderType.INSTANCE32 if narrow else HeaderType.INSTANCE64
            tail = struct.pack("<II16s", which.instance, which.parent, which.parent_guid.bytes_le)
        size = _size(48 + len(tail) + len(self.payload))
        head = struct.pack(
            "<HBBBBHIIq16sII", size, kind, _MARKER, self.type, self.level, self.version, self.tid & _UNSIGNED,
            self.pid & _UNSIGNED, self.tick, self.guid.bytes_le, *self.times,
        )  # fmt: skip
        return head + tail + self.payload


@dataclass(frozen=True, slots=True)
class KernelRow:
    """An event of the kernel logger. `hook` is group << 8 | type; PERFINFO headers have neither pid nor tid.

    `counters` and `pebs_index` are the processor's, which lie between header and payload.
    """

    tick: int
    cpu: int
    hook: int
    payload: bytes = b""
    version: int = 2
    header: HeaderType = HeaderType.PERFINFO64
    pid: int = -1
    tid: int = -1
    counters: tuple[int, ...] = ()
    pebs_index: int | None = None
    times: tuple[int, int] = (0, 0)

    def encode(self) -> bytes:
        """As Row says."""
        flags = len(self.counters) << 8 | (0 if self.pebs_index is None else 0x8000)
        if len(self.counters) > 7:
            raise UsageError(f"{len(self.counters)} performance counters: 7 is the most")
        prefix = b"" if self.pebs_index is None else struct.pack("<Q", self.pebs_index)
        prefix += struct.pack(f"<{len(self.counters)}Q", *self.counters)
        if self.header in (HeaderType.PERFINFO32, HeaderType.PERFINFO64):
            middle = struct.pack("<q", self.tick)
        else:
            middle = struct.pack("<IIq", self.tid & _UNSIGNED, self.pid & _UNSIGNED, self.tick)
            if self.header in (HeaderType.SYSTEM32, HeaderType.SYSTEM64):
                middle += struct.pack("<II", *self.times)
        size = _size(8 + len(middle) + len(prefix) + len(self.payload))
        head = struct.pack("<HBBHH", self.version | flags, self.header, _MARKER, size, self.hook)
        return head + middle + prefix + self.payload


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A WPP message. What is None is not in the record; without `timed` it has no time, and `tick` only places it."""

    tick: int
    cpu: int
    number: int
    payload: bytes = b""
    guid: UUID | None = None
    component: int | None = None
    sequence: int | None = None
    process: tuple[int, int] | None = None
    """Process and thread id."""
    timed: bool = True
    pointer_size: int = 8

    def encode(self) -> bytes:
        """As Row says."""
        options, parts = 0x80 if self.pointer_size == 8 else 0x40, []
        if self.sequence is not None:
            options |= 0x01
            parts.append(struct.pack("<I", self.sequence))
        if self.guid is not None:
            options |= 0x02
            parts.append(self.guid.bytes_le)
        elif self.component is not None:
            options |= 0x04
            parts.append(struct.pack("<I", self.component))
        if self.timed:
            options |= 0x08
            parts.append(struct.pack("<q", self.tick))
        if self.process is not None:
            options |= 0x20
            parts.append(struct.pack("<II", self.process[1], self.process[0]))
        body = b"".join(parts) + self.payload
        head = struct.pack("<HBBHH", _size(8 + len(body)), 0, _MARKER_MESSAGE, self.number, options)
        return head + body


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """A record of something that went wrong while logging. What is in it is not documented."""

    tick: int
    cpu: int
    content: bytes = bytes(8)

    def encode(self) -> bytes:
        """As Row says."""
        return struct.pack("<HBBI", _size(8 + len(self.content)), HeaderType.ERROR, _MARKER, 0) + self.content


@dataclass(frozen=True, slots=True)
class RawRow:
    """Any bytes as an event: what no writer should write, or what was read elsewhere."""

    tick: int
    cpu: int
    content: bytes

    def encode(self) -> bytes:
        """As Row says."""
        _size(len(self.content))
        return self.content


def lost_event(tick: int, cpu: int, type: int = 32) -> ClassicRow:
    """RT_LostEvent: 32 an event, 33 a buffer, 34 the backing file of a real-time session."""
    return ClassicRow(tick, cpu, 0, 0, LOST_EVENT_GUID, type)


def _event(
    tick: int,
    pid: int,
    tid: int,
    provider: UUID,
    descriptor: tuple[int, int, int, int, int, int, int],
    activity: UUID,
    pointer_size: int,
    items: bytes,
    payload: bytes,
) -> bytes:
    """An EVENT_HEADER event. `descriptor`: id, version, channel, level, opcode, task, keyword."""
    head = struct.pack(
        "<HBBHHIIq16sHBBBBHQQ16s",
        _size(EVENT_HEADER_SIZE + len(items) + len(payload)),
        HeaderType.EVENT32 if pointer_size == 4 else HeaderType.EVENT64,
        _MARKER,
        1 if items else 0,
        0,
        tid & _UNSIGNED,
        pid & _UNSIGNED,
        tick,
        provider.bytes_le,
        *descriptor,
        0,
        activity.bytes_le,
    )
    return head + items + payload


@lru_cache(maxsize=1024)
def _described(provider_name: str, schema: EventSchema, items: tuple[Item, ...]) -> bytes:
    return pack_items((*items, traits_item(provider_name), schema_item(schema)))


def _size(size: int) -> int:
    if size > _MOST:
        raise UsageError(f"an event of {size} bytes: {_MOST} is the most")
    return size
