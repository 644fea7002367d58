"""Checks that need a Windows kernel: kernel handles, IRQL, alerts (W13, W20, W44, W48). Not yet run on Windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import Inconclusive, check, expect, expect_equal
from hotswap.conformance.parts import MS, SUCCESS, TIMEOUT, Worker
from hotswap.conformance.requests import AlertWorker
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_KERNEL_HANDLE = 0x200
_KERNEL_HANDLE_SIGN = 1 << 31
_ALERTED = 0x00000101


@check("W13", "with OBJ_KERNEL_HANDLE the handle is one of the kernel's")
def kernel_handle(c: ConformanceDriver) -> None:
    """Those have the sign bit, whatever the process."""
    created = Rig(c).worker(1, with_attributes=1, attributes=_KERNEL_HANDLE).created
    expect(created.handle & _KERNEL_HANDLE_SIGN, f"the handle 0x{created.handle:X} is not one of the kernel's")


@check("W20", "the routine is entered at PASSIVE_LEVEL")
def passive_level(c: ConformanceDriver) -> None:
    """After a signal, and after a time-out."""
    rig = Rig(c)
    worker = rig.worker(1, timeout=-20 * MS)
    worker.events[0].set()
    worker.wait_for(1)
    expect_equal(worker.wait_for(2).last_irql, 0, "IRQL in the routine")


@check("W44", "an alerted thread's routine gets STATUS_ALERTED when Altertable is set")
@check("W48", "STATUS_ALERTED does not end the loop, and consumes no event")
def alerted(c: ConformanceDriver) -> None:
    """Then the next signal is an iteration of its own."""
    rig = Rig(c)
    worker = rig.worker(2, altertable=1)
    _alert(worker)
    expect_equal(worker.statuses(1), [_ALERTED], "wait statuses")
    worker.events[1].set()
    expect_equal(worker.statuses(2), [_ALERTED, 1], "wait statuses")


@check("W44", "without Altertable no alert reaches the routine")
def not_alertable(c: ConformanceDriver) -> None:
    """The thread goes on waiting."""
    rig = Rig(c)
    worker = rig.worker(1)
    _alert(worker)
    worker.expect_only(0, "it is not alertable")
    worker.events[0].set()
    expect_equal(worker.statuses(1), [0], "wait statuses")


@check("W48", "an alert leaves the events of a partly signalled WaitAll as they are")
def alert_consumes_nothing(c: ConformanceDriver) -> None:
    """And the time-out is none."""
    rig = Rig(c)
    events = [rig.event(signalled=True), rig.event()]
    worker = rig.worker(events, wait_type=0, altertable=1)
    _alert(worker)
    status = worker.wait_for(1).last_status[0]
    expect(status != TIMEOUT, "an alert was told as a time-out")
    expect_equal([event.signalled for event in events], [True, False], "events after the alert")


def _alert(worker: Worker) -> None:
    reply = worker.c.run(AlertWorker(worker.number))
    if reply.status != SUCCESS:
        raise Inconclusive(f"the thread could not be alerted: {reply.status}")
