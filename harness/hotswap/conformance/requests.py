"""The requests to the conformance driver: one class each, which says what it takes and what it answers.

`driver.run(Register(0, [Endpoint(1, Function.echo(1), 4)]))` is a `Registered`. Fields are those of the structures of
driver/include/conformance_ioctl.h, in Python's spelling; gates, events and prepared requests are numbers, None for
none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hotswap.conformance import replies
from hotswap.conformance.objects import ENDPOINTS, NO_DRIVER, NONE, Condition, DriverObject
from hotswap.conformance.request import OnLane, Request, fields_on
from hotswap.conformance.requests_api import (
    Call,
    CreateExtension,
    DeleteExtension,
    Features,
    FromDriver,
    LookupAll,
    LookupId,
    LookupPointer,
    Register,
    SetOptions,
    SwapImage,
)
from hotswap.conformance.requests_objects import (
    AlertWorker,
    Behave,
    Bench,
    ClearEvent,
    CloseWorker,
    CreateWorker,
    InitEvent,
    JoinWorker,
    LoadHelper,
    PauseArm,
    PauseClear,
    PauseQuery,
    PauseRelease,
    PauseWait,
    QueryEndpoint,
    QueryEvent,
    QueryGate,
    QueryHelper,
    QueryWorker,
    ReleaseWorker,
    SetEvent,
    SetEventOnce,
    SetGate,
    UnloadHelper,
)

__all__ = [
    "AlertWorker",
    "Behave",
    "Bench",
    "Call",
    "ClearEvent",
    "CloseWorker",
    "CreateExtension",
    "CreateWorker",
    "DeleteExtension",
    "FailAllocation",
    "Features",
    "FromDriver",
    "GetVersion",
    "InitEvent",
    "JoinWorker",
    "LoadHelper",
    "LookupAll",
    "LookupId",
    "LookupPointer",
    "OnLane",
    "PauseArm",
    "PauseClear",
    "PauseQuery",
    "PauseRelease",
    "PauseWait",
    "Prepare",
    "QueryCounters",
    "QueryEndpoint",
    "QueryEvent",
    "QueryGate",
    "QueryHelper",
    "QueryPrepared",
    "QueryWorker",
    "Register",
    "ReleaseWorker",
    "Request",
    "Reset",
    "SelectRuntime",
    "SetAvailability",
    "SetEvent",
    "SetEventOnce",
    "SetGate",
    "SetOptions",
    "SwapImage",
    "TakeSnapshot",
    "UnloadHelper",
    "Wait",
    "endpoint_number",
    "fields_on",
]


@dataclass(frozen=True, slots=True)
class GetVersion(Request[replies.VersionInfo]):
    """Contract, runtime in use, tick frequency."""

    method: ClassVar[str] = "get_version"
    reply: ClassVar[Any] = replies.VersionInfo


@dataclass(frozen=True, slots=True)
class Reset(Request[replies.ResetReply]):
    """Let go, end, join, delete and unload everything. Stuck is what does not go within `timeout_ms` (0: 5 s)."""

    method: ClassVar[str] = "reset"
    reply: ClassVar[Any] = replies.ResetReply
    timeout_ms: int = 0


@dataclass(frozen=True, slots=True)
class SelectRuntime(Request[replies.RuntimeInfo]):
    """Whose functions are called from now on. Refused while an extension exists."""

    method: ClassVar[str] = "select_runtime"
    reply: ClassVar[Any] = replies.RuntimeInfo
    runtime: replies.Runtime = replies.Runtime.AUTO


@dataclass(frozen=True, slots=True)
class QueryCounters(Request[replies.Counters]):
    """What the runtime and the driver hold."""

    method: ClassVar[str] = "query_counters"
    reply: ClassVar[Any] = replies.Counters


@dataclass(frozen=True, slots=True)
class TakeSnapshot(Request[replies.Snapshot]):
    """All that can be compared at rest, in one go."""

    method: ClassVar[str] = "snapshot"
    reply: ClassVar[Any] = replies.Snapshot


@dataclass(frozen=True, slots=True)
class Wait(Request[replies.Waited]):
    """Until all conditions hold, at most `timeout_ms` (0: 1 s). Beside all lanes; waits run one after the other."""

    method: ClassVar[str] = "wait"
    reply: ClassVar[Any] = replies.Waited
    conditions: Sequence[Condition] = ()
    timeout_ms: int = 0


@dataclass(frozen=True, slots=True)
class Prepare(Request[replies.Started]):
    """Keep an encoded request, and start it on a lane; `ConformanceDriver.prepare` and `start` do it."""

    method: ClassVar[str] = "prepare"
    reply: ClassVar[Any] = replies.Started
    prepared: int = 0
    code: int = 0
    lane: int = NONE
    input_bytes: int = 0
    input: bytes = b""

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass(frozen=True, slots=True)
class QueryPrepared(Request[replies.PreparedResult]):
    """State and raw reply of a prepared request; `ConformanceDriver.prepared` gives the typed one."""

    method: ClassVar[str] = "query_prepared"
    reply: ClassVar[Any] = replies.PreparedResult
    index: int = 0


@dataclass(frozen=True, slots=True)
class FailAllocation(Request[replies.Attempts]):
    """The Nth allocation or thread creation of the runtime from now on fails; 0: off. Answers attempts so far."""

    method: ClassVar[str] = "fail_allocation"
    reply: ClassVar[Any] = replies.Attempts
    nth: int = 0


@dataclass(frozen=True, slots=True)
class SetAvailability(Request[replies.Attempts]):
    """A system that does not support the API (`available` False), or blocks a driver; compat only. Reset undoes it."""

    method: ClassVar[str] = "set_availability"
    reply: ClassVar[Any] = replies.Attempts
    available: bool = True
    blocked: DriverObject = NO_DRIVER


def endpoint_number(version: int, endpoint: int) -> int:
    """Where a snapshot counts it."""
    return (version - 1) * ENDPOINTS + endpoint
