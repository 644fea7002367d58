"""What checks of workers begin with: an extension with routines, and the workers, events and gates made for it.

Id e of the extension leads to routine e of the version registered last. Requests run on lane 0; what may wait there is
begun on another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hotswap.conformance.check import expect, expect_equal
from hotswap.conformance.objects import NO_DRIVER, NULL_EVENT, Callback, Condition, DriverObject, Endpoint, Function
from hotswap.conformance.parts import (
    INVALID_PARAMETER,
    SUCCESS,
    Event,
    Gate,
    Swap,
    Worker,
    expect_status,
    together,
    wait,
)
from hotswap.conformance.replies import Registered, WorkerCreated, WrapperReply
from hotswap.conformance.requests import (
    Behave,
    CreateExtension,
    CreateWorker,
    DeleteExtension,
    GetVersion,
    InitEvent,
    LookupId,
    QueryCounters,
    Register,
    SetOptions,
)
from hotswap.driver.ioctl import NtStatus

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_EVENTS = 64
_GATES = _WORKERS = 16


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
        self._wrappers: dict[int, Function] = {}
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
        if id_ not in self._wrappers:
            reply = self.look_up(id_)
            expect(reply.found, f"id {id_} has no wrapper")
            self._wrappers[id_] = Function.wrapper(reply.wrapper)
        return self._wrappers[id_]

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
        first, self._event = self._event, self._event + count
        together(self.c, *(InitEvent(number) for number in range(first, self._event)))
        return tuple(Event(self.c, number) for number in range(first, self._event))

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
