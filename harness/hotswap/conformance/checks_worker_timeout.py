"""Checks of time-outs (W35-W43).

A time is only ever held against what is asked for from below, and less a clock tick: on a loaded host anything may take
longer. Where something must not be waited for, it is so often that waiting would not end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.parts import MS, TIMEOUT, WAIT_ALL, WAIT_ANY, Worker
from hotswap.conformance.requests import GetVersion
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_TICK_MS = 15.625
"""The coarsest clock tick of Windows."""
_HOUR = 3_600_000 * MS
_AT_ONCE = 300
"""Iterations of a loop that does not wait; with a wait of a minute for each they would not come."""


@check(
    "W35",
    "without HasTimeout the wait has no limit, whatever Timeout contains",
    each=(-1, 0, 1, -MS, -(1 << 63), (1 << 63) - 1),
)
def ignored(c: ConformanceDriver, timeout: int) -> None:
    """Poll, past, future, as short and as long as can be."""
    rig = Rig(c)
    worker = rig.worker(1, timeout=timeout, has_timeout=0)
    worker.expect_only(0, "the worker has no time-out")
    worker.events[0].set()
    expect_equal(worker.statuses(1), [0], "wait statuses")


@check(
    "W36",
    "a negative time-out is relative to the start of the wait, and ends it with STATUS_TIMEOUT",
    each=(WAIT_ALL, WAIT_ANY),
)
def relative(c: ConformanceDriver, wait_type: int) -> None:
    """No event is signalled."""
    rig = Rig(c)
    rig.return_true(2)
    worker = rig.worker(3, wait_type=wait_type, timeout=-10 * MS)
    worker.join()
    expect_equal(worker.statuses(3), [TIMEOUT] * 3, "wait statuses")


@check("W36", "a time-out counts from the start of its own wait, not from the end of the one before")
def from_its_own_start(c: ConformanceDriver) -> None:
    """The routine works for longer than the time-out is."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    worker = rig.worker(1, timeout=-40 * MS)
    gate.wait_for()
    worker.expect_only(1, "the routine is running")
    released = rig.tick()
    gate.let_pass()
    gate.wait_for()
    _expect_at_least(c, worker.info().last_tick - released, 40, "the wait after a long iteration")
    gate.open()


@check("W37", "a positive time-out is an absolute time", each=(WAIT_ALL, WAIT_ANY))
def absolute(c: ConformanceDriver, wait_type: int) -> None:
    """Not before it; after it each wait ends at once, for the time is past (W40)."""
    rig = Rig(c)
    rig.return_true(_AT_ONCE)
    system_time, tick = rig.system_time()
    worker = rig.worker(2, wait_type=wait_type, timeout=system_time + 60 * MS)
    worker.join()
    info = worker.info()
    expect_equal(info.iterations, _AT_ONCE + 1, "iterations")
    expect_equal(set(info.last_status[: info.last_status_count]), {TIMEOUT}, "wait statuses")
    _expect_at_least(c, info.first_tick - tick, 60, "an absolute time-out")


@check("W37", "an absolute time far away does not end the wait")
def absolute_far_away(c: ConformanceDriver) -> None:
    """In an hour, which a relative reading would take for far longer, and an unsigned one for past."""
    rig = Rig(c)
    worker = rig.worker(1, timeout=rig.system_time()[0] + _HOUR)
    worker.expect_only(0, "its time has not come")
    worker.events[0].set()
    expect_equal(worker.statuses(1), [0], "wait statuses")


@check("W36", "a long time-out is one wait, however a runtime cuts it up: it ends once, not before its time")
def long_one(c: ConformanceDriver) -> None:
    """No part of it shows."""
    rig = Rig(c)
    rig.return_true(0)
    worker = rig.worker(2, timeout=-700 * MS)
    worker.join()
    expect_equal(worker.statuses(1), [TIMEOUT], "wait statuses")
    _expect_at_least(c, worker.info().first_tick - worker.created.result.begin, 700, "a long time-out")


@check("W36", "in a long time-out a signal counts at any time", each=(WAIT_ALL, WAIT_ANY))
def signalled_late(c: ConformanceDriver, wait_type: int) -> None:
    """After more than half a second, and for WaitAll the second event as long after the first."""
    rig = Rig(c)
    worker = rig.worker(2, wait_type=wait_type, timeout=-_HOUR)
    for event in worker.events if wait_type == WAIT_ALL else worker.events[1:]:
        worker.expect_only(0, "its time-out is not over and not enough is signalled", milliseconds=550)
        event.set()
    expect_equal(worker.statuses(1), [wait_type], "wait statuses")


@check("W38", "time-out zero and nothing signalled: STATUS_TIMEOUT at once, a loop that does not wait")
def poll(c: ConformanceDriver) -> None:
    """So many iterations that they would not come if it waited."""
    rig = Rig(c)
    rig.return_true(_AT_ONCE)
    worker = rig.worker(1, timeout=0)
    worker.join()
    expect_equal(worker.info().iterations, _AT_ONCE + 1, "iterations")
    _expect_last(worker, TIMEOUT)


@check("W38", "time-out zero and a satisfied wait: the wait's status", each=(WAIT_ALL, WAIT_ANY))
def poll_satisfied(c: ConformanceDriver, wait_type: int) -> None:
    """The event is consumed, so the next one is a time-out."""
    rig = Rig(c)
    rig.return_true(2)
    events = [rig.event(signalled=True), rig.event(signalled=True)]
    worker = rig.worker(events, wait_type=wait_type, timeout=0)
    worker.join()
    wanted = [0, TIMEOUT, TIMEOUT] if wait_type == WAIT_ALL else [0, 1, TIMEOUT]
    expect_equal(worker.statuses(3), wanted, "wait statuses")


@check("W39", "a relative time-out is armed in full for each wait")
def armed_again(c: ConformanceDriver) -> None:
    """A wait after one that was satisfied takes all of it again; and so does the one after a time-out."""
    rig = Rig(c)
    rig.return_true(3)
    worker = rig.worker([rig.event(signalled=True)], timeout=-50 * MS)
    worker.join()
    info = worker.info()
    expect_equal(worker.statuses(4), [0, TIMEOUT, TIMEOUT, TIMEOUT], "wait statuses")
    _expect_at_least(c, info.last_tick - info.first_tick, 3 * 50, "three waits in full", ticks=3)


@check("W39", "TimeoutOnce: one deadline from creation; once it is past, no wait waits", on=("compat",))
def one_deadline(c: ConformanceDriver) -> None:
    """The switch's other position: a minute for each would not end."""
    rig = Rig(c, timeout_once=1)
    rig.return_true(_AT_ONCE)
    worker = rig.worker(1, timeout=-100 * MS)
    worker.events[0].set()
    worker.join()
    info = worker.info()
    expect_equal(info.iterations, _AT_ONCE + 1, "iterations")
    _expect_last(worker, TIMEOUT)
    _expect_at_least(c, info.last_tick - worker.created.result.begin, 100, "the one deadline")


@check("W39", "TimeoutOnce: a wait that is satisfied gives its status, also after the deadline", on=("compat",))
def one_deadline_satisfied(c: ConformanceDriver) -> None:
    """And the deadline is not moved by it."""
    rig = Rig(c, timeout_once=1)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    worker = rig.worker(2, timeout=-20 * MS)
    gate.wait_for()
    worker.events[1].set()
    gate.let_pass()
    gate.wait_for()
    info = worker.info()
    expect_equal(list(info.last_status[:2]), [1, TIMEOUT], "wait statuses, the newest first")
    gate.open()


@check("W40", "an absolute time that is past: every iteration comes at once", each=(1, 0x01D0_0000_0000_0000))
def absolute_past(c: ConformanceDriver, time: int) -> None:
    """The year 1601, and 2015."""
    rig = Rig(c)
    rig.return_true(_AT_ONCE)
    worker = rig.worker(1, timeout=time)
    worker.join()
    expect_equal(worker.info().iterations, _AT_ONCE + 1, "iterations")
    _expect_last(worker, TIMEOUT)


@check("W41", "signalled before the time-out: the event's status", each=(WAIT_ALL, WAIT_ANY))
def signalled_before(c: ConformanceDriver, wait_type: int) -> None:
    """With an hour left."""
    rig = Rig(c)
    worker = rig.worker(2, wait_type=wait_type, timeout=-_HOUR)
    for event in worker.events if wait_type == WAIT_ALL else worker.events[1:]:
        event.set()
    expect_equal(worker.statuses(1), [wait_type], "wait statuses")


@check("W41", "a satisfied wait wins over a time-out that is over", each=(0, 1, -1))
def satisfied_wins(c: ConformanceDriver, timeout: int) -> None:
    """Poll, a time long past, the shortest relative one; both hold when the wait begins."""
    rig = Rig(c)
    rig.behave(return_value=0)
    worker = rig.worker([rig.event(), rig.event(signalled=True)], timeout=timeout)
    worker.join()
    expect_equal(worker.statuses(1), [1], "wait statuses")


@check("W42", "STATUS_TIMEOUT does not end the thread: the routine decides")
def timeout_goes_on(c: ConformanceDriver) -> None:
    """Signals still count after time-outs, and FALSE ends it at one."""
    rig = Rig(c)
    worker = rig.worker(1, timeout=-2 * MS)
    worker.wait_for(3)
    worker.events[0].set()
    worker.events[0].wait_until_consumed()
    worker.expect_alive("time-outs do not end it")
    rig.behave(return_value=0)
    worker.join()


@check("W42", "STATUS_TIMEOUT consumes no event", each=(0, -2 * MS))
def timeout_consumes_nothing(c: ConformanceDriver, timeout: int) -> None:
    """WaitAll with one of two signalled, over many time-outs."""
    rig = Rig(c)
    rig.return_true(20)
    events = [rig.event(signalled=True), rig.event()]
    worker = rig.worker(events, wait_type=WAIT_ALL, timeout=timeout)
    worker.join()
    _expect_last(worker, TIMEOUT)
    expect_equal([event.signalled for event in events], [True, False], "events after 21 time-outs")


@check("W43", "a time-out does not come earlier than asked for, but for one clock tick", each=(20, 35, 70, 600))
def not_early(c: ConformanceDriver, milliseconds: int) -> None:
    """The first one from the creation on, each later one from the one before; no upper bound."""
    rig = Rig(c)
    rig.return_true(1)
    worker = rig.worker(1, timeout=-milliseconds * MS)
    worker.join()
    info = worker.info()
    expect_equal(worker.statuses(2), [TIMEOUT] * 2, "wait statuses")
    _expect_at_least(c, info.first_tick - worker.created.result.begin, milliseconds, "the first time-out")
    _expect_at_least(c, info.last_tick - info.first_tick, milliseconds, "the second time-out")


@check("W43", "with time-outs shorter than a tick none is lost and none is doubled", each=(1, 10, 100, 1000, 5000))
def short(c: ConformanceDriver, hundreds_of_ns: int) -> None:
    """Iterations go on; each has its status."""
    rig = Rig(c)
    rig.return_true(15)
    worker = rig.worker(2, wait_type=WAIT_ANY, timeout=-hundreds_of_ns)
    worker.join()
    expect_equal(worker.statuses(16), [TIMEOUT] * 16, "wait statuses")


def _expect_at_least(
    c: ConformanceDriver, ticks_passed: int, milliseconds: float, what: str, *, ticks: int = 1
) -> None:
    """`ticks`: clock ticks that it may come too early by, one for each wait in it."""
    passed = ticks_passed * 1000 / c.run(GetVersion()).tick_frequency
    least = milliseconds - ticks * _TICK_MS
    expect(passed >= least, f"{what} of {milliseconds} ms came after {passed:.3f} ms, earlier than a clock tick allows")


def _expect_last(worker: Worker, status: int) -> None:
    info = worker.info()
    expect_equal(set(info.last_status[: info.last_status_count]), {status}, "the last wait statuses")
