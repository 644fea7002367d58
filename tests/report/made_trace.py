"""A trace with spans of several workers, payloads of every sort, some that do not decode, and losses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from uuid import UUID

from hotswap.report.trace_html import write_trace_report
from hotswap.trace.etl import EtlFile, parse_etl
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape
from hotswap.trace.select import Selection
from hotswap.trace.shape import Loss
from hotswap.trace.source import ChosenEvents
from hotswap.trace.span_kinds import Pair
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import EventRow, KernelRow, ManifestRow, Row, Session, build_etl
from support.reports import HOSTILE

PROVIDER = Provider.named("HotSwap.Page")
WORK = (Field("Worker", InType.UINT32), Field("Status", InType.HEXINT32, OutType.NTSTATUS))
BEGIN, END = EventSchema("WorkBegin", WORK), EventSchema("WorkEnd", WORK)
SIGNAL = EventSchema("Signal", (Field("Worker", InType.UINT32), Field("Number", InType.UINT64)))
NOTE = EventSchema(
    "Note",
    (
        Field("Text", InType.UNICODESTRING),
        Field("Load", InType.DOUBLE),
        Field("Huge", InType.UINT64),
        Field("Signed", InType.INT64),
        Field("Address", InType.POINTER),
        Field("Ready", InType.BOOL32),
        Field("When", InType.FILETIME),
        Field("Id", InType.GUID),
        Field("List", InType.INT16, shape=Shape.VARIABLE),
        Field("Raw", InType.BINARY),
    ),
)
WORKERS = 4
EVERYTHING = Selection()


def rows(rounds: int = 60) -> list[Row]:
    draw = random.Random(7)
    found: list[Row] = [
        KernelRow(10, 1, 0x0F2E, b"\x01" * 16),
        ManifestRow(12, 0, 7, 700, UUID(int=5), 17, b"\xcd" * 100),
    ]
    for i in range(rounds):
        base, worker = 100 + i * 100, i % WORKERS
        found.append(event(base, 200, SIGNAL, {"Worker": worker, "Number": i}))
        begin, end = base + draw.randint(5, 30), base + draw.randint(40, 90)
        status = 0xC0000001 if i % 9 == 8 else 0
        found.append(event(begin, 300 + worker, BEGIN, {"Worker": worker, "Status": 0}))
        found.append(event(end, 300 + worker, END, {"Worker": worker, "Status": status}))
        if i % 5 == 0:
            found.append(event(base + 95, 400, NOTE, note(i)))
    return sorted(found, key=lambda row: row.tick)


def event(tick: int, tid: int, schema: EventSchema, values: dict[str, object]) -> EventRow:
    return EventRow(tick, tid % 2, 7, tid, PROVIDER, schema, values)


def note(i: int) -> dict[str, object]:
    return {
        "Text": HOSTILE if i == 5 else f"nöte {i}", "Load": i / 7, "Huge": 2**64 - 1 - i, "Signed": -(2**62) - i,
        "Address": 0xFFFF8000_00000000 + i, "Ready": i % 2, "When": 133_800_000_000_000_000 + i,
        "Id": UUID(int=i).bytes_le, "List": list(range(i % 12)), "Raw": bytes(range(i % 20)),
    }  # fmt: skip


def etl_of(events: Sequence[Row]) -> EtlFile:
    return parse_etl(build_etl(events, Session(processors=2)))


def page_of(
    etl: EtlFile, *, pairs: Sequence[str] = (), losses: Sequence[Loss] = (), chosen: Selection = EVERYTHING
) -> str:
    source = ChosenEvents(etl, chosen, traced=True)
    asked = [Pair.parse(text) for text in pairs]
    return write_trace_report(source, pairs=asked, losses=losses, command="hotswap trace report x.etl")
