"""The requests to the conformance driver: one class each, which says what it takes and what it answers.

`driver.run(Register(0, [Endpoint(1, Function.echo(1), 4)]))` is a `Registered`. Fields are those of the structures of
driver/include/conformance_ioctl.h, in Python's spelling; gates, events and prepared requests are numbers, None for
none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from hotswap.conformance import replies
from hotswap.conformance.objects import (
    ENDPOINTS,
    NO_DRIVER,
    NONE,
    OWN_DRIVER,
    Action,
    BenchKind,
    Callback,
    CallKind,
    Condition,
    DriverObject,
    Endpoint,
    Function,
    Phase,
)
from hotswap.driver.host_replies import PauseArmed, PauseState

R = TypeVar("R")
_NULL = Function()
_QUIET = Callback()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[R]):
    """What `ConformanceDriver.run` sends. R is the reply."""

    method: ClassVar[str]
    reply: ClassVar[Any]
    """The class of the reply; None: there is none."""
    laned: ClassVar[bool] = False
    """Whether it runs on one of the driver's threads, and may wait there."""

    def fields(self) -> dict[str, object]:
        """The fields of the input structure that are not zero."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: plain(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnLane(Request[R], Generic[R]):
    """A request that runs on a lane. The Nth allocation of the runtime meanwhile fails with `fail_allocation=N`."""

    laned: ClassVar[bool] = True
    fail_allocation: int = 0

    def fields(self) -> dict[str, object]:
        """The fields of the input structure; the lane is added by the driver."""
        fields = Request.fields(self)
        return {"caller": {"fail_allocation": fields.pop("fail_allocation")}, **fields}


def plain(value: object) -> object:
    """As the contract packs it: mappings and numbers."""
    if isinstance(value, Phase):
        return {
            "status": value.status,
            "gate": numbered(value.gate),
            "prepared": numbered(value.prepared),
            "spin_microseconds": value.spin_microseconds,
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, bool) else value


def numbered(number: int | None) -> int:
    """Number + 1; 0 stands for none."""
    return 0 if number is None else number + 1


def _phases(callback: Callback) -> list[object]:
    return [plain(phase) for phase in (callback.pre_process, callback.proxy_stalled, callback.post_process)]


# The driver


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


# Extensions


@dataclass(frozen=True, slots=True)
class Features(OnLane[replies.FeaturesReply]):
    """IoGetDriverProxyFeatures."""

    method: ClassVar[str] = "features"
    reply: ClassVar[Any] = replies.FeaturesReply
    driver: DriverObject = NO_DRIVER
    irql: int = 0


@dataclass(frozen=True, slots=True)
class CreateExtension(OnLane[replies.ExtensionReply]):
    """IoCreateDriverProxyExtension; the extension gets the number `extension`, 0..15. `flags` are raw."""

    method: ClassVar[str] = "create_extension"
    reply: ClassVar[Any] = replies.ExtensionReply
    extension: int = 0
    driver: DriverObject = NO_DRIVER
    flags: int = 0


@dataclass(frozen=True, slots=True)
class DeleteExtension(OnLane[replies.Done]):
    """HsDeleteDriverProxyExtension; compat only."""

    method: ClassVar[str] = "delete_extension"
    reply: ClassVar[Any] = replies.Done
    extension: int = 0


@dataclass(frozen=True, slots=True)
class SetOptions(OnLane[replies.Done]):
    """HsSetDriverProxyOptions, all of them raw; compat only. `size` 0: that of the structure."""

    method: ClassVar[str] = "set_options"
    reply: ClassVar[Any] = replies.Done
    extension: int = 0
    drain_timeout_ms: int = 0
    true_ends_thread: bool | int = False
    allow_zero_events: bool | int = False
    allow_raw_routine: bool | int = False
    keep_after_post_process: bool | int = False
    recreate_thread: bool | int = False
    timeout_once: bool | int = False
    verbose: bool | int = False
    no_notify: bool | int = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class FromDriver(OnLane[replies.ExtensionReply]):
    """IoGetDriverProxyExtensionFromDriverObject."""

    method: ClassVar[str] = "from_driver"
    reply: ClassVar[Any] = replies.ExtensionReply
    driver: DriverObject = OWN_DRIVER
    irql: int = 0


# Registration, lookup, call


@dataclass(frozen=True, slots=True)
class Register(OnLane[replies.Registered]):
    """IoRegisterDriverProxyEndpoints.

    `count` None: as many as there are. `fill`: the array gets so many elements, those past `endpoints` repeat the last
    one with rising ids. `callback` None: NULL; its context is passed raw either way. The array lies at the end of its
    block, is overwritten after the call, and the reply says whether it or what lies behind was written before.
    """

    method: ClassVar[str] = "register"
    reply: ClassVar[Any] = replies.Registered
    extension: int = 0
    endpoints: Sequence[Endpoint] = ()
    callback: Callback | None = None
    count: int | None = None
    fill: int = 0
    null_array: bool = False

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        elements = max(self.fill, len(self.endpoints))
        return {
            "caller": {"fail_allocation": self.fail_allocation},
            "extension": self.extension,
            "count": elements if self.count is None else self.count,
            "null_array": int(self.null_array),
            "with_callback": int(self.callback is not None),
            "fill": self.fill,
            "context": (self.callback or _QUIET).context,
            "phases": _phases(self.callback or _QUIET),
            "endpoints": [plain(endpoint) for endpoint in self.endpoints],
        }


@dataclass(frozen=True, slots=True)
class SwapImage(OnLane[replies.Registered]):
    """HsIoHotSwapDriverProxyEndpoints: the endpoints of another image (V2)."""

    method: ClassVar[str] = "swap_image"
    reply: ClassVar[Any] = replies.Registered
    extension: int = 0
    driver: DriverObject = NO_DRIVER
    callback: Callback | None = None

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {
            "caller": {"fail_allocation": self.fail_allocation},
            "extension": self.extension,
            "driver": plain(self.driver),
            "with_callback": int(self.callback is not None),
            "context": (self.callback or _QUIET).context,
            "phases": _phases(self.callback or _QUIET),
        }


@dataclass(frozen=True, slots=True)
class LookupId(OnLane[replies.WrapperReply]):
    """IoGetDriverProxyEndpointWrapper."""

    method: ClassVar[str] = "lookup"
    reply: ClassVar[Any] = replies.WrapperReply
    extension: int = 0
    id: int = 0
    irql: int = 0


@dataclass(frozen=True, slots=True)
class LookupPointer(OnLane[replies.WrapperReply]):
    """IofGetDriverProxyWrapperFromEndpoint."""

    method: ClassVar[str] = "lookup"
    reply: ClassVar[Any] = replies.WrapperReply
    extension: int = 0
    function: Function = _NULL
    irql: int = 0

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {**OnLane.fields(self), "kind": 1}


@dataclass(frozen=True, slots=True)
class LookupAll(OnLane[replies.LookupAllReply]):
    """Up to 16 lookups by id and 16 by pointer."""

    method: ClassVar[str] = "lookup_all"
    reply: ClassVar[Any] = replies.LookupAllReply
    extension: int = 0
    ids: Sequence[int] = ()
    functions: Sequence[Function] = ()


@dataclass(frozen=True, slots=True)
class Call(OnLane[replies.Called]):
    """Call a wrapper, or any other function.

    All 32 arguments are always passed; those not given are UNTOUCHED + their number. `repeat`: so often, or until
    `stop_gate` opens. At IRQL `irql`.
    """

    method: ClassVar[str] = "call"
    reply: ClassVar[Any] = replies.Called
    function: Function = _NULL
    arguments: Sequence[int] = ()
    kind: CallKind = CallKind.INTEGERS
    irql: int = 0
    repeat: int = 0
    stop_gate: int | None = None

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {**OnLane.fields(self), "stop_gate": numbered(self.stop_gate)}


# Endpoints


@dataclass(frozen=True, slots=True)
class Behave(Request[None]):
    """What the functions of this version and endpoint do (`version` 0, `endpoint` None: all), whatever their kind.

    In this order: set and clear events, wait at `gate_before`, act, spin, wait at `gate_after`, return. What is not
    given is as after a reset. `return_value` has 64 bits, all of which are returned; after `return_limit` calls
    `later_value` is. `compute`: returns version << 56 | a sum of its first `compute_count` arguments instead, which
    `Call` checks.
    """

    method: ClassVar[str] = "set_behaviour"
    reply: ClassVar[Any] = None
    version: int = 0
    endpoint: int | None = None
    return_value: int = 1
    later_value: int = 0
    return_limit: int = 0
    compute: bool = False
    compute_count: int = 0
    gate_before: int | None = None
    gate_after: int | None = None
    set_event: int | None = None
    clear_event: int | None = None
    spin_microseconds: int = 0
    action: Action = Action.NONE
    prepared: int = 0
    action_depth: int = 0
    quiet: bool = False

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        fields = Request.fields(self)
        for name in ("gate_before", "gate_after", "set_event", "clear_event"):
            fields[name] = numbered(getattr(self, name))
        fields["endpoint"] = NONE if self.endpoint is None else self.endpoint
        return fields


@dataclass(frozen=True, slots=True)
class QueryEndpoint(Request[replies.EndpointInfo]):
    """How often it was entered, how many are inside, where its functions are."""

    method: ClassVar[str] = "query_endpoint"
    reply: ClassVar[Any] = replies.EndpointInfo
    version: int = 1
    endpoint: int = 0


# Events and gates


@dataclass(frozen=True, slots=True)
class InitEvent(Request[replies.EventState]):
    """KeInitializeEvent. No thread may wait on it."""

    method: ClassVar[str] = "init_event"
    reply: ClassVar[Any] = replies.EventState
    event: int = 0
    notification: bool = False
    signalled: bool = False


@dataclass(frozen=True, slots=True)
class SetEvent(Request[replies.EventState]):
    """KeSetEvent."""

    method: ClassVar[str] = "set_event"
    reply: ClassVar[Any] = replies.EventState
    index: int = 0


@dataclass(frozen=True, slots=True)
class ClearEvent(Request[replies.EventState]):
    """KeResetEvent."""

    method: ClassVar[str] = "clear_event"
    reply: ClassVar[Any] = replies.EventState
    index: int = 0


@dataclass(frozen=True, slots=True)
class QueryEvent(Request[replies.EventState]):
    """KeReadStateEvent."""

    method: ClassVar[str] = "query_event"
    reply: ClassVar[Any] = replies.EventState
    index: int = 0


@dataclass(frozen=True, slots=True)
class SetGate(Request[replies.GateState]):
    """Open it for all, or close it and let `let_pass` threads through."""

    method: ClassVar[str] = "set_gate"
    reply: ClassVar[Any] = replies.GateState
    gate: int = 0
    open: bool = False
    let_pass: int = 0

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        return {"gate": self.gate, "open": int(self.open), "pass": self.let_pass}


@dataclass(frozen=True, slots=True)
class QueryGate(Request[replies.GateState]):
    """Whether it is open, and how many threads wait there."""

    method: ClassVar[str] = "query_gate"
    reply: ClassVar[Any] = replies.GateState
    index: int = 0


# Workers


@dataclass(frozen=True, slots=True)
class CreateWorker(OnLane[replies.WorkerCreated]):
    """IoDriverProxyCreateHotSwappableWorkerThread; the worker gets the number `worker`, 0..31.

    All fields of the start context are raw. `events` are numbers of events (NULL_EVENT: NULL), for which the start
    context has room; `count` None: as many as there are. The start context is overwritten after the call; with `guard`
    it ends where a page ends, and the next one cannot be accessed.
    """

    method: ClassVar[str] = "create_worker"
    reply: ClassVar[Any] = replies.WorkerCreated
    worker: int = 0
    extension: int = 0
    routine: Function = _NULL
    events: Sequence[int] = (0,)
    context: int = 0
    wait_type: int = 1
    wait_reason: int = 0
    wait_mode: int = 0
    altertable: int = 0
    has_timeout: int = 0
    timeout: int = 0
    count: int | None = None
    desired_access: int = 0x1FFFFF
    with_client_id: bool = True
    with_attributes: bool = True
    attributes: int = 0x200
    with_process: int = 0
    null_start: bool = False
    guard: bool = False

    def fields(self) -> dict[str, object]:
        """The fields of the input structure."""
        fields = OnLane.fields(self)
        return {**fields, "count": len(self.events) if self.count is None else self.count}


@dataclass(frozen=True, slots=True)
class QueryWorker(Request[replies.WorkerInfo]):
    """What its routine was called with so far."""

    method: ClassVar[str] = "query_worker"
    reply: ClassVar[Any] = replies.WorkerInfo
    index: int = 0


@dataclass(frozen=True, slots=True)
class JoinWorker(OnLane[replies.Done]):
    """Wait for the end of the thread, at most `timeout_ms` (0: 1 s): STATUS_SUCCESS or STATUS_TIMEOUT."""

    method: ClassVar[str] = "join_worker"
    reply: ClassVar[Any] = replies.Done
    worker: int = 0
    timeout_ms: int = 0


@dataclass(frozen=True, slots=True)
class CloseWorker(OnLane[replies.Done]):
    """ZwClose of the handle; the thread object stays referenced."""

    method: ClassVar[str] = "close_worker"
    reply: ClassVar[Any] = replies.Done
    worker: int = 0


@dataclass(frozen=True, slots=True)
class AlertWorker(OnLane[replies.Done]):
    """ZwAlertThread; STATUS_NOT_IMPLEMENTED where the guest cannot."""

    method: ClassVar[str] = "alert_worker"
    reply: ClassVar[Any] = replies.Done
    worker: int = 0


@dataclass(frozen=True, slots=True)
class ReleaseWorker(OnLane[replies.Done]):
    """Free the number of a worker whose thread has ended; STATUS_DEVICE_BUSY while it lives."""

    method: ClassVar[str] = "release_worker"
    reply: ClassVar[Any] = replies.Done
    worker: int = 0


# Helper drivers


@dataclass(frozen=True, slots=True)
class LoadHelper(OnLane[replies.HelperInfo]):
    """ZwLoadDriver of a service; the helper gets the number `helper`, 0..3."""

    method: ClassVar[str] = "load_helper"
    reply: ClassVar[Any] = replies.HelperInfo
    helper: int = 0
    service_name: str = "conformance_owner"


@dataclass(frozen=True, slots=True)
class UnloadHelper(OnLane[replies.Done]):
    """ZwUnloadDriver."""

    method: ClassVar[str] = "unload_helper"
    reply: ClassVar[Any] = replies.Done
    helper: int = 0


@dataclass(frozen=True, slots=True)
class QueryHelper(Request[replies.HelperInfo]):
    """Driver object, start and size of its image."""

    method: ClassVar[str] = "query_helper"
    reply: ClassVar[Any] = replies.HelperInfo
    index: int = 0


# Speed


@dataclass(frozen=True, slots=True)
class Bench(OnLane[replies.BenchReply]):
    """Measure inside the driver; compat only. One at a time."""

    method: ClassVar[str] = "bench"
    reply: ClassVar[Any] = replies.BenchReply
    kind: BenchKind = BenchKind.CALLS
    rows: int = 1
    count: int = 1
    threads: int = 1
    workers: int = 0
    endpoints: int = 1
    work_microseconds: int = 0


# Pause points


@dataclass(frozen=True, slots=True)
class PauseArm(Request[PauseArmed]):
    """Stop threads that write one of these events (`event_mask`: bit i is event i of the list).

    `key`: the first field of the event, 0 any. `nth`: the Nth one, once; 0: every one.
    """

    method: ClassVar[str] = "pause_arm"
    reply: ClassVar[Any] = PauseArmed
    event_mask: int = 0
    key: int = 0
    nth: int = 0


@dataclass(frozen=True, slots=True)
class PauseWait(Request[PauseState]):
    """Wait until more than `arrivals` threads have arrived since the driver started."""

    method: ClassVar[str] = "pause_wait"
    reply: ClassVar[Any] = PauseState
    arrivals: int = 0


@dataclass(frozen=True, slots=True)
class PauseQuery(Request[PauseState]):
    """Who is stopped now."""

    method: ClassVar[str] = "pause_query"
    reply: ClassVar[Any] = PauseState


@dataclass(frozen=True, slots=True)
class PauseRelease(Request[PauseState]):
    """Let a thread go on; 0: of any arm, any thread."""

    method: ClassVar[str] = "pause_release"
    reply: ClassVar[Any] = PauseState
    arm_id: int = 0
    thread_id: int = 0


@dataclass(frozen=True, slots=True)
class PauseClear(Request[PauseState]):
    """Disarm all, and let all go on."""

    method: ClassVar[str] = "pause_clear"
    reply: ClassVar[Any] = PauseState


def endpoint_number(version: int, endpoint: int) -> int:
    """Where a snapshot counts it."""
    return (version - 1) * ENDPOINTS + endpoint


def fields_on(request: Request[Any], lane: int) -> Mapping[str, object]:
    """The fields of a request with its lane."""
    fields = request.fields()
    if not request.laned:
        return fields
    caller = fields["caller"]
    assert isinstance(caller, dict)
    return {**fields, "caller": {**caller, "lane": lane}}
