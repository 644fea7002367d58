r"""The conformance driver, open: one call of the DriverProxy API per request, with right or wrong arguments.

    c.run(CreateExtension(0, OWN_DRIVER))
    c.run(Register(0, [Endpoint(1, Function.routine(1), 2)]))
    wrapper = c.run(LookupId(0, 1)).wrapper
    c.run(CreateWorker(0, 0, Function.wrapper(wrapper), events=[0, 1]))
    c.set_event(1)
    c.wait(Condition.iterations(0, 1))
    assert c.worker(0).last_status[0] == 1

What a call of the API returned is in the reply, never an exception. GuestFault: the driver refused the request itself
(no such object, number taken), or the guest is broken.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from hotswap.conformance import replies
from hotswap.conformance.events import TraceEvent, event_number, read_events
from hotswap.conformance.objects import NONE, Condition, Function
from hotswap.conformance.requests import (
    Behave,
    ClearEvent,
    InitEvent,
    PauseArm,
    PauseClear,
    PauseQuery,
    PauseRelease,
    PauseWait,
    Prepare,
    QueryCounters,
    QueryEndpoint,
    QueryEvent,
    QueryGate,
    QueryPrepared,
    QueryWorker,
    Request,
    Reset,
    SetEvent,
    SetGate,
    TakeSnapshot,
    Wait,
    fields_on,
)
from hotswap.deadline import Deadline
from hotswap.driver.device import IoctlAgent, PendingIoctl
from hotswap.driver.host_replies import PauseState, typed
from hotswap.driver.ioctl import Ioctl, IoctlContract, NtStatus
from hotswap.errors import GuestFault, HotswapError, UsageError

R = TypeVar("R")

LINK = r"\\.\HotSwapConformance"
CALL_SECONDS = 20.0
WAIT_SECONDS = 10.0
_TRACE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Pending(Generic[R]):
    """A request under way on a lane."""

    _driver: ConformanceDriver
    _request: Request[R]
    _ioctl: Ioctl
    _pending: PendingIoctl

    @property
    def done(self) -> bool:
        """Whether the reply is there."""
        return self._pending.done

    def result(self, deadline: Deadline | None = None) -> R:
        """Wait for the reply (10 s). Raises GuestFault when the request was refused, DeadlineExpired."""
        with_limit = deadline or Deadline.after(WAIT_SECONDS)
        return self._driver.guarded(lambda: reply_of(self._request, self._ioctl, self._pending.result(with_limit)))

    def cancel(self, *, deadline: Deadline | None = None) -> bool:
        """Ask the driver to give it up while it is queued; False when it has ended already."""
        return self._pending.cancel(deadline=deadline or Deadline.after(WAIT_SECONDS))


@dataclass(frozen=True, slots=True)
class Prepared(Generic[R]):
    """A request that the driver keeps: to be run from inside a call, or started on a lane. `number` names it."""

    number: int
    request: Request[R]
    sequence: int = 0
    """On its lane, for `Condition.lane_done`; 0 when it was not started."""


@dataclass(frozen=True, slots=True)
class BatchItem(Generic[R]):
    """One request of a batch: NTSTATUS of the request, its reply (None when it was refused), ticks in the guest."""

    status: NtStatus
    reply: R | None
    ticks: int


class ConformanceDriver:
    """The driver in a guest. `hotswap.conformance.guest` opens it; between two tests `reset` brings it back."""

    def __init__(
        self,
        agent: IoctlAgent,
        contract: IoctlContract,
        alive: Callable[[], str | None] = lambda: None,
        *,
        files: Mapping[str, Path] | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        """`alive` says why the driver is gone, None while it is there. `files`: the images in the guest, by service."""
        self.contract = contract
        self.files = files or {}
        self._alive = alive
        self._agent = agent
        self._handle: int | None = agent.open(LINK, deadline=deadline or Deadline.after(CALL_SECONDS))
        self._prepared = 0

    def close(self) -> None:
        """Close the device; the driver stays."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._agent.close(handle, deadline=Deadline.after(CALL_SECONDS))

    @property
    def gone(self) -> str | None:
        """Why the driver can no longer be used; None while it can."""
        return self._alive()

    # Requests

    def run(self, request: Request[R], *, lane: int = 0, deadline: Deadline | None = None) -> R:
        """Send a request and wait for its reply."""
        ioctl, data = self._encode(request, lane)
        limit = deadline or Deadline.after(CALL_SECONDS)
        size = ioctl.output_size
        return self.guarded(
            lambda: reply_of(request, ioctl, self._agent.ioctl(self._opened, ioctl.code, data, size, deadline=limit))
        )

    def begin(self, request: Request[R], *, lane: int) -> Pending[R]:
        """Send a request that may wait, and do not. Requests of one lane run one after the other."""
        ioctl, data = self._encode(request, lane)
        limit = Deadline.after(CALL_SECONDS)
        size = ioctl.output_size
        pending = self.guarded(lambda: self._agent.ioctl_begin(self._opened, ioctl.code, data, size, deadline=limit))
        return Pending(self, request, ioctl, pending)

    def batch(
        self, requests: Sequence[Request[Any]], *, lane: int = 0, deadline: Deadline | None = None
    ) -> tuple[BatchItem[Any], ...]:
        """Send requests one after another inside the guest, and wait for all replies."""
        encoded = [self._encode(request, lane) for request in requests]
        calls = [(ioctl.code, data, ioctl.output_size) for ioctl, data in encoded]
        limit = deadline or Deadline.after(CALL_SECONDS)
        outcomes = self.guarded(lambda: self._agent.ioctl_batch(self._opened, calls, deadline=limit))
        items = []
        for request, (ioctl, _), (code, data, ticks) in zip(requests, encoded, outcomes, strict=True):
            status = NtStatus(code, self._codes)
            reply = reply_of(request, ioctl, data) if status.succeeded else None
            items.append(BatchItem(status, reply, ticks))
        return tuple(items)

    def raw_batch(self, calls: Sequence[tuple[int, bytes, int]]) -> Sequence[tuple[int, bytes, int]]:
        """Send (code, input, bytes of output) as they are; (NTSTATUS, output, ticks) of each."""
        limit = Deadline.after(CALL_SECONDS)
        return self.guarded(lambda: self._agent.ioctl_batch(self._opened, calls, deadline=limit))

    def prepare(self, request: Request[R], *, number: int | None = None) -> Prepared[R]:
        """Keep a request that runs on lanes, for `Behave`, `Phase`; `number` 0..63, None: the next since the reset."""
        return self._keep(request, number, None)

    def start(self, request: Request[R], *, lane: int, number: int | None = None) -> Prepared[R]:
        """Start a request on a lane and return at once; `prepared` reads its reply later."""
        return self._keep(request, number, lane)

    def start_request(self, request: Request[Any], *, lane: int | None, number: int) -> Prepare:
        """What `start` or, with `lane` None, `prepare` sends, to be put into a batch."""
        ioctl, data = self._encode(request, lane or 0)
        return Prepare(number, ioctl.code, NONE if lane is None else lane, len(data), data)

    def prepared(self, prepared: Prepared[R]) -> tuple[replies.PreparedResult, R | None]:
        """State and reply of a prepared request when it was last run; None while it was not, or was refused."""
        state = self.run(QueryPrepared(prepared.number))
        if state.running or not state.runs or not state.status.succeeded:
            return state, None
        ioctl = self.contract.ioctl(prepared.request.method)
        return state, reply_of(prepared.request, ioctl, state.output[: state.output_bytes])

    def _keep(self, request: Request[R], number: int | None, lane: int | None) -> Prepared[R]:
        if number is None:
            number = self._prepared
            self._prepared += 1
        started = self.run(self.start_request(request, lane=lane, number=number))
        return Prepared(number, request, started.sequence)

    # The shortest way to what is asked most

    def reset(self, *, timeout_ms: int = 0) -> replies.ResetReply:
        """Bring the driver back to where it was when it was loaded; the reply says what did not go."""
        self._prepared = 0
        return self.run(Reset(timeout_ms))

    def counters(self) -> replies.Counters:
        """What the runtime and the driver hold."""
        return self.run(QueryCounters())

    def snapshot(self) -> replies.Snapshot:
        """All that can be compared at rest."""
        return self.run(TakeSnapshot())

    def wait(self, *conditions: Condition, timeout_ms: int = 5000) -> replies.Waited:
        """Until all conditions hold. GuestFault when they do not within `timeout_ms`, a guard against a hang."""
        waited = self.run(Wait(conditions, timeout_ms), deadline=Deadline.after(timeout_ms / 1000 + CALL_SECONDS))
        if waited.unmet:
            unmet = [str(condition) for at, condition in enumerate(conditions) if waited.unmet >> at & 1]
            raise GuestFault(f"waited {timeout_ms} ms for {'; '.join(unmet)}")
        return waited

    def behave(self, behave: Behave) -> None:
        """Say what an endpoint does."""
        self.run(behave)

    def endpoint(self, version: int, endpoint: int = 0) -> replies.EndpointInfo:
        """Calls of an endpoint, and where its functions are."""
        return self.run(QueryEndpoint(version, endpoint))

    def address(self, function: Function) -> int:
        """Where a function of the driver lies."""
        info = self.endpoint(function.version, function.index)
        return (0, info.routine_address, info.echo_address, info.float_address, info.mixed_address)[function.kind]

    def worker(self, worker: int) -> replies.WorkerInfo:
        """What a worker's routine was called with."""
        return self.run(QueryWorker(worker))

    def init_event(self, event: int, *, notification: bool = False, signalled: bool = False) -> replies.EventState:
        """KeInitializeEvent; after a reset all are synchronization events, not signalled."""
        return self.run(InitEvent(event, notification, signalled))

    def set_event(self, event: int) -> replies.EventState:
        """KeSetEvent."""
        return self.run(SetEvent(event))

    def clear_event(self, event: int) -> replies.EventState:
        """KeResetEvent."""
        return self.run(ClearEvent(event))

    def event(self, event: int) -> replies.EventState:
        """KeReadStateEvent."""
        return self.run(QueryEvent(event))

    def open_gate(self, gate: int) -> replies.GateState:
        """Let everybody through; after a reset all gates are closed."""
        return self.run(SetGate(gate, open=True))

    def close_gate(self, gate: int) -> replies.GateState:
        """Let nobody through."""
        return self.run(SetGate(gate))

    def pass_gate(self, gate: int, threads: int = 1) -> replies.GateState:
        """Let so many through a closed gate, now or when they come."""
        return self.run(SetGate(gate, let_pass=threads))

    def gate(self, gate: int) -> replies.GateState:
        """Who waits at a gate."""
        return self.run(QueryGate(gate))

    # Trace

    def trace(self) -> list[TraceEvent]:
        """The events since the last call or reset, in order, up to now. `counters().events_dropped`: lost ones."""
        events: list[TraceEvent] = []
        ioctl = self.contract.ioctl("drain_trace")
        wanted: int | None = None
        while True:
            limit = Deadline.after(CALL_SECONDS)
            data = self._agent.ioctl(self._opened, ioctl.code, b"", _TRACE_BYTES, deadline=limit)
            chunk = ioctl.reply(data)
            events += read_events(chunk.data, chunk.header.entries)
            if wanted is None:
                wanted = len(events) + chunk.header.remaining
            if not chunk.header.entries or len(events) >= wanted:
                return events

    def pause_at(self, *events: str, key: int = 0, nth: int = 0) -> int:
        """Stop threads that write one of these events; the number of the arm. Raises UsageError: no such event."""
        mask = 0
        for name in events:
            mask |= 1 << event_number(name)
        return self.run(PauseArm(mask, key, nth)).arm_id

    def paused(self, *, after: int | None = None) -> PauseState:
        """Who is stopped; with `after`, as soon as more threads than these have arrived since the driver started."""
        return self.run(PauseQuery() if after is None else PauseWait(after))

    def let_go(self, arm_id: int = 0, thread_id: int = 0) -> PauseState:
        """Let stopped threads go on; what is armed for every event stays armed."""
        return self.run(PauseRelease(arm_id, thread_id))

    def clear_pauses(self) -> PauseState:
        """Disarm all, and let all go on."""
        return self.run(PauseClear())

    # For objects of this module

    def guarded(self, action: Callable[[], R]) -> R:
        """Do it; when it fails because the driver is gone, say so."""
        try:
            return action()
        except HotswapError as error:
            gone = None if isinstance(error, UsageError) else self._alive()
            if gone is not None:
                raise GuestFault(f"{gone}: {error}") from error
            raise

    def _encode(self, request: Request[Any], lane: int) -> tuple[Ioctl, bytes]:
        ioctl = self.contract.ioctl(request.method)
        return ioctl, ioctl.request((), fields_on(request, lane))

    @property
    def _opened(self) -> int:
        if self._handle is None:
            raise UsageError("the conformance driver is closed")
        return self._handle

    @functools.cached_property
    def _codes(self) -> Any:
        return next(struct.codes for struct in self.contract.structs.values())


def reply_of(request: Request[R], ioctl: Ioctl, data: bytes) -> R:
    """The typed reply in `data`."""
    if request.reply is None:
        return cast(R, None)
    return cast(R, typed(request.reply, ioctl.reply(data)))
