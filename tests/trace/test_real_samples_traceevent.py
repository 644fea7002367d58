"""Every line that Microsoft's TraceEvent wrote of the samples, on Windows: time, CPU, ids, name, payload and values."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from hotswap.trace.etl import EtlFile, read_etl
from hotswap.trace.owners import Owners, find_owners
from hotswap.trace.schemas.files import read_schemas
from support.real_samples import samples_folder
from support.traceevent_baseline import BaselineEvent, read_baseline
from support.traceevent_values import Decoded, computed, is_printed, texts

FOLDER = samples_folder()
LINES = {
    "tl-primitive-types": 6,
    "clr-gcevents-circular": 52,
    "clr-gcrundown": 25,
    "kernel-clr-compressed-8cpu": 480,
}
VALUES = {
    "tl-primitive-types": Counter(equal=74, computed=7),
    "clr-gcevents-circular": Counter(equal=279, computed=11, absent=4, differs=2),
    "clr-gcrundown": Counter(equal=188, computed=7),
    "kernel-clr-compressed-8cpu": Counter(equal=2257, computed=255, absent=118, differs=50),
}
TASKS = {
    "GarbageCollection": "GC",
    "CLRLoader": "Loader",
    "CLRLoaderRundown": "Loader",
    "CLRMethod": "Method",
    "CLRMethodRundown": "Method",
    "CLRRuntimeInformation": "Runtime",
    "CLRRuntimeInformationRundown": "Runtime",
}
"""TraceEvent has the runtime's events built in, under names of its own; the trace has those of the manifest."""
OPCODES = {
    "MarkOlderGenerationRoots": "MarkCards",
    "FinalizersBegin": "FinalizersStart",
    "FinalizersEnd": "FinalizersStop",
    "RestartEEBegin": "RestartEEStart",
    "RestartEEEnd": "RestartEEStop",
    "SuspendEEBegin": "SuspendEEStart",
    "SuspendEEEnd": "SuspendEEStop",
    "DCEndComplete": "DCStopComplete",
    "DCEndInit": "DCStopInit",
}
OTHER_OWNERS = {
    "Windows Kernel/DiskIO/FlushBuffers": "TraceEvent reads the thread where the response time lies",
    "Windows Kernel/Image/Unload": "TraceEvent forgets the thread; the header's is one of the process",
    "Windows Kernel/Process/Stop": "TraceEvent forgets the thread; the header's is one of the process",
    "Windows Kernel/SystemConfig/Services": "TraceEvent keeps the thread of another process, which wrote the event",
}
"""Events whose process or thread is another for us, and why."""
DIFFERENT = {
    ("GC/HeapStats", "Depth"): "TraceEvent takes it from a collection before",
    ("DiskIO/Read", "DiskServiceTimeMSec"): "computed from the requests before it",
    ("DiskIO/Write", "DiskServiceTimeMSec"): "computed from the requests before it",
    ("DiskIO/Read", "IrpFlags"): "TraceEvent has other names for the bits, and leaves the priority out",
    ("DiskIO/Write", "IrpFlags"): "TraceEvent has other names for the bits, and leaves the priority out",
    ("DiskIO/FlushBuffers", "IrpFlags"): "TraceEvent leaves the priority out",
    ("KernelTraceControl/ImageID", "ProcessID"): "TraceEvent prints 0 always",
    ("SystemConfig/Services", "ProcessName"): "TraceEvent prints the name of the process with that id",
    ("PerfView/KernelEnableParameters", "keywords"): "the same names in another order",
    ("PerfView/KernelEnableParameters", "stacks"): "the same names in another order",
    ("Microsoft-Windows-Kernel-File/Create", "CreateOptions"): "TraceEvent names the bits as if they were attributes",
    ("UdpIp/Recv", "dsize"): "TraceEvent reads version 2 as version 0",
    ("UdpIp/Send", "dsize"): "TraceEvent reads version 2 as version 0",
}
"""Values that are others for us, and why."""
ABSENT = ("", "0", "0x00000000", "Unknown", "None", "not_specified")
"""What TraceEvent prints for a field that an event of this version does not have."""


@cache
def opened(name: str) -> EtlFile:
    assert FOLDER
    given = read_schemas([Path(__file__).with_name("clr_events.man")])
    assert given.problems == ()
    return read_etl(FOLDER / f"{name}.etl", given)


@cache
def owners(name: str) -> Owners:
    return find_owners(opened(name).events)


@cache
def baseline(name: str) -> tuple[BaselineEvent, ...]:
    assert FOLDER
    return tuple(read_baseline(FOLDER / f"{name}.traceevent-baseline.txt"))


def name_of(event: Decoded) -> str:
    """As TraceEvent calls the event."""
    provider, _, name = event.name.partition("/")
    if provider in ("Windows Kernel", "KernelTraceControl"):
        if event.kind.name in ("Image/KernelBase", "SystemConfig/Platform"):
            return f"MSNT_SystemTrace/{name}"
        return f"{provider}/SysConfig/Opcode(37)" if event.kind.name == "SysConfig/DeviceFamily" else event.name
    task, _, opcode = name.partition("/")
    if task in TASKS:
        opcode = (
            opcode.removeprefix("GC").removeprefix("Method") if task in ("GarbageCollection", "CLRMethod") else opcode
        )
        opcode = OPCODES.get(opcode, opcode).replace("DCEnd", "DCStop")
        task = TASKS[task] if opcode != "IncreaseMemoryPressure" else task
    return "/".join(filter(None, (provider, task, opcode)))


@cache
def pairs(name: str) -> tuple[tuple[BaselineEvent, Decoded], ...]:
    """Each line and the one event of ours that it tells of: same time, CPU, length and name; no event for two lines."""
    etl = opened(name)
    columns = (etl.events.ns.tolist(), etl.events.cpu.tolist(), etl.events.payload_length.tolist())
    places: defaultdict[tuple[int, int, int, str], list[Decoded]] = defaultdict(list)
    for row, (ns, cpu, length) in enumerate(zip(*columns, strict=True)):
        event = Decoded(etl, row)
        places[(ns + 500) // 1000, cpu, length, name_of(event)].append(event)
    found = []
    for line in baseline(name):
        mine = places[line.us, line.cpu, line.length, line.name]
        assert mine, f"line {line.line}: no event {line.name} of {line.length} bytes at {line.us} us on CPU {line.cpu}"
        found.append((line, mine.pop(0)))
    return tuple(found)


@pytest.mark.parametrize("name", LINES)
def test_every_line_is_an_event_of_ours(name: str) -> None:
    assert len(baseline(name)) == len(pairs(name)) == LINES[name]


@pytest.mark.parametrize("name", LINES)
def test_processes_and_threads_are_those_that_windows_shows(name: str) -> None:
    found, other = owners(name), Counter[str]()
    for line, event in pairs(name):
        mine = int(found.process[event.row]), int(found.thread[event.row])
        if mine != (line.pid, line.tid):
            assert line.name in OTHER_OWNERS, f"line {line.line}: {line.name} is of {(line.pid, line.tid)}, not {mine}"
            other[line.name] += 1
    assert sum(other.values()) == (13 if name.startswith("kernel") else 0)


@pytest.mark.parametrize("name", LINES)
def test_values_are_those_that_windows_shows(name: str) -> None:
    counts: Counter[str] = Counter()
    for line, event in pairs(name):
        for field, printed in line.fields.items():
            counts[compare(line, event, field, printed)] += 1
    assert counts == VALUES[name]


def compare(line: BaselineEvent, event: Decoded, field: str, printed: str) -> str:
    where = f"line {line.line}: {line.name} {field}={printed}"
    tail = "/".join(line.name.split("/")[-2:])
    if (tail, field) in DIFFERENT:
        return "differs"
    compute = computed(line.name, field)
    if compute is not None:
        assert is_printed(printed, compute(event)), f"{where}, computed {compute(event)}"
        return "computed"
    if field.lower() not in event.fields:
        assert printed in ABSENT, f"{where}, and our event has no such field"
        return "absent"
    item, value = event.fields[field.lower()]
    assert is_printed(printed, texts(item, value)), f"{where}, ours {value!r}"
    return "equal"
