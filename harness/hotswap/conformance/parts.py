"""The parts that checks of workers are made of: events, gates, workers, swaps under way, and waits for what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hotswap.conformance.check import CheckFailed, expect, expect_equal
from hotswap.conformance.objects import Condition
from hotswap.conformance.replies import Registered, WorkerCreated, WorkerInfo
from hotswap.conformance.requests import (
    ClearEvent,
    CloseWorker,
    JoinWorker,
    QueryEvent,
    QueryWorker,
    ReleaseWorker,
    Request,
    SetEvent,
    SetGate,
    Wait,
)
from hotswap.driver.ioctl import NtStatus
from hotswap.errors import GuestFault

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


def expect_status(seen: int, wanted: int, what: str) -> None:
    """CheckFailed with both unless they are equal."""
    if seen != wanted:
        raise CheckFailed(f"{what}: expected {NtStatus(wanted)}, saw {seen}")


def together(c: ConformanceDriver, *requests: Request[Any]) -> list[Any]:
    """The replies of requests that are sent in one go; GuestFault when the driver refuses one."""
    replies = []
    for request, item in zip(requests, c.batch(requests), strict=True):
        if not item.status.succeeded:
            raise GuestFault(f"the conformance driver refused {request}: {item.status}")
        replies.append(item.reply)
    return replies


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


def set_all(events: Sequence[Event]) -> None:
    """KeSetEvent of each, in this order."""
    together(events[0].c, *(SetEvent(event.number) for event in events))


def states(events: Sequence[Event]) -> list[bool]:
    """Whether each is signalled."""
    return [bool(told.previous_state) for told in together(events[0].c, *(QueryEvent(item.number) for item in events))]


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
        return self._wait_for(iterations)

    def signal(self, at: int, iterations: int) -> WorkerInfo:
        """Set its event number `at`, and wait for so many iterations."""
        return self._wait_for(iterations, SetEvent(self.events[at].number))

    def _wait_for(self, iterations: int, *before: Request[Any]) -> WorkerInfo:
        waiting = Wait((Condition.iterations(self.number, iterations),), _HANG_MS)
        *_, waited, info = together(self.c, *before, waiting, QueryWorker(self.number))
        if waited.status != SUCCESS:
            raise CheckFailed(
                f"iteration {iterations} of worker {self.number} did not come within {_HANG_MS / 1000:g} s;"
                f" it has made {info.iterations}"
            )
        seen: WorkerInfo = info
        return seen

    def statuses(self, iterations: int) -> list[int]:
        """Wait statuses of so many iterations, at most 16, the oldest first; CheckFailed unless there are as many."""
        info = self.wait_for(iterations)
        expect_equal(info.iterations, iterations, f"iterations of worker {self.number}")
        return [int(status) for status in info.last_status[: info.last_status_count]][::-1]

    def expect_only(self, iterations: int, why: str, *, milliseconds: int = _QUIET_MS) -> None:
        """CheckFailed when one more than these comes in a quiet moment, or in so much time, or when there are fewer."""
        one_more = Wait((Condition.iterations(self.number, iterations + 1),), milliseconds)
        waited, info = together(self.c, one_more, QueryWorker(self.number))
        if waited.status == SUCCESS:
            raise CheckFailed(f"worker {self.number} made more than {iterations} iterations, though {why}")
        expect_equal(info.iterations, iterations, f"iterations of worker {self.number}, as {why}")

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
