"""Writing standard `.etl` files from TraceLogging rows (reference: etl.md, section 5).

For tests: it makes what no real sample has (lost events, gaps, sessions never stopped). What the agent writes in the
guest is independent of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hotswap.errors import UsageError
from hotswap.trace.buffers import MODE_COMPRESSED
from hotswap.trace.clock import ClockType, SessionClock
from hotswap.trace.compression import Compression, compress
from hotswap.trace.encode import encode_payload
from hotswap.trace.framing import BUFFER_HEADER_SIZE, EVENT_HEADER_SIZE, BufferFlag, HeaderType
from hotswap.trace.schema import EventSchema, Value
from hotswap.trace.tracelogging import Provider, build_schema, build_traits

CHANNEL_TRACELOGGING = 11
_FLUSHED = 3
"""State of a buffer."""
_SECTOR = 512


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event to write. `tick` is raw session time."""

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


@dataclass(frozen=True, slots=True)
class Session:
    """The session that a file claims to come from, and what is to be wrong with it."""

    name: str = "hotswap"
    frequency: int = 10_000_000
    clock_type: ClockType = ClockType.QPC
    cpu_mhz: int = 3000
    first_tick: int = 0
    start_time: int = 133_800_000_000_000_000
    processors: int = 1
    buffer_size: int = 65_536
    mode: int = 0x1
    events_lost: int = 0
    buffers_lost: int = 0
    compression: Compression | None = None
    """How all buffers but the first are compressed. The mode gets the bit for it."""
    closed: bool = True
    """False: EndTime 0, BuffersWritten stale, no flush marker on the last buffer."""
    lost_flag: int = 0
    """BufferFlag bits to add to the last buffer."""
    gap_before: int | None = None
    """Leave out one sequence number before this buffer (1 is the first after the header buffer)."""


def write_etl(path: Path, rows: Iterable[EventRow], session: Session = Session()) -> None:
    """Write a file with these events, those of one CPU in time order. Raises UsageError for an impossible row."""
    path.write_bytes(build_etl(rows, session))


def build_etl(rows: Iterable[EventRow], session: Session = Session()) -> bytes:
    """The bytes of `write_etl`."""
    items: dict[tuple[str, EventSchema], bytes] = {}
    open_buffers: dict[int, list[bytes]] = {}
    fill: dict[int, int] = {}
    full: list[tuple[int, int, bytes]] = []
    last: dict[int, int] = {}
    end_tick = session.first_tick
    for row in rows:
        if row.tick < last.get(row.cpu, row.tick):
            raise UsageError(f"events of CPU {row.cpu} are not in time order at tick {row.tick}")
        last[row.cpu] = row.tick
        end_tick = max(end_tick, row.tick)
        key = (row.provider.name, row.schema)
        if key not in items:
            items[key] = _items(row.provider.name, row.schema)
        event = _event(row, items[key])
        room = session.buffer_size - BUFFER_HEADER_SIZE
        if len(event) > room:
            raise UsageError(f"an event of {len(event)} bytes does not fit into a buffer of {session.buffer_size}")
        if fill.get(row.cpu, 0) + len(event) > room:
            full.append((row.cpu, row.tick, b"".join(open_buffers.pop(row.cpu))))
            fill[row.cpu] = 0
        open_buffers.setdefault(row.cpu, []).append(event)
        fill[row.cpu] = fill.get(row.cpu, 0) + len(event)
    full += [(cpu, last[cpu], b"".join(events)) for cpu, events in open_buffers.items()]
    out = [_buffer(session, 0, 0, 4, BufferFlag.FLUSH_MARKER, 0, _header_event(session, len(full) + 1, end_tick))]
    for index, (cpu, tick, content) in enumerate(full, 1):
        sequence = index + (1 if session.gap_before is not None and index >= session.gap_before else 0)
        flags = BufferFlag(0)
        if index == len(full):
            flags |= session.lost_flag | (BufferFlag.FLUSH_MARKER if session.closed else BufferFlag(0))
        out.append(_buffer(session, sequence, cpu, 0, flags, tick, content))
    return b"".join(out)


def _items(provider_name: str, schema: EventSchema) -> bytes:
    return _item(12, 1, build_traits(provider_name)) + _item(11, 0, build_schema(schema))


def _item(kind: int, linkage: int, data: bytes) -> bytes:
    padded = data + bytes(-len(data) % 8)
    return struct.pack("<HHHH", 8 + len(padded), kind, linkage, len(data)) + padded


def _event(row: EventRow, items: bytes) -> bytes:
    payload = encode_payload(row.schema, row.values)
    size = EVENT_HEADER_SIZE + len(items) + len(payload)
    if size > 0xFFFF:
        raise UsageError(f"an event of {size} bytes: 65535 is the most")
    head = struct.pack(
        "<HBBHHIIq16sHBBBBHQIIQQ",
        size,
        HeaderType.EVENT64,
        0xC0,
        1,
        0,
        row.tid,
        row.pid,
        row.tick,
        row.provider.guid.bytes_le,
        0,
        0,
        CHANNEL_TRACELOGGING,
        row.level,
        row.opcode,
        0,
        row.keyword,
        0,
        0,
        0,
        0,
    )
    return head + items + payload + bytes(-size % 8)


def _header_event(session: Session, buffers: int, end_tick: int) -> bytes:
    names = f"{session.name}\0{session.name}.etl\0".encode("utf-16-le")
    clock = SessionClock.of(
        session.clock_type, session.frequency, session.cpu_mhz, session.first_tick, session.start_time
    )
    end_time = int(clock.filetimes(np.array([end_tick]))[0]) if session.closed else 0
    body = bytearray(0x118)
    struct.pack_into(
        "<IIIIQIIIIIIII",
        body,
        0,
        session.buffer_size,
        0x0501000A,
        19041,
        session.processors,
        end_time,
        156_250,
        0,
        session.mode | (0 if session.compression is None else MODE_COMPRESSED),
        buffers if session.closed else 1,
        1,
        8,
        session.events_lost,
        session.cpu_mhz,
    )
    struct.pack_into("<QQQII", body, 0xF8, session.start_time, session.frequency, session.start_time,
                     session.clock_type, session.buffers_lost)  # fmt: skip
    size = 32 + len(body) + len(names)
    head = struct.pack("<HBBHHIIqII", 2, HeaderType.SYSTEM64, 0xC0, size, 0, 0, 0, session.first_tick, 0, 0)
    return head + bytes(body) + names + bytes(-size % 8)


def _buffer(
    session: Session, sequence: int, cpu: int, kind: int, flags: BufferFlag, tick: int, content: bytes
) -> bytes:
    size, filled = session.buffer_size, BUFFER_HEADER_SIZE + len(content)
    if filled > size:
        raise UsageError(f"a buffer of {size} bytes is too small for the file header")
    state, flags = _FLUSHED, flags | BufferFlag.PROC_INDEX
    if session.compression is None:
        stored = content + b"\xff" * (size - filled)
    elif sequence == 0:
        # The header buffer stays as it is, only cut to what it needs, and names the compression.
        stored, state = content + b"\xff" * (-filled % _SECTOR), session.compression
    else:
        stored, flags = compress(session.compression, content), flags | BufferFlag.COMPRESSED
    head = struct.pack(
        "<IIIIqQQHHIIHH16x",
        BUFFER_HEADER_SIZE + len(stored),
        filled,
        filled,
        0,
        tick,
        sequence,
        0,
        cpu,
        1,
        state,
        filled,
        flags,
        kind,
    )
    return head + stored
