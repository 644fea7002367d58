"""Checks of WaitAny and WaitAll (W24-W33)."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Condition
from hotswap.conformance.parts import TIMEOUT, WAIT_ALL, WAIT_ANY, expect_status, set_all, states, wait
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver


@check("W24", "event n gives STATUS_WAIT_0 + n", each=(1, 2, 3, 4, 17, 64))
def index_of_event(c: ConformanceDriver, events: int) -> None:
    """Each index of the array, the last one first."""
    rig = Rig(c)
    worker = rig.worker(events)
    for count, at in enumerate(reversed(range(events)), 1):
        info = worker.signal(at, count)
        expect_equal((info.iterations, info.last_status[0]), (count, at), f"iterations and status after event {at}")


@check("W25", "of several signalled events exactly one satisfies an iteration, the lowest index first")
def lowest_first(c: ConformanceDriver) -> None:
    """Set from the last to the first while the routine runs."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    worker = rig.worker(4)
    worker.events[3].set()
    gate.wait_for()
    for event in reversed(worker.events):
        event.set()
    gate.open()
    worker.wait_for(5)
    expect_equal(worker.statuses(5), [3, 0, 1, 2, 3], "wait statuses")
    worker.expect_only(5, "each event was signalled once")


@check("W25", "what did not satisfy the wait stays signalled")
def others_untouched(c: ConformanceDriver) -> None:
    """Looked at while the first iteration stands still."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    signalled = [rig.event(signalled=True) for _ in range(4)]
    worker = rig.worker(signalled)
    gate.wait_for()
    expect_equal([event.signalled for event in worker.events], [False, True, True, True], "events after one iteration")
    gate.open()
    worker.wait_for(4)


@check("W26", "one set of an auto-reset event is one iteration, and consumes it", each=(1, 3, 64))
def one_set_one_iteration(c: ConformanceDriver, events: int) -> None:
    """Twenty times, one after the other."""
    rig = Rig(c)
    worker = rig.worker(events)
    event = worker.events[-1]
    for count in range(1, 21):
        expect(not event.set(), f"the event was still signalled before set {count}")
        worker.wait_for(count)
    worker.expect_only(20, "there were as many sets")
    expect(not event.signalled, "the event is signalled after the last iteration")


@check("W26", "an auto-reset event is consumed only by the wait that it satisfied")
def consumed_by_its_wait(c: ConformanceDriver) -> None:
    """A worker that waits on two: the other one's event stays for whoever waits on it."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    first, second = rig.event(signalled=True), rig.event(signalled=True)
    rig.worker([first, second])
    gate.wait_for()
    expect(second.signalled, "the second event was consumed by a wait that the first one satisfied")
    other = rig.worker([second])
    gate.wait_for(2)
    expect_equal([first.signalled, second.signalled], [False, False], "both events, each satisfied one wait")
    gate.open()
    other.wait_for(1)


@check("W27", "a notification event stays signalled: the routine is called again and again")
def notification_event(c: ConformanceDriver) -> None:
    """One set; the routine ends its thread after a hundred calls."""
    rig = Rig(c)
    rig.return_true(100)
    event = rig.event(notification=True)
    worker = rig.worker([event])
    event.set()
    worker.join()
    expect_equal(worker.info().iterations, 101, "iterations of one set")
    expect(event.signalled, "a wait has cleared a notification event")


@check("W27", "a notification event that the routine clears gives one iteration")
def notification_event_cleared(c: ConformanceDriver) -> None:
    """Three times."""
    rig = Rig(c)
    event = rig.event(notification=True)
    rig.behave(clear_event=event.number)
    worker = rig.worker([event])
    for count in range(1, 4):
        event.set()
        worker.wait_for(count)
        wait(c, "the end of the routine", Condition.endpoint_inside(1, 0, 0))
        worker.expect_only(count, "the routine clears the event")


@check("W28", "an event that is signalled at creation gives the first iteration", each=(False, True))
def signalled_at_creation(c: ConformanceDriver, notification: bool) -> None:
    """Auto-reset and notification; nothing is set afterwards."""
    rig = Rig(c)
    rig.behave(return_value=0)
    event = rig.event(notification=notification, signalled=True)
    worker = rig.worker([rig.event(), event])
    worker.join()
    expect_equal(worker.statuses(1), [1], "wait statuses")
    expect_equal(event.signalled, notification, "whether the event is signalled afterwards")


@check("W28", "WaitAll: events that are all signalled at creation give the first iteration")
def all_signalled_at_creation(c: ConformanceDriver) -> None:
    """And nothing but the first."""
    rig = Rig(c)
    worker = rig.worker([rig.event(signalled=True) for _ in range(4)], wait_type=WAIT_ALL)
    expect_equal(worker.statuses(1), [0], "wait statuses")
    worker.expect_only(1, "nothing was signalled since")


@check("W29", "sets of a signalled auto-reset event are not counted", each=(2, 5))
def sets_not_counted(c: ConformanceDriver, sets: int) -> None:
    """So many while the routine runs: one further iteration."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    worker = rig.worker(1)
    worker.events[0].set()
    gate.wait_for()
    seen = [worker.events[0].set() for _ in range(sets)]
    expect_equal(seen, [False] + [True] * (sets - 1), "whether the event was signalled before each set")
    gate.open()
    worker.wait_for(2)
    worker.expect_only(2, "sets of a signalled event do not count")


@check("W30", "what is signalled while the routine runs is seen by the next wait", each=(WAIT_ALL, WAIT_ANY))
def signalled_meanwhile(c: ConformanceDriver, wait_type: int) -> None:
    """Ten times in a row; by another thread, with the routine standing still."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(gate_before=gate.number)
    worker = rig.worker(2, wait_type=wait_type)
    for count in range(1, 11):
        # The first one is there before the wait begins or while it waits; each later one while the routine stands.
        for event in worker.events if wait_type == WAIT_ALL else worker.events[:1]:
            event.set()
        if count > 1:
            gate.let_pass()
        gate.wait_for()
        expect_equal(worker.info().iterations, count, "iterations that have begun")
    gate.open()
    worker.wait_for(10)
    worker.expect_only(10, "there were ten sets")


@check("W30", "what the routine itself signals is seen by the next wait")
def signalled_by_itself(c: ConformanceDriver) -> None:
    """A chain of a hundred iterations from one signal."""
    rig = Rig(c)
    event = rig.event()
    rig.behave(set_event=event.number, return_limit=99, later_value=0)
    worker = rig.worker([event])
    event.set()
    worker.join()
    expect_equal(worker.info().iterations, 100, "iterations of a routine that signals its own event")


@check("W31", "WaitAll: the routine runs once all events are signalled, with STATUS_SUCCESS", each=(2, 3, 4, 64))
def all_events(c: ConformanceDriver, events: int) -> None:
    """Not before the last; then again for the next round."""
    rig = Rig(c)
    worker = rig.worker(events, wait_type=WAIT_ALL)
    for turn in range(2):
        set_all(worker.events[1:])
        worker.expect_only(turn, "one event is missing")
        info = worker.signal(0, turn + 1)
        expect_equal(info.last_status[0], 0, "wait status")


@check("W31", "WaitAll: in whatever order they are signalled the status has no index")
def all_in_any_order(c: ConformanceDriver) -> None:
    """All six orders of three."""
    rig = Rig(c)
    worker = rig.worker(3, wait_type=WAIT_ALL)
    orders = list(permutations(range(3)))
    for count, order in enumerate(orders, 1):
        set_all([worker.events[at] for at in order])
        worker.wait_for(count)
    expect_equal(worker.statuses(len(orders)), [0] * len(orders), "wait statuses")


@check("W31", "WaitAll: signalled at different times is not signalled at one time")
def all_at_one_time(c: ConformanceDriver) -> None:
    """The first one is cleared before the second is set."""
    rig = Rig(c)
    worker = rig.worker(2, wait_type=WAIT_ALL)
    worker.events[0].set()
    worker.events[0].clear()
    worker.events[1].set()
    worker.expect_only(0, "the events were never signalled at one time")
    worker.events[0].set()
    worker.wait_for(1)


@check("W32", "WaitAll: no event is consumed before all can be", each=(2, 3, 64))
def partial_set(c: ConformanceDriver, events: int) -> None:
    """All but one are signalled, and stay so; the last takes them all."""
    rig = Rig(c)
    worker = rig.worker(events, wait_type=WAIT_ALL)
    set_all(worker.events[:-1])
    worker.expect_only(0, "the last event is missing")
    expect_equal(states(worker.events), [True] * (events - 1) + [False], "states of a partial set")
    worker.signal(events - 1, 1)
    expect_equal(any(states(worker.events)), False, "whether any event is left signalled")


@check("W32", "WaitAll: an event of a partial set is there for another waiter")
def partial_set_shared(c: ConformanceDriver) -> None:
    """Who can take it takes it; then the set is partial again."""
    rig = Rig(c)
    both = rig.events(2)
    waiting_for_all = rig.worker(both, wait_type=WAIT_ALL)
    both[0].set()
    waiting_for_all.expect_only(0, "the second event is missing")
    waiting_for_one = rig.worker(both[:1])
    waiting_for_one.wait_for(1)
    both[1].set()
    waiting_for_all.expect_only(0, "the first event was taken")
    expect(both[1].signalled, "the second event was consumed without the first")
    both[0].set()
    # Now either may get the first one; whoever does, the other's wait is whole or goes on.
    rig.wait_for_calls(2)


@check("W33", "with one event WaitAll and WaitAny give the same", each=(WAIT_ALL, WAIT_ANY))
def one_event(c: ConformanceDriver, wait_type: int) -> None:
    """Signalled before, while waiting, while running; and a time-out."""
    rig = Rig(c)
    gate = rig.gate()
    event = rig.event(signalled=True)
    rig.behave(gate_before=gate.number)
    worker = rig.worker([event], wait_type=wait_type)
    gate.wait_for()
    event.set()
    gate.let_pass()
    gate.wait_for()
    gate.open()
    worker.wait_for(2)
    worker.expect_only(2, "it was signalled twice")
    event.set()
    expect_equal(worker.statuses(3), [0, 0, 0], "wait statuses")
    timed = rig.worker(1, wait_type=wait_type, timeout=-1)
    expect_status(timed.wait_for(1).last_status[0], TIMEOUT, "wait status of a time-out")
