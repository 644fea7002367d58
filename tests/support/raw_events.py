"""Events of every kind of header, byte by byte, and files of them; nothing here is shared with the package's writer."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

from hotswap.trace.writer import Session, build_etl

BUFFER = 2048
SESSION = Session(buffer_size=BUFFER)
NO_ID = 0xFFFFFFFF
NO_GUID = UUID(int=0)


def event(
    tick: int, guid: UUID, number: int, payload: bytes = b"", *, bits: int = 64, pid: int = 4, tid: int = 5,
    items: bytes = b"", activity: UUID = NO_GUID, level: int = 3, opcode: int = 1, keyword: int = 9,
) -> bytes:  # fmt: skip
    """EVENT_HEADER; version 2, channel 16, task 7."""
    size = 80 + len(items) + len(payload)
    head = struct.pack("<HBBHHIIq", size, 0x13 if bits == 64 else 0x12, 0xC0, bool(items), 0, tid, pid, tick)
    descriptor = struct.pack("<HBBBBHQ", number, 2, 16, level, opcode, 7, keyword)
    return head + guid.bytes_le + descriptor + bytes(8) + activity.bytes_le + items + payload


def item(kind: int, data: bytes, *, last: bool = True) -> bytes:
    """An extended item as it is on disk."""
    padded = data + bytes(-len(data) % 8)
    return struct.pack("<HHHH", 8 + len(padded), kind, not last, len(data)) + padded


def classic(
    tick: int, guid: UUID, kind: int, payload: bytes = b"", *, bits: int = 64, pid: int = 4, tid: int = 5
) -> bytes:
    """EVENT_TRACE_HEADER; level 2, version 3."""
    head = struct.pack("<HBBBBHIIq", 48 + len(payload), 0x14 if bits == 64 else 0x0A, 0xC0, kind, 2, 3, tid, pid, tick)
    return head + guid.bytes_le + bytes(8) + payload


def instance(tick: int, guid: UUID, kind: int, payload: bytes = b"", *, bits: int = 64) -> bytes:
    """EVENT_INSTANCE_GUID_HEADER: instance 11 of parent 12."""
    size = 72 + len(payload)
    head = struct.pack("<HBBBBHIIq", size, 0x15 if bits == 64 else 0x0B, 0xC0, kind, 2, 3, 5, 4, tick)
    return head + guid.bytes_le + bytes(8) + struct.pack("<II", 11, 12) + bytes(16) + payload


def system(
    tick: int, hook: int, payload: bytes = b"", *, bits: int = 64, compact: bool = False, version: int = 2,
    pid: int = 4, tid: int = 5,
) -> bytes:  # fmt: skip
    """SYSTEM_TRACE_HEADER, or without processor times."""
    kind = (0x03 if compact else 0x01) + (bits == 64)
    size = (24 if compact else 32) + len(payload)
    head = struct.pack("<HBBHHIIq", version, kind, 0xC0, size, hook, tid, pid, tick)
    return head + (b"" if compact else bytes(8)) + payload


def perfinfo(tick: int, hook: int, payload: bytes = b"", *, bits: int = 64, version: int = 2) -> bytes:
    """PERFINFO_TRACE_HEADER. `version` also says what stands before the payload."""
    return struct.pack("<HBBHHq", version, 0x11 if bits == 64 else 0x10, 0xC0, 16 + len(payload), hook, tick) + payload


def message(number: int, options: int, values: bytes = b"", payload: bytes = b"") -> bytes:
    """MESSAGE_TRACE_HEADER; `values` are those that the options announce."""
    size = 8 + len(values) + len(payload)
    return struct.pack("<HBBHH", size, 0, 0x90, number, options) + values + payload


def unknown(kind: int, payload: bytes = b"") -> bytes:
    """A header of which nothing but the size is known."""
    return struct.pack("<HBBHH", 8 + len(payload), kind, 0xC0, 0, 0) + payload


def file_of(*buffers: Sequence[bytes], cpus: Sequence[int] | None = None, session: Session = SESSION) -> bytes:
    """A closed file with one buffer of each sequence of events."""
    out = [build_etl([], session)]
    for index, events in enumerate(buffers):
        content = b"".join(each + bytes(-len(each) % 8) for each in events)
        filled, last = 72 + len(content), index == len(buffers) - 1
        assert filled <= session.buffer_size
        cpu = cpus[index] if cpus else 0
        head = struct.pack(
            "<IIIIqQQHHIIHH16x", session.buffer_size, filled, filled, 0, 0, 1 + index, 0, cpu, 1, 3, filled,
            0x20 | last, 0,
        )  # fmt: skip
        out.append(head + content + b"\xff" * (session.buffer_size - filled))
    data = bytearray(b"".join(out))
    struct.pack_into("<I", data, 72 + 32 + 0x24, 1 + len(buffers))
    return bytes(data)
