"""Defects planted in the sample: what hostile callers must find, and what of it the finding must say."""

from __future__ import annotations

from dataclasses import dataclass

from mutants.forge import Mutant


@dataclass(frozen=True, slots=True)
class Planted:
    """A defect, the kinds of finding it may lead to, and a file of the stack where it is a crash, or always a hang."""

    mutant: Mutant
    kinds: tuple[str, ...]
    stack: str = ""


def _planted(name: str, breaks: str, file: str, old: str, new: str, kinds: str, stack: str = "") -> Planted:
    mutant = Mutant(name, "fuzz", breaks, file, old, new, "tests/fuzz")
    return Planted(mutant, tuple(kinds.split()), stack)


PLANTED = (
    _planted(
        "event-index-unchecked",
        "an event index from user mode is used as it is",
        "sample/signal.c",
        "    if (Request->EventIndex >= (*Worker)->Context.EventCount) {\n"
        "        WorkerDereference(*Worker);\n        return STATUS_INVALID_PARAMETER;\n    }\n",
        "",
        "crash",
        "sample/signal.c:",
    ),
    _planted(
        "completed-twice",
        "a request is completed twice",
        "common/dispatch.c",
        "    Irp->IoStatus.Information = information;\n    IoCompleteRequest(Irp, IO_NO_INCREMENT);\n",
        "    Irp->IoStatus.Information = information;\n    IoCompleteRequest(Irp, IO_NO_INCREMENT);\n"
        "    IoCompleteRequest(Irp, IO_NO_INCREMENT);\n",
        "crash output counters status hang",
        "common/dispatch.c:",
    ),
    _planted(
        "lock-never-released",
        "a request takes a lock and keeps it: the next one waits for ever",
        "sample/runtime.c",
        "    RuntimeProbeAnswers = Probe;\n    RuntimeChoose(",
        "    HsLockAcquire(&RuntimeLock);\n    RuntimeProbeAnswers = Probe;\n    RuntimeChoose(",
        "hang",
        "sample/runtime.c:",
    ),
    _planted(
        "event-count-unchecked",
        "more events than a worker has room for",
        "sample/worker.c",
        "Parameters->EventCount == 0 || Parameters->EventCount > HOTSWAP_MAX_EVENTS || ",
        "Parameters->EventCount == 0 || ",
        "crash status",
        "sample/worker.c:",
    ),
    _planted(
        "worker-not-referenced",
        "a worker that is looked up is not kept",
        "sample/worker_table.c",
        "    if (worker != NULL) {\n        InterlockedIncrement(&worker->References);\n    }\n"
        "    KeReleaseSpinLock(&WorkerLock, irql);\n    return worker;",
        "    KeReleaseSpinLock(&WorkerLock, irql);\n    return worker;",
        "crash status output counters",
    ),
    _planted(
        "input-length-unchecked",
        "a request is taken whatever its length",
        "common/dispatch.c",
        "    if (Stack->Parameters.DeviceIoControl.InputBufferLength != Entry->InputBytes) {\n"
        "        return STATUS_INFO_LENGTH_MISMATCH;\n    }\n",
        "",
        "status",
    ),
    _planted(
        "output-size-off",
        "eight bytes of output too many",
        "sample/dispatch.c",
        "sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY), HS_DISPATCH_HERE, OnQueryEvent",
        "sizeof(HOTSWAP_EVENT_REQUEST), sizeof(HOTSWAP_EVENT_REPLY) + 8, HS_DISPATCH_HERE, OnQueryEvent",
        "status",
    ),
    _planted(
        "worker-leaked-by-a-query",
        "a query keeps a reference to its worker for good",
        "sample/worker.c",
        "    RtlCopyMemory(Info->Versions, worker->Versions, sizeof(Info->Versions));\n    WorkerDereference(worker);",
        "    RtlCopyMemory(Info->Versions, worker->Versions, sizeof(Info->Versions));",
        "counters",
    ),
)
