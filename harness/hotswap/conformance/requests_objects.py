"""Requests about endpoints, events, gates, workers, helper drivers and threads: see `hotswap.conformance.requests`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hotswap.conformance import replies
from hotswap.conformance.objects import NONE, Action, BenchKind, Function
from hotswap.conformance.request import OnLane, Request, numbered
from hotswap.driver.host_replies import PauseArmed, PauseState

_NULL = Function()


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
class SetEventOnce(Request[replies.EventState]):
    """KeSetEvent unless the event is signalled: then a kernel would do nothing, but Wine might."""

    method: ClassVar[str] = "set_event_once"
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
