"""What checks of workers are made of: an extension with routines, worker threads, and waits for what they do.

Id e of the extension leads to routine e of the version registered last. Requests run on lane 0; what may wait there is
begun on another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hotswap.conformance.check import CheckFailed, expect, expect_equal
from hotswap.conformance.objects import NO_DRIVER, NULL_EVENT, Callback, Condition, DriverObject, Endpoint, Function
from hotswap.conformance.replies import Registered, WorkerCreated, WorkerInfo, WrapperReply
from hotswap.conformance.requests import (
    Behave,
    ClearEvent,
    CloseWorker,
    CreateExtension,
    CreateWorker,
    DeleteExtension,
    GetVersion,
    InitEvent,
    JoinWorker,
    LookupId,
    QueryCounters,
    QueryEvent,
    QueryWorker,
    Register,
    ReleaseWorker,
    SetEvent,
    SetGate,
    SetOptions,
    Wait,
)
from hotswap.driver.ioctl import NtStatus

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver, Pending

SUCCESS = 0x00000000
TIMEOUT = 0x00000102
INVALID_PARAMETER = 0xC000000D
INSUFFICIENT_RESOURCES = 0xC000009A
NOT_SUPPORTED = 0xC00000BB
UNSUCCESSFUL = 0xC0000001
DEVICE_BUSY = 0x80000011

MS = 10_000
"""100 ns units of a millisecond."""
WAIT_ALL, WAIT_ANY = 0, 1
KERNEL_MODE, USER_MODE = 0, 1

_HANG_MS = 8_000
_QUIET_MS = 25
_EVENTS = 64
_GATES = _WORKERS = 16


def expect_status(seen: int, wanted: int, what: str) -> None:
    """CheckFailed with both unless they are equal."""
    if seen != wanted:
        raise CheckFailed(f"{what}: expected {NtStatus(wanted)}, saw {seen}")


def wait(c: ConformanceDriver, what: str, *conditions: Condition) -> None:
    """CheckFailed unless all conditions come to hold. The time is a guard against a hang."""
    if not come(c, *conditions, milliseconds=_HANG_MS):
        raise CheckFailed(f"{what} did not come within {_HANG_MS / 1000:g} s")


def come(c: ConformanceDriver, *conditions: Condition, milliseconds: int = _QUIET_MS) -> bool:
    """Whether all conditions come to hold in a quiet moment, or in so much time."""
    return c.run(Wait(conditions, milliseconds)).status == SUCCESS


@dataclass(slots=True)
class Event:
    """One KEVENT of the driver."""

    c: ConformanceDriver
    number: int

    def set(self) -> bool:
        """KeSetEvent; whether it was signalled before."""
        return bool(self.c.run(SetEvent(self.number)).previous_state)

    def clear(self) -> None:
        """KeResetEvent."""
        self.c.run(ClearEvent(self.number))

    @property
    def signalled(self) -> bool:
        """KeReadStateEvent."""
        return bool(self.c.run(QueryEvent(self.number)).previous_state)

    def wait_until_consumed(self) -> None:
        """CheckFailed unless a wait takes its signal."""
        wait(self.c, f"a wait that consumes event {self.number}", Condition.event(self.number, False))


@dataclass(slots=True)
class Gate:
    """A gate of the driver: threads wait at it while it is closed."""

    c: ConformanceDriver
    number: int

    def open(self) -> None:
        """For all."""
        self.c.run(SetGate(self.number, open=True))

    def close(self) -> None:
        """For those that come from now on."""
        self.c.run(SetGate(self.number))

    def let_pass(self, count: int = 1) -> None:
        """So many, now or when they come."""
        self.c.run(SetGate(self.number, let_pass=count))

    def wait_for(self, threads: int = 1) -> None:
        """CheckFailed unless so many threads come to wait here."""
        wait(self.c, f"{threads} threads at gate {self.number}", Condition.at_gate(self.number, threads))


@dataclass(slots=True)
class Worker:
    """A worker thread that was created."""

    c: ConformanceDriver
    number: int
    created: WorkerCreated
    events: tuple[Event, ...] = field(repr=False)

    def info(self) -> WorkerInfo:
        """What its routine was called with so far."""
        return self.c.run(QueryWorker(self.number))

    def wait_for(self, iterations: int) -> WorkerInfo:
        """CheckFailed unless so many iterations come."""
        what = f"iteration {iterations} of worker {self.number}"
        wait(self.c, what, Condition.iterations(self.number, iterations))
        return self.info()

    def statuses(self, iterations: int) -> list[int]:
        """Wait statuses of so many iterations, at most 16, the oldest first; CheckFailed unless there are as many."""
        info = self.wait_for(iterations)
        expect_equal(info.iterations, iterations, f"iterations of worker {self.number}")
        return [int(status) for status in info.last_status[: info.last_status_count]][::-1]

    def expect_only(self, iterations: int, why: str, *, milliseconds: int = _QUIET_MS) -> None:
        """CheckFailed when one more than these comes in a quiet moment, or in so much time, or when there are fewer."""
        if come(self.c, Condition.iterations(self.number, iterations + 1), milliseconds=milliseconds):
            raise CheckFailed(f"worker {self.number} made more than {iterations} iterations, though {why}")
        expect_equal(self.info().iterations, iterations, f"iterations of worker {self.number}, as {why}")

    def join(self) -> None:
        """CheckFailed unless the thread ends."""
        expect_status(self.try_join(_HANG_MS), SUCCESS, f"waiting for the thread of worker {self.number}")

    def try_join(self, milliseconds: int = _QUIET_MS) -> NtStatus:
        """What a wait for the thread object returns."""
        return self.c.run(JoinWorker(self.number, milliseconds)).status

    def expect_alive(self, why: str) -> None:
        """CheckFailed when the thread has ended, or ends in a quiet moment."""
        expect_status(self.try_join(), TIMEOUT, f"waiting for the thread of worker {self.number}, which lives: {why}")

    def close_handle(self) -> None:
        """ZwClose; the reference to the thread object stays."""
        expect_status(self.c.run(CloseWorker(self.number)).status, SUCCESS, "closing the thread's handle")

    def release(self) -> None:
        """Let go of handle and object, so that the number is free."""
        expect_status(self.c.run(ReleaseWorker(self.number)).status, SUCCESS, f"releasing worker {self.number}")


class Rig:
    """An extension with the routines of version 1 registered, ids 0 to `endpoints` - 1. Two of them: by `number`."""

    def __init__(
        self,
        c: ConformanceDriver,
        *,
        endpoints: int = 1,
        number: int = 0,
        owner: DriverObject = NO_DRIVER,
        **options: int,
    ) -> None:
        """`options`: those of SetOptions, set before the first registration."""
        self.c = c
        self.number = number
        self._ids = range(endpoints)
        self._worker = number * _WORKERS
        self._event = number * _EVENTS
        self._gate = number * _GATES
        expect_status(c.run(CreateExtension(number, owner)).status, SUCCESS, "creating the extension")
        if options:
            self.set_options(**options)
        self.swap(1)

    def set_options(self, **options: Any) -> None:
        """HsSetDriverProxyOptions."""
        status = self.c.run(SetOptions(self.number, **options)).status
        expect_status(status, SUCCESS, f"setting the options {options}")

    def delete(self) -> NtStatus:
        """Free the extension."""
        return self.c.run(DeleteExtension(self.number)).status

    # Swaps

    def registration(
        self, version: int, callback: Callback | None = None, ids: Iterable[int] | None = None
    ) -> Register:
        """The request that makes a version the one in force."""
        chosen = self._ids if ids is None else ids
        return Register(self.number, [Endpoint(item, Function.routine(version, item)) for item in chosen], callback)

    def swap(self, version: int, callback: Callback | None = None) -> Registered:
        """Make this version the one in force; CheckFailed unless that succeeds."""
        reply = self.try_swap(version, callback)
        expect_status(reply.status, SUCCESS, f"registering version {version}")
        return reply

    def try_swap(self, version: int, callback: Callback | None = None) -> Registered:
        """The same, whatever comes of it."""
        return self.c.run(self.registration(version, callback))

    def begin_swap(
        self, version: int, callback: Callback | None = None, *, ids: Iterable[int] | None = None, lane: int = 1
    ) -> Swap:
        """Begin it on a thread of its own."""
        return Swap(self.c, self.c.begin(self.registration(version, callback, ids), lane=lane))

    def look_up(self, id_: int = 0) -> WrapperReply:
        """The wrapper of an id, as it is told."""
        return self.c.run(LookupId(self.number, id_))

    def wrapper(self, id_: int = 0) -> Function:
        """The wrapper of an id, to be used as a function."""
        reply = self.look_up(id_)
        expect(reply.found, f"id {id_} has no wrapper")
        return Function.wrapper(reply.wrapper)

    # Routines, events, gates

    def behave(self, **behaviour: Any) -> None:
        """What the routines do; fields of Behave."""
        self.c.run(Behave(**behaviour))

    def return_true(self, times: int, *, inverted: bool = False) -> None:
        """The routine says so many times that it wants to be called again, and then that its thread is to end."""
        go_on, end = (0, 1) if inverted else (1, 0)
        if times:
            self.behave(return_value=go_on, return_limit=times, later_value=end)
        else:
            self.behave(return_value=end)

    def gate(self) -> Gate:
        """The next gate, closed."""
        self._gate += 1
        return Gate(self.c, self._gate - 1)

    def event(self, *, notification: bool = False, signalled: bool = False) -> Event:
        """The next event, initialised."""
        self._event += 1
        self.c.run(InitEvent(self._event - 1, notification, signalled))
        return Event(self.c, self._event - 1)

    def events(self, count: int) -> tuple[Event, ...]:
        """So many new auto-reset events, none signalled."""
        return tuple(self.event() for _ in range(count))

    # Workers

    def worker(self, events: int | Sequence[Event] = 1, **how: Any) -> Worker:
        """A worker thread; CheckFailed unless it is created. A number of events: new auto-reset ones."""
        own = self.events(events) if isinstance(events, int) else tuple(events)
        number = self._worker
        reply = self.try_worker(own, **how)
        expect_status(reply.status, SUCCESS, f"creating a worker with {len(own)} events")
        expect_status(reply.reference_status, SUCCESS, "referencing the new thread by its handle")
        return Worker(self.c, number, reply, own)

    def try_worker(
        self,
        events: int | Sequence[Event | None] = 1,
        *,
        routine: Function | None = None,
        timeout: int | None = None,
        **fields: Any,
    ) -> WorkerCreated:
        """The same, whatever comes of it. `timeout` in 100 ns, raw; `fields`: those of CreateWorker."""
        own = self.events(events) if isinstance(events, int) else events
        if timeout is not None:
            fields = {"has_timeout": 1, "timeout": timeout, **fields}
        numbers = [NULL_EVENT if event is None else event.number for event in own]
        fields = {"extension": self.number, "events": numbers, **fields}
        reply = self.c.run(CreateWorker(worker=self._worker, routine=routine or self.wrapper(), **fields))
        if reply.status.succeeded:
            self._worker += 1
        return reply

    def expect_refused(self, what: str, events: int | Sequence[Event | None] = 1, **how: Any) -> WorkerCreated:
        """CheckFailed unless creating this worker is STATUS_INVALID_PARAMETER and makes no thread."""
        before = self.c.run(QueryCounters())
        reply = self.try_worker(events, **how)
        expect_status(reply.status, INVALID_PARAMETER, f"creating a worker with {what}")
        after = self.c.run(QueryCounters())
        expect_equal(after.proxy_threads, before.proxy_threads, f"worker threads after {what} was refused")
        return reply

    def tick(self) -> int:
        """KeQueryPerformanceCounter now."""
        return self.c.run(GetVersion()).tick

    def system_time(self) -> tuple[int, int]:
        """KeQuerySystemTime now, and the tick at it."""
        version = self.c.run(GetVersion())
        return version.system_time, version.tick

    def wait_for_calls(self, calls: int, version: int = 1, endpoint: int = 0) -> None:
        """CheckFailed unless a routine is entered so many times in all."""
        wait(self.c, f"call {calls} of version {version}", Condition.endpoint_calls(version, endpoint, calls))


@dataclass(slots=True)
class Swap:
    """A registration that is under way on a thread of its own."""

    c: ConformanceDriver
    pending: Pending[Registered]

    def result(self) -> Registered:
        """What came of it, once it has ended; DeadlineExpired when it does not."""
        return self.pending.result()

    def succeeds(self) -> Registered:
        """CheckFailed unless it ends with success."""
        reply = self.result()
        expect_status(reply.status, SUCCESS, "the swap")
        return reply

    def expect_under_way(self, why: str) -> None:
        """CheckFailed when it ends in a quiet moment."""
        come(self.c, Condition.held(1 << 30))
        expect(not self.pending.done, f"the swap ended, though {why}")
