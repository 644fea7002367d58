"""The files that are damaged: small ones of the writer with everything in them, and pieces of real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from hotswap.trace.compression import Compression
from hotswap.trace.etl import parse_etl
from hotswap.trace.framing import HeaderType
from hotswap.trace.hostile.damage import Sample
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape
from hotswap.trace.tracelogging import Provider
from hotswap.trace.writer import (
    ClassicRow,
    ErrorRow,
    EventRow,
    Instance,
    KernelRow,
    Layout,
    ManifestRow,
    MessageRow,
    Row,
    Session,
    build_etl,
    items,
)

_MOST = 200_000
"""Bytes of a piece: so many inputs a second matter more than large ones."""
_GUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
_PROVIDER = Provider.named("HotSwap.Hostile")
_FIXED = EventSchema("Fixed", (Field("Worker", InType.UINT32), Field("Mask", InType.HEXINT64),
                               Field("Status", InType.HEXINT32, OutType.NTSTATUS)))  # fmt: skip
_MIXED = EventSchema(
    "Mixed",
    (
        Field("Byte", InType.UINT8),
        Field("Name", InType.UNICODESTRING),
        Field("Narrow", InType.ANSISTRING, OutType.UTF8),
        Field("Counted", InType.COUNTEDSTRING, tags=0x81),
        Field("Blob", InType.BINARY),
        Field("Who", InType.SID),
        Field("Three", InType.UINT16, shape=Shape.CONSTANT, count=3),
        Field("Many", InType.DOUBLE, shape=Shape.VARIABLE),
        Field("Texts", InType.COUNTEDANSISTRING, shape=Shape.VARIABLE),
        Field(
            "Parts",
            InType.STRUCT,
            shape=Shape.VARIABLE,
            fields=(
                Field("Id", InType.GUID),
                Field(
                    "Inner", InType.STRUCT, fields=(Field("Deep", InType.UNICODESTRING), Field("When", InType.FILETIME))
                ),
            ),
        ),
        Field("Pointer", InType.POINTER),
    ),
)
_VALUES = {
    "Byte": 7,
    "Name": "name",
    "Narrow": "ä",
    "Counted": "counted",
    "Blob": b"blob",
    "Who": bytes([1, 1, 0, 0, 0, 0, 0, 5]) + bytes(4),
    "Three": [1, 2, 3],
    "Many": [1.5, 2.5],
    "Texts": ["a", "bb"],
    "Parts": [{"Id": bytes(range(16)), "Inner": {"Deep": "deep", "When": 133_800_000_000_000_000}}] * 2,
    "Pointer": 4096,
}


def made_up_samples() -> list[Sample]:
    """Files that hold every kind of header, of every layout and compression."""
    session = Session(buffer_size=4096, processors=3, first_tick=900)
    sessions = {
        "plain": session,
        "windows-7": replace(session, layout=Layout.WINDOWS_7, pointer_size=4),
        "circular": replace(session, mode=0x2002, maximum_file_size=20),
        "unclosed": replace(session, mode=0x2021, maximum_file_size=64, closed=False),
        **{kind.name.lower(): replace(session, compression=kind) for kind in Compression},
    }
    return [_sample(f"made-up-{name}", build_etl(_rows(120), each)) for name, each in sessions.items()]


def real_samples(folder: Path) -> Iterator[Sample]:
    """The beginnings of all files of a folder."""
    for path in sorted(folder.glob("*.etl")):
        data = path.read_bytes()
        whole = _sample(path.name, data)
        end = next((place for place in whole.buffers if place >= _MOST), len(data))
        yield whole if end == len(data) else _sample(path.name, data[:end])


def _sample(name: str, data: bytes) -> Sample:
    etl = parse_etl(data)
    plain = not etl.buffers["inflated"].any()
    # In a compressed file the places of events are of the inflated image: there the first buffer's will do.
    events = etl.frames.offset if plain else etl.frames.offset[etl.frames.buffer == 0]
    return Sample(name, data, etl.buffers["offset"].tolist(), events.tolist())


def _rows(count: int) -> Iterator[Row]:
    some = (
        items.stack([0xFFFFF80012345678, 1], 7),
        items.related_activity(_GUID),
        items.sid(5, 21, 1),
        items.counters([1]),
    )
    for i in range(count):
        tick, cpu = 1000 + i, i % 3
        yield (
            EventRow(tick, cpu, 4, 8, _PROVIDER, _FIXED, {"Worker": i, "Mask": i << 40, "Status": 0}),
            EventRow(tick, cpu, 4, 8, _PROVIDER, _MIXED, _VALUES, items=some[: i % 4], pointer_size=4 if i % 8 else 8),
            ManifestRow(tick, cpu, 4, 8, _GUID, i, bytes(i % 40), items=some, provider_name="Manifest"),
            ClassicRow(tick, cpu, 4, 8, _GUID, 3, b"classic", instance=Instance(1) if i % 4 else None),
            KernelRow(tick, cpu, 0x0524, bytes(24), 2, HeaderType.SYSTEM64, 4, 8),
            KernelRow(tick, cpu, 0x0F2E, bytes(16), 2, counters=(1, 2), pebs_index=3),
            KernelRow(tick, cpu, 0x1403, bytes(9), 2, HeaderType.COMPACT32, 4, 8),
            MessageRow(tick, cpu, i, b"wpp", guid=_GUID, sequence=i, process=(4, 8)),
            ErrorRow(tick, cpu),
        )[i % 9]  # fmt: skip
