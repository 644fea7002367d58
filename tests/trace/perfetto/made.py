"""A trace with everything that an export has to tell: spans of all sorts, flows, kernel events, hostile texts."""

from __future__ import annotations

import struct
from uuid import UUID

from hotswap.trace.framing import HeaderType
from hotswap.trace.schema import EventSchema, Field, InType, OutType
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, KernelRow, ManifestRow, Row, Session, items

PROVIDER = Provider.named("HotSwap.Perfetto")
HOSTILE = 'na"me\n</script>\x1b[31m{"a":1}'
CALL = EventSchema("Call", (Field("Number", InType.UINT64), Field("Status", InType.HEXINT32, OutType.NTSTATUS)))
NOTE = EventSchema(
    "Note",
    (
        Field("Text", InType.UNICODESTRING),
        Field("Load", InType.DOUBLE),
        Field("Delta", InType.INT32),
        Field("Huge", InType.UINT64),
        Field("Object", InType.POINTER),
        Field("Ready", InType.BOOL32),
        Field("Raw", InType.BINARY),
    ),
)
PROCESS = EventSchema("ProcessInfo", (Field("ProcessId", InType.UINT32), Field("ImageFileName", InType.ANSISTRING)))
SESSION = Session(processors=2, start_time=133_800_000_000_000_000)
ACTIVITY, CHILD = UUID(int=7), UUID(int=8)


def note(tick: int, cpu: int, tid: int, text: str = "idle", **more: object) -> EventRow:
    values = {
        "Text": text, "Load": tick / 3, "Delta": -tick, "Huge": 2**64 - tick, "Object": 0xFFFF8000_00000000 + tick,
        "Ready": tick % 2, "Raw": bytes([tick % 256]),
    }  # fmt: skip
    return EventRow(tick, cpu, 500, tid, PROVIDER, NOTE, values, **more)  # type: ignore[arg-type]


def call(tick: int, tid: int, number: int, opcode: int, **more: object) -> EventRow:
    values = {"Number": number, "Status": 0xC0000001 if number % 3 == 0 else 0}
    return EventRow(tick, 0, 500, tid, PROVIDER, CALL, values, opcode=opcode, **more)  # type: ignore[arg-type]


def switch(tick: int, cpu: int, new: int, old: int) -> KernelRow:
    return KernelRow(tick, cpu, 0x0524, struct.pack("<IIbbBbbbbbII", new, old, 8, 9, 0, 0, 15, 1, 5, cpu, 1, 0))


def ready(tick: int, cpu: int, thread: int) -> KernelRow:
    return KernelRow(tick, cpu, 0x0532, struct.pack("<Ibbbb", thread, 1, 2, 0, 0))


def rows() -> list[Row]:
    """Ticks are 100 ns."""
    found: list[Row] = [
        EventRow(5, 0, 4, 8, PROVIDER, PROCESS, {"ProcessId": 500, "ImageFileName": "\\Device\\app.exe"}),
        note(10, 0, 601, HOSTILE),
        KernelRow(12, 1, 0x0F2E, b"\x01" * 16),
        ManifestRow(14, 0, 500, 602, UUID(int=99), 17, b"\xab" * 200, version=1),
        KernelRow(15, 0, 0x0B01, b"", header=HeaderType.SYSTEM64, pid=500, tid=603),
        EventRow(20, 0, 500, 601, PROVIDER, EventSchema("Idle")),
    ]
    # Nested calls of one thread, and one that goes on.
    for i in range(20):
        base = 100 + i * 100
        found += [call(base, 601, i, 1), call(base + 10, 601, 100 + i, 1), note(base + 20, 0, 601)]
        found += [call(base + 30, 601, 100 + i, 2), call(base + 60, 601, i, 2)]
        found += [switch(base + 5, 0, 601, 602), ready(base + 40, 0, 602), switch(base + 70, 0, 602, 601)]
    # An activity starts on one thread, another that is related to it follows on the next.
    found += [note(3000, 0, 601, activity=ACTIVITY)]
    found += [note(3010 + i, 0, 602, activity=CHILD, items=(items.related_activity(ACTIVITY),)) for i in range(3)]
    return [*found, call(4000, 601, 900, 1)]
