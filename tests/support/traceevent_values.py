"""What TraceEvent prints of an event, from what our reader says of it: texts of values, and what it computes itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any

import numpy as np

from hotswap.trace.decode import decode_payload
from hotswap.trace.etl import EtlFile
from hotswap.trace.event_kind import EventKind
from hotswap.trace.schema import Field, InType
from hotswap.trace.table import EventTable
from hotswap.trace.text import map_name, plain, value_text

_MASKS = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_PRIORITIES = ("Notset", "Verylow", "Low", "Normal", "High", "Critical")


@dataclass
class Decoded:
    """One event of ours."""

    etl: EtlFile
    row: int

    @property
    def table(self) -> EventTable:
        return self.etl.events

    @property
    def kind(self) -> EventKind:
        return self.table.kinds[int(self.table.kind[self.row])]

    @property
    def name(self) -> str:
        return f"{self.kind.giver}/{self.kind.name}"

    @cached_property
    def values(self) -> dict[str, Any]:
        if self.kind.schema is None:
            return {}
        return decode_payload(self.kind.schema, self.table.payload(self.row), self.kind.pointer_size)

    @cached_property
    def fields(self) -> dict[str, tuple[Field, Any]]:
        """Field and value by the name in lower case."""
        schema = self.kind.schema
        return {item.name.lower(): (item, self.values[item.name]) for item in (schema.fields if schema else ())}


def texts(item: Field, value: Any) -> set[str]:
    """How TraceEvent may print a value: it has types of its own for many fields."""
    if not isinstance(value, int):
        return {value_text(item, value), str(plain(item, value))}
    signed = {value, *(value - mask - 1 for mask in _MASKS if mask >> 1 < value <= mask)}
    found = {str(number) for number in signed} | {f"{number:,}" for number in signed}
    found |= {f"0x{value & mask:08x}" for mask in _MASKS} | {str(bool(value)), value_text(item, value)}
    if (name := map_name(item, value)) is not None:
        found |= {name.replace(" | ", ", "), name.replace(" | ", "|")}
    elif value == 0:
        found |= {"None", "not_specified"}
    if item.in_type == InType.FILETIME:
        found.add(_date(dt.datetime(1601, 1, 1) + dt.timedelta(microseconds=value // 10)))
    return found


def is_printed(printed: str, candidates: set[str]) -> bool:
    """Whether one of them is what stands there; long texts are cut after 20 characters."""
    if printed.endswith("..."):
        return any(text.startswith(printed[:-3]) for text in candidates)
    return printed in candidates


def _date(when: dt.datetime) -> str:
    return when.strftime("%y/%m/%d %H:%M:%S.%f")


def _same(other: str) -> Callable[[Decoded], set[str]]:
    """A field that TraceEvent calls otherwise."""
    return lambda event: texts(*event.fields[other.lower()])


def _number(compute: Callable[[Mapping[str, Any], Decoded], int | float]) -> Callable[[Decoded], set[str]]:
    def text(event: Decoded) -> set[str]:
        value = compute(event.values, event)
        if isinstance(value, float):
            return {f"{Decimal(str(value)).quantize(Decimal('0.001'), ROUND_HALF_UP):,}"}
        return {str(value), f"{value:,}", f"0x{value:08x}", str(bool(value))}

    return text


def _build_time(event: Decoded) -> set[str]:
    return {_date(dt.datetime(1970, 1, 1) + dt.timedelta(seconds=event.values["TimeDateStamp"]))}


def _dos_path(path: str, etl: EtlFile) -> str:
    volumes = etl.events.events("SysConfig/VolumeMapping")
    known = sorted(zip(volumes["NtPath"].tolist(), volumes["DosPath"].tolist(), strict=True), key=lambda v: -len(v[0]))
    system = etl.events.events("SysConfig/SystemPaths")["SystemWindowsDirectory"][0]
    known.append(("\\Windows\\", str(system)))
    return next((dos + path[len(nt) :] for nt, dos in known if path.startswith(nt)), path)


def _image_path(event: Decoded) -> set[str]:
    return {_dos_path(event.values["FileName"], event.etl)}


def _file_path(event: Decoded) -> set[str]:
    """By the file object, whose name the rundown of files says."""
    found = set()
    for name in ("FileIO/FileRundown", "FileIO/FileCreate", "FileIO/FileDelete", "FileIO/Name"):
        files = event.table.events(name)
        if len(files):
            mine = np.flatnonzero(files["FileObject"] == event.values["FileObject"])
            found |= {_dos_path(files["FileName"][at], event.etl) for at in mine.tolist()}
    return found


def _type_name(event: Decoded) -> set[str]:
    """The runtime names types in events of their own."""
    named = event.table.events("Type/BulkType")
    values = named["Values"].tolist() if len(named) else []
    return {part["Name"] for row in values for part in row if part["TypeID"] == event.values["TypeID"]} or {""}


def _header_id(name: str) -> Callable[[Decoded], set[str]]:
    """Who started a thread is who wrote the event; TraceEvent has nobody for an end."""

    def text(event: Decoded) -> set[str]:
        value = int(getattr(event.table, name)[event.row]) if event.kind.name == "Thread/Start" else -1
        return {f"{value:,}"}

    return text


def _frequency(event: Decoded) -> float:
    return event.table.frequency / 1000


def _share(event: Decoded) -> set[str]:
    names = [name for bit, name in ((3, "ReadWrite"), (4, "Delete")) if event.values["ShareAccess"] & bit == bit]
    return {", ".join(names)}


def _system_time(event: Decoded) -> set[str]:
    """TraceEvent takes the seconds for the milliseconds, too."""
    year, month, _, day, hour, minute, second, _ = np.frombuffer(event.values["system_time_type"], "<u2").tolist()
    return {_date(dt.datetime(year, month, day, hour, minute, second, second * 1000))}


COMPUTED: dict[tuple[str, str], Callable[[Decoded], set[str]]] = {
    ("EventTrace", "LogFileName"): _same("LogFile"),
    ("EventTrace", "UtcOffsetMinutes"): _number(lambda v, e: v["Bias"]),
    ("PrimitiveTypesTest", "system_time_type"): _system_time,
    ("Process", "PageDirectoryBase"): _same("DirectoryTableBase"),
    ("Process", "MemoryCount"): _same("PageFaultCount"),
    ("ImageID", "BuildTime"): _build_time,
    ("Image", "BuildTime"): _build_time,
    ("Image", "FileName"): _image_path,
    ("PerfInfo/Sample", "ProcessorNumber"): _number(lambda v, e: int(e.table.cpu[e.row])),
    ("PerfInfo/Sample", "Priority"): _number(lambda v, e: v["Flags"] >> 3 & 0x1F),
    ("PerfInfo/Sample", "ExecutingDPC"): _number(lambda v, e: v["Flags"] & 1),
    ("PerfInfo/Sample", "ExecutingISR"): _number(lambda v, e: v["Flags"] >> 1 & 1),
    ("PerfInfo/Sample", "Rank"): _number(lambda v, e: v["Flags"] >> 8),
    ("PerfInfo", "SampleSource"): _same("Source"),
    ("Thread", "StartAddr"): _same("Affinity"),
    ("Thread", "ParentThreadID"): _header_id("tid"),
    ("Thread", "ParentProcessID"): _header_id("pid"),
    ("ManifestData", "PayloadLength"): _number(lambda v, e: int(e.table.payload_length[e.row])),
    ("Create", "IrpPtr"): _same("Irp"),
    ("Create", "CreateDisposition"): lambda e: {("SUPERSEDE", "OPEN_EXISTING")[e.values["CreateOptions"] >> 24]},
    ("Create", "FileAttributes"): _same("CreateAttributes"),
    ("Create", "ShareAccess"): _share,
    ("Create", "FileName"): _image_path,
    ("UdpIp", "context"): _number(lambda v, e: v["size"] << 32 | v["PID"]),
    ("DiskIO", "Priority"): lambda e: {_PRIORITIES[e.values["IrpFlags"] >> 17 & 7]},
    ("DiskIO", "ElapsedTimeMSec"): _number(lambda v, e: v["HighResResponseTime"] / _frequency(e)),
    ("DiskIO", "FileKey"): _same("FileObject"),
    ("DiskIO", "FileName"): _file_path,
    ("Memory/HardFault", "ElapsedTimeMSec"): _number(
        lambda v, e: (int(e.table.tick[e.row]) - v["InitialTime"]) / _frequency(e)
    ),
    ("Memory/HardFault", "FileKey"): _same("FileObject"),
    ("Memory/HardFault", "FileName"): _file_path,
    ("ModuleLoad", "ModuleILFileName"): lambda e: {e.values["ModuleILPath"].rpartition("\\")[2]},
    ("ModuleUnload", "ModuleILFileName"): lambda e: {e.values["ModuleILPath"].rpartition("\\")[2]},
    ("ModuleDCStop", "ModuleILFileName"): lambda e: {e.values["ModuleILPath"].rpartition("\\")[2]},
    ("HeapStats", "TotalHeapSize"): _number(lambda v, e: sum(v.get(f"GenerationSize{n}", 0) for n in range(5))),
    ("HeapStats", "TotalPromoted"): _number(lambda v, e: sum(v.get(f"TotalPromotedSize{n}", 0) for n in range(5))),
    ("FinalizeObject", "TypeName"): _type_name,
    ("BulkType", "TypeID_0"): _number(lambda v, e: v["Values"][0]["TypeID"]),
    ("BulkType", "TypeName_0"): lambda e: {e.values["Values"][0]["Name"]},
}
"""By event, or the first or last part of its name, and field: what TraceEvent computes, or calls otherwise."""


def computed(name: str, field: str) -> Callable[[Decoded], set[str]] | None:
    """How to compute what TraceEvent prints under a name that our event has no field for."""
    parts = name.split("/")
    tails = ["/".join(parts[-2:]), parts[-1], parts[-2] if len(parts) > 1 else ""]
    return next((COMPUTED[tail, field] for tail in tails if (tail, field) in COMPUTED), None)
