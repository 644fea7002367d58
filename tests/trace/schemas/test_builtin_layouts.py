"""Layouts that are built in, against payloads that are put together here by what Microsoft says of their classes."""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

import pytest

from hotswap.trace.decode import decode_payload, left_over
from hotswap.trace.encode import encode_payload
from hotswap.trace.etl import parse_etl
from hotswap.trace.schema import EventSchema, Field, InType, OutType, Shape, Value, is_sized, unique_names
from hotswap.trace.schemas.builtin import load
from hotswap.trace.schemas.description import EventDescription
from support.raw_events import classic, file_of, perfinfo, system

KERNEL = 0xFFFFF80000001000
SYSTEM_SID = bytes([1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0])
GUID = UUID("11223344-5566-7788-99aa-bbccddeeff00")


def wide(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"


def fixed(text: str, units: int) -> bytes:
    return text.encode("utf-16-le").ljust(2 * units, b"\0")


def read(data: bytes) -> dict[str, Any]:
    table = parse_etl(file_of([data])).events
    return table.row(1)


@pytest.mark.parametrize(
    ("hook", "version", "payload", "name", "wanted"),
    [
        (
            0x0524, 2, struct.pack("<IIbbBbbbbbII", 10, 20, 8, 9, 1, 0, 15, 1, 5, 3, 77, 0), "Thread/CSwitch",
            {"NewThreadId": 10, "OldThreadId": 20, "NewThreadPriority": 8, "OldThreadPriority": 9, "PreviousCState": 1,
             "OldThreadWaitReason": 15, "OldThreadWaitMode": 1, "OldThreadState": 5, "OldThreadWaitIdealProcessor": 3,
             "NewThreadWaitTime": 77},
        ),
        (
            0x0532, 2, struct.pack("<IbbBb", 10, 1, 2, 3, 0), "Dispatcher/ReadyThread",
            {"TThreadId": 10, "AdjustReason": 1, "AdjustIncrement": 2, "Flag": 3},
        ),
        (0x0F44, 1, struct.pack("<QQ", 5, KERNEL), "PerfInfo/DPC", {"InitialTime": 5, "Routine": KERNEL}),
        (0x0F42, 1, struct.pack("<QQ", 5, KERNEL), "PerfInfo/ThreadedDPC", {"InitialTime": 5, "Routine": KERNEL}),
        (0x0F45, 1, struct.pack("<QQ", 5, KERNEL), "PerfInfo/TimerDPC", {"InitialTime": 5, "Routine": KERNEL}),
        (
            0x0F43, 2, struct.pack("<QQBHB", 5, KERNEL, 1, 0x91, 0), "PerfInfo/ISR",
            {"InitialTime": 5, "Routine": KERNEL, "ReturnValue": 1, "Vector": 0x91},
        ),
        (
            0x0F32, 2, struct.pack("<QQBHBI", 5, KERNEL, 1, 0x91, 0, 6), "PerfInfo/ISR-MSI",
            {"Routine": KERNEL, "ReturnValue": 1, "Vector": 0x91, "MessageNumber": 6},
        ),
        (
            0x0F2E, 2, struct.pack("<QIHH", KERNEL, 10, 1, 0x40), "PerfInfo/Sample",
            {"InstructionPointer": KERNEL, "ThreadId": 10, "Count": 1, "Flags": 0x40},
        ),
        (
            0x0F4A, 3, struct.pack("<III", 0, 10_000, 20_000) + wide("Timer"), "PerfInfo/CollectionEnd",
            {"Source": 0, "NewInterval": 10_000, "OldInterval": 20_000, "SourceName": "Timer"},
        ),
        (0x0F34, 1, struct.pack("<I", 0xC0000120), "PerfInfo/SysClExit", {"SysCallNtStatus": 0xC0000120}),
        (
            0x1820, 2, struct.pack("<QIIQQQ", 5, 6, 7, 1, 2, KERNEL), "StackWalk/Stack",
            {"EventTimeStamp": 5, "StackProcess": 6, "StackThread": 7, "Stack": [1, 2, KERNEL]},
        ),
    ],
)  # fmt: skip
def test_events_of_the_processor_hold_what_they_say(
    hook: int, version: int, payload: bytes, name: str, wanted: dict[str, object]
) -> None:
    row = read(perfinfo(10, hook, payload, version=version))
    assert (row["event"], row["problem"]) == (name, None)
    assert {key: row["fields"][key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("hook", "version", "payload", "name", "wanted"),
    [
        (
            0x0301, 4,
            struct.pack("<QIIiiQI", KERNEL, 10, 4, 1, -1, 0x1000, 2) + struct.pack("<QQ", 1, 0) + SYSTEM_SID
            + b"a.exe\0" + wide("a.exe /x") + wide("") + wide("app"),
            "Process/Start",
            {"UniqueProcessKey": KERNEL, "ProcessId": 10, "ParentId": 4, "SessionId": 1, "ExitStatus": -1,
             "DirectoryTableBase": 0x1000, "Flags": 2, "UserSID": "S-1-5-18", "ImageFileName": "a.exe",
             "CommandLine": "a.exe /x", "PackageFullName": "", "ApplicationId": "app"},
        ),
        (
            0x140A, 3,
            struct.pack("<QQIIIBBHQIIII", KERNEL, 0x2000, 4, 5, 6, 7, 8, 0, 0x180000000, 0, 0, 0, 0) + wide("\\a.sys"),
            "Image/Load",
            {"ImageBase": KERNEL, "ImageSize": 0x2000, "ProcessId": 4, "ImageChecksum": 5, "TimeDateStamp": 6,
             "SignatureLevel": 7, "SignatureType": 8, "DefaultBase": 0x180000000, "FileName": "\\a.sys"},
        ),
        (
            0x010A, 3, struct.pack("<IIIIQQQQI", 1, 0x43, 4096, 0, 8192, KERNEL, 3, 44, 10), "DiskIO/Read",
            {"DiskNumber": 1, "IrpFlags": 0x43, "TransferSize": 4096, "ByteOffset": 8192, "FileObject": KERNEL,
             "Irp": 3, "HighResResponseTime": 44, "IssuingThreadId": 10},
        ),
        (
            0x0122, 2, struct.pack("<IIQQQI", 3, 0, KERNEL, 1, 2, 9), "DiskIO/DriverMajorFunctionCall",
            {"MajorFunction": 3, "MinorFunction": 0, "RoutineAddr": KERNEL, "FileObject": 1, "Irp": 2,
             "UniqMatchId": 9},
        ),
        (
            0x0440, 3, struct.pack("<QQIIII", 1, 2, 10, 0x20, 0x80, 3) + wide("\\x"), "FileIO/Create",
            {"IrpPtr": 1, "FileObject": 2, "TTID": 10, "CreateOptions": 0x20, "FileAttributes": 0x80,
             "ShareAccess": 3, "OpenPath": "\\x"},
        ),
        (
            0x0443, 3, struct.pack("<QQQQIII", 512, 1, 2, 3, 10, 4096, 7), "FileIO/Read",
            {"Offset": 512, "IrpPtr": 1, "FileObject": 2, "FileKey": 3, "TTID": 10, "IoSize": 4096, "IoFlags": 7},
        ),
        (
            0x044C, 2, struct.pack("<QQI", 1, 2, 0xC0000034), "FileIO/OperationEnd",
            {"IrpPtr": 1, "ExtraInfo": 2, "NtStatus": 0xC0000034},
        ),
        (
            0x090B, 2, struct.pack("<qIIQ", 5, 0xC0000034, 0, KERNEL) + wide("Software"), "Registry/Open",
            {"InitialTime": 5, "Status": 0xC0000034, "Index": 0, "KeyHandle": KERNEL, "KeyName": "Software"},
        ),
        (
            0x0220, 2, struct.pack("<QQQQII", 5, 6, 7, 8, 10, 4096), "Memory/HardFault",
            {"InitialTime": 5, "ReadOffset": 6, "VirtualAddress": 7, "FileObject": 8, "TThreadId": 10,
             "ByteCount": 4096},
        ),
        (
            0x0262, 2, struct.pack("<QQII", KERNEL, 4096, 10, 0x3000), "VirtualMem/Alloc",
            {"BaseAddress": KERNEL, "RegionSize": 4096, "ProcessId": 10, "Flags": 0x3000},
        ),
        (
            0x0E20, 2, struct.pack("<IIQQ", 1, 0x6B636150, 64, KERNEL), "Pool/Allocation",
            {"Type": 1, "Tag": 0x6B636150, "NumberOfBytes": 64, "Entry": KERNEL},
        ),
        (
            0x060A, 2,
            struct.pack("<II", 10, 512) + bytes([10, 0, 0, 1, 192, 168, 1, 2]) + struct.pack(">HH", 443, 50000)
            + struct.pack("<IIIQ", 1, 2, 3, 9),
            "TcpIp/Send",
            {"PID": 10, "size": 512, "daddr": "10.0.0.1", "saddr": "192.168.1.2", "dport": 443, "sport": 50000,
             "startime": 1, "endtime": 2, "seqnum": 3, "connid": 9},
        ),
        (
            0x081B, 2,
            struct.pack("<II", 10, 512) + bytes(15) + b"\1" + bytes(16) + struct.pack(">HH", 53, 50000)
            + struct.pack("<IQ", 3, 9),
            "UdpIp/RecvIPV6",
            {"PID": 10, "daddr": "::1", "saddr": "::", "dport": 53, "sport": 50000, "seqnum": 3, "connid": 9},
        ),
        (
            0x0B16, 5,
            GUID.bytes_le + struct.pack("<IIII", 2, 1, 0x0180200A, 28) + wide("ROOT\\X") + wide("A driver")
            + wide("") + wide("\\Device\\1") + wide("svc") + wide("up1") + wide("up2") + wide("low"),
            "SystemConfig/PnP",
            {"ClassGuid": str(GUID), "DevStatus": 0x0180200A, "DevProblem": 28, "DeviceID": "ROOT\\X",
             "DeviceDescription": "A driver", "FriendlyName": "", "PdoName": "\\Device\\1", "ServiceName": "svc",
             "UpperFilters": ["up1", "up2"], "LowerFilters": ["low"]},
        ),
        (
            0x0A20, 2, struct.pack("<II", 77, 3) + b"hello\0", "Debugger/DebugPrint",
            {"Component": 77, "Level": 3, "Message": "hello"},
        ),
    ],
)  # fmt: skip
def test_events_of_the_system_hold_what_they_say(
    hook: int, version: int, payload: bytes, name: str, wanted: dict[str, object]
) -> None:
    row = read(system(10, hook, payload, version=version))
    assert (row["event"], row["problem"]) == (name, None)
    assert {key: row["fields"][key] for key in wanted} == wanted


def test_numbers_with_names_have_them_beside() -> None:
    switch = perfinfo(10, 0x0524, struct.pack("<IIbbBbbbbbII", 10, 20, 8, 9, 1, 0, 15, 1, 5, 3, 77, 0), version=2)
    assert read(switch)["names"] == {
        "OldThreadWaitReason": "WrQueue",
        "OldThreadWaitMode": "UserMode",
        "OldThreadState": "Waiting",
    }
    disk = system(10, 0x010A, struct.pack("<IIIIQQQQI", 1, 0x43, 4096, 0, 8192, KERNEL, 3, 44, 10), version=3)
    assert read(disk)["names"] == {"IrpFlags": "NOCACHE | PAGING_IO | INPUT_OPERATION"}


def test_symbols_of_an_image_are_where_merging_puts_them() -> None:
    image_id = UUID("b3e675d7-2554-4f18-830b-2762732560de")
    payload = struct.pack("<QI", KERNEL, 4) + GUID.bytes_le + struct.pack("<I", 2) + b"driver.pdb\0"
    row = read(classic(10, image_id, 36, payload))
    assert (row["event"], row["fields"]) == (
        "ImageID/DbgID_RSDS",
        {"ImageBase": KERNEL, "ProcessId": 4, "GuidSig": str(GUID), "Age": 2, "PdbFileName": "driver.pdb"},
    )


def all_layouts() -> list[EventDescription]:
    return [
        described
        for made in load().by_guid.values()
        for versions in made.events.values()
        for described in versions.values()
    ]


@pytest.mark.parametrize("pointer_size", [4, 8])
def test_every_layout_reads_what_is_written_by_it(pointer_size: int) -> None:
    layouts = all_layouts()
    assert len(layouts) > 300
    for described in layouts:
        values = sample(described.schema, pointer_size)
        data = encode_payload(described.schema, values, pointer_size)
        assert decode_payload(described.schema, data, pointer_size) == values, described
        assert left_over(described.schema, data, pointer_size) == 0, described


def sample(schema: EventSchema, pointer_size: int) -> dict[str, Value]:
    """Another value for every field; counts are 2."""
    counts = {item.count_from for item in schema.fields}
    values: dict[str, Value] = {}
    for index, (name, item) in enumerate(zip(unique_names(schema.fields), schema.fields, strict=True)):
        size = {Shape.SCALAR: 1, Shape.CONSTANT: item.count}.get(item.shape, 2)
        made = [2 if name in counts else one(item, index + part, pointer_size) for part in range(size)]
        values[name] = made[0] if item.shape == Shape.SCALAR else list(made)
    return values


def one(item: Field, number: int, pointer_size: int) -> Value:
    kind = item.in_type
    if kind in (InType.UNICODESTRING, InType.ANSISTRING):
        text = f"{'ü' if item.out_type == OutType.UTF8 else 't'}{number}"
        return text[: item.length] if is_sized(item) else text
    if kind in (InType.NONNULLTERMINATEDANSISTRING, InType.NONNULLTERMINATEDSTRING):
        return "rest"
    if kind in (InType.GUID, InType.BINARY):
        return bytes([number]) * 16
    if kind == InType.WBEMSID:
        return SYSTEM_SID
    return number % 120
