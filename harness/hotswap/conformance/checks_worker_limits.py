"""Checks of wait modes and reasons, of the numbers of events, and of fields that no page gives a meaning (W47-W52)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect_equal
from hotswap.conformance.parts import KERNEL_MODE, MS, TIMEOUT, USER_MODE, WAIT_ALL, WAIT_ANY, Event, set_all
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_MAXIMUM_WAIT_REASON = 39


@check("W47", "KernelMode and UserMode are both taken, and the wait is the same", each=(KERNEL_MODE, USER_MODE))
def wait_mode(c: ConformanceDriver, mode: int) -> None:
    """Where no user APC comes: statuses, time-outs, end."""
    rig = Rig(c)
    rig.return_true(2)
    events = [rig.event(signalled=True), rig.event(), rig.event(signalled=True)]
    worker = rig.worker(events, wait_mode=mode, timeout=-20 * MS)
    worker.join()
    expect_equal(worker.statuses(3), [0, 2, TIMEOUT], "wait statuses")


@check("W49", "any wait reason gives the same results", each=(0, 1, 6, 7, 13, 22, _MAXIMUM_WAIT_REASON - 1))
def wait_reason(c: ConformanceDriver, reason: int) -> None:
    """Executive, UserRequest, WrExecutive and others, to the last of the enumeration."""
    rig = Rig(c)
    rig.return_true(2)
    events = [rig.event(signalled=True), rig.event(), rig.event(signalled=True)]
    worker = rig.worker(events, wait_reason=reason, timeout=-20 * MS)
    worker.join()
    expect_equal(worker.statuses(3), [0, 2, TIMEOUT], "wait statuses")


@check("W50", "so many events can be waited for, each of them and all of them", each=(1, 3, 4, 63, 64))
def event_counts(c: ConformanceDriver, count: int) -> None:
    """WaitAny by the first and the last, then WaitAll on the same events."""
    rig = Rig(c)
    rig.behave(return_limit=2, later_value=0)
    events = rig.events(count)
    one = rig.worker(events)
    events[0].set()
    one.wait_for(1)
    events[-1].set()
    one.wait_for(2)
    expect_equal(one.statuses(2), [0, count - 1], "wait statuses of WaitAny")
    one.close_handle()
    rig.behave(return_value=0)
    events[0].set()
    one.join()
    every = rig.worker(events, wait_type=WAIT_ALL)
    set_all(events)
    every.join()
    expect_equal(every.statuses(1), [0], "wait statuses of WaitAll")


@check("W50", "65 events are refused")
def one_too_many(c: ConformanceDriver) -> None:
    """One more than any wait can have, all of them good."""
    rig = Rig(c)
    # A rig has 64 events; the last place of the array names one of them again.
    events = rig.events(64)
    rig.expect_refused("65 events", [*events, events[0]])


@check("W50", "three workers of 64 events wait at once, each with wait blocks of its own")
def wait_blocks_of_each(c: ConformanceDriver) -> None:
    """On the same events: what one's wait writes, another's does not find."""
    rig = Rig(c)
    events = rig.events(64)
    workers = [rig.worker(events) for _ in range(3)]
    for total in range(1, 65):
        events[(total * 37) % 64].set()
        rig.wait_for_calls(total)
    expect_equal(sum(worker.info().iterations for worker in workers), 64, "iterations of all three")


@check("W51", "4 to 64 events are accepted (our choice; portable drivers use 1 to 3)", each=(2, 4, 5, 32, 62))
def more_than_three(c: ConformanceDriver, count: int) -> None:
    """And waited for: the one in the middle, and none."""
    rig = Rig(c)
    rig.return_true(1)
    events = rig.events(count)
    events[count // 2].set()
    worker = rig.worker(events, timeout=-20 * MS)
    worker.join()
    expect_equal(worker.statuses(2), [count // 2, TIMEOUT], "wait statuses")


@check("W52", "a NULL event is STATUS_INVALID_PARAMETER (our choice)", on=("compat",), each=(0, 1, 2))
def null_event(c: ConformanceDriver, at: int) -> None:
    """First, in the middle, last."""
    rig = Rig(c)
    events: list[Event | None] = list(rig.events(3))
    events[at] = None
    rig.expect_refused(f"a NULL event at index {at}", events)


@check("W52", "a NULL event as the last of 64 is refused (our choice)", on=("compat",))
def null_event_last_of_64(c: ConformanceDriver) -> None:
    """All of them are looked at."""
    rig = Rig(c)
    rig.expect_refused("a NULL event at index 63", [*rig.events(63), None])


@check("W52", "a wait type but WaitAll and WaitAny is refused (our choice)", on=("compat",), each=(2, 3, 4, 0xFFFFFFFF))
def wait_type(c: ConformanceDriver, value: int) -> None:
    """The other members of the enumeration, and none."""
    assert value not in (WAIT_ALL, WAIT_ANY)
    Rig(c).expect_refused(f"wait type {value}", wait_type=value)


@check("W52", "a wait mode above UserMode is refused (our choice)", on=("compat",), each=(2, 127, 255))
def other_wait_mode(c: ConformanceDriver, value: int) -> None:
    """MaximumMode, and what is none."""
    Rig(c).expect_refused(f"wait mode {value}", wait_mode=value)
