"""Checks of how a worker thread is created (W2-W14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import NONE, UNTOUCHED, Function
from hotswap.conformance.parts import INSUFFICIENT_RESOURCES, MS, SUCCESS, TIMEOUT, expect_status
from hotswap.conformance.requests import GetVersion, QueryCounters
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_OWN_WAIT_BLOCKS = 3
_MOST_ALLOCATIONS = 20
"""More than creating one worker may ever take."""


@check("W2", "a NULL worker routine is STATUS_INVALID_PARAMETER and makes no thread")
def null_routine(c: ConformanceDriver) -> None:
    """Also with all else as it should be, and with events that are signalled."""
    rig = Rig(c)
    event = rig.event(signalled=True)
    rig.expect_refused("a NULL routine", [event], routine=Function.null())
    expect(event.signalled, "an event was consumed, though no thread was made")


@check("W2", "AllowRawRoutine: a NULL worker routine is refused all the same", on=("compat",))
def null_routine_among_raw_ones(c: ConformanceDriver) -> None:
    """No wrapper is asked for then, but a routine is."""
    Rig(c, allow_raw_routine=1).expect_refused("a NULL routine", routine=Function.null())


@check("W2", "a refused creation writes neither handle nor client id (our choice)", on=("compat",))
def writes_nothing(c: ConformanceDriver) -> None:
    """Undocumented: a caller's variables stay as they were."""
    reply = Rig(c).expect_refused("a NULL routine", routine=Function.null())
    expect_equal(reply.handle, UNTOUCHED, "the handle")
    expect_equal((reply.process_id, reply.thread_id), (UNTOUCHED, UNTOUCHED), "the client id")


@check("W2", "a NULL start context is refused (our choice)", on=("compat",))
def null_start(c: ConformanceDriver) -> None:
    """Undocumented."""
    Rig(c).expect_refused("a NULL start context", null_start=1)


@check("W3", "an event count above 64 is STATUS_INVALID_PARAMETER", each=(65, 66, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
def count_above_64(c: ConformanceDriver, count: int) -> None:
    """Judged before any event beyond the block is looked at: the block ends where memory ends."""
    rig = Rig(c)
    rig.expect_refused(f"{count} events", rig.events(64), count=count, guard=1)


@check("W3", "no event is STATUS_INVALID_PARAMETER unless the switch allows it", on=("compat",))
def no_event(c: ConformanceDriver) -> None:
    """With and without a time-out."""
    rig = Rig(c)
    rig.expect_refused("no event", [])
    rig.expect_refused("no event and a time-out", [], timeout=-MS)


@check("W3", "AllowZeroEvents: no event and a time-out is a periodic call", on=("compat",))
@check("W15", "AllowZeroEvents: without an event the thread waits its time-out before each call", on=("compat",))
def zero_events_allowed(c: ConformanceDriver) -> None:
    """The switch's other position."""
    rig = Rig(c, allow_zero_events=1)
    rig.behave(return_limit=2, later_value=0)
    worker = rig.worker([], timeout=-5 * MS)
    worker.join()
    expect_equal(worker.statuses(3), [TIMEOUT] * 3, "wait statuses without an event")


@check("W3", "AllowZeroEvents: a thread that nothing could ever wake or end is refused", on=("compat",))
@check("W15", "AllowZeroEvents: no event and no time-out makes no call, because it makes no thread", on=("compat",))
def zero_events_for_ever(c: ConformanceDriver) -> None:
    """Nothing documented would end it."""
    Rig(c, allow_zero_events=1).expect_refused("no event and no time-out", [])


@check(
    "W5",
    "each failed allocation in turn: no thread, nothing leaks, and the next try works",
    on=("compat",),
    each=(1, 3, 4, 64),
)
def out_of_memory(c: ConformanceDriver, events: int) -> None:
    """Memory of worker and wait blocks, and the thread itself."""
    rig = Rig(c)
    used = rig.events(events)
    routine = rig.wrapper()
    before = c.run(QueryCounters())
    for nth in range(1, _MOST_ALLOCATIONS):
        reply = rig.try_worker(used, routine=routine, fail_allocation=nth)
        if reply.status == SUCCESS:
            break
        what = f"creating a worker with allocation {nth} failing"
        expect_status(reply.status, INSUFFICIENT_RESOURCES, what)
        expect_equal(reply.handle, UNTOUCHED, f"the handle after {what}")
        after = c.run(QueryCounters())
        for name in ("proxy_threads", "proxy_allocations", "extensions", "wrappers", "threads"):
            expect_equal(getattr(after, name), getattr(before, name), f"{name} after {what}")
    at_least = 2 if events <= _OWN_WAIT_BLOCKS else 3
    expect(nth > at_least, f"only {nth - 1} allocations could fail; {at_least} are needed for {events} events")
    used[-1].set()
    rig.wait_for_calls(1)
    expect(not used[-1].signalled, "the worker that was created in the end did not wait on the last event")


@check("W5", "a failed creation leaves the extension free to go", on=("compat",))
def failed_creation_holds_nothing(c: ConformanceDriver) -> None:
    """No count of threads stays behind that would keep the extension."""
    rig = Rig(c)
    for nth in (1, 2):
        reply = rig.try_worker(1, fail_allocation=nth)
        expect_status(reply.status, INSUFFICIENT_RESOURCES, f"creating a worker with allocation {nth} failing")
    expect_status(rig.delete(), SUCCESS, "deleting the extension after failed creations")


@check("W6", "the start context is overwritten right after the call and the worker does not notice", each=(1, 3, 4, 64))
def overwritten_start(c: ConformanceDriver, events: int) -> None:
    """Every event pointer is still known, as are routine, context and wait type."""
    rig = Rig(c)
    worker = rig.worker(events, context=0x1234_5678_9ABC_DEF0)
    for at in range(events):
        info = worker.signal(at, at + 1)
        expect_equal(info.last_status[0], at, f"wait status after event {at} was set")
    expect_equal(worker.info().other_context, 0, "iterations with another context")


@check("W6", "the start context is not written to")
def start_is_only_read(c: ConformanceDriver) -> None:
    """It is an input."""
    reply = Rig(c).worker(3, timeout=-1000 * MS).created
    expect_equal(reply.start_written, 0, "whether the start context was written to")


@check("W7", "the thread waits on the caller's own event: it consumes that one's signal")
def own_event(c: ConformanceDriver) -> None:
    """A copy would leave the original signalled."""
    rig = Rig(c)
    worker = rig.worker(1)
    worker.events[0].set()
    worker.wait_for(1)
    expect(not worker.events[0].signalled, "the caller's event is still signalled after the wait it satisfied")


@check("W7", "two workers on one auto-reset event share it: one set, one iteration in all")
def shared_event(c: ConformanceDriver) -> None:
    """Copies would wake both."""
    rig = Rig(c)
    event = rig.event()
    workers = [rig.worker([event]) for _ in range(2)]
    for total in range(1, 11):
        event.set()
        rig.wait_for_calls(total)
    counts = [worker.info().iterations for worker in workers]
    expect_equal(sum(counts), 10, f"iterations of two workers ({counts}) after ten sets of their event")


@check("W8", "no byte beyond the last event pointer is read", each=(1, 2, 3, 4, 63, 64))
def guarded_tail(c: ConformanceDriver, events: int) -> None:
    """The block ends where accessible memory ends; the last pointer in it is used."""
    rig = Rig(c)
    worker = rig.worker(events, guard=1)
    worker.events[-1].set()
    expect_equal(worker.statuses(1), [events - 1], "wait status")


@check("W9", "a raw function is refused as worker routine unless the switch allows it", on=("compat",))
def raw_routine(c: ConformanceDriver) -> None:
    """The endpoint's own address, though it is registered."""
    Rig(c).expect_refused("a raw function", routine=Function.routine(1))


@check("W9", "AllowRawRoutine: a raw function is called", on=("compat",))
def raw_routine_allowed(c: ConformanceDriver) -> None:
    """The switch's other position; a swap does not redirect it (R15)."""
    rig = Rig(c, allow_raw_routine=1)
    worker = rig.worker(1, routine=Function.routine(1))
    rig.swap(2)
    worker.events[0].set()
    expect_equal(worker.wait_for(1).last_version, 1, "version that ran")


@check("W9", "a wrapper of another extension is refused", on=("compat",))
def foreign_wrapper(c: ConformanceDriver) -> None:
    """The thread would be held by the swaps of one and counted by the other."""
    other = Rig(c, number=1)
    Rig(c).expect_refused("another extension's wrapper", routine=other.wrapper())


@check("W9", "an address that is no wrapper is refused", on=("compat",), each=(-1, 1, 4, 8))
def beside_a_wrapper(c: ConformanceDriver, distance: int) -> None:
    """Just beside one: inside its code, or between two."""
    rig = Rig(c)
    address = rig.look_up().address + distance
    rig.expect_refused(f"the address {distance:+d} from a wrapper", routine=Function.raw(address))


@check(
    "W10",
    "attributes, process and client id may each be NULL or given",
    each=range(8),
)
def optional_arguments(c: ConformanceDriver, given: int) -> None:
    """All eight ways: bit 0 attributes, 1 process, 2 client id."""
    rig = Rig(c)
    options = {"with_attributes": given & 1, "with_process": given >> 1 & 1, "with_client_id": given >> 2 & 1}
    worker = rig.worker(1, **options)
    worker.events[0].set()
    worker.wait_for(1)


@check("W10", "a client id that is not asked for is not written")
def no_client_id(c: ConformanceDriver) -> None:
    """There is nowhere to write it to."""
    created = Rig(c).worker(1, with_client_id=0).created
    expect_equal((created.process_id, created.thread_id), (UNTOUCHED, UNTOUCHED), "the client id")


@check("W11", "the client id names the thread that the routine runs on")
def client_id(c: ConformanceDriver) -> None:
    """Process and thread."""
    rig = Rig(c)
    worker = rig.worker(1)
    worker.events[0].set()
    info = worker.wait_for(1)
    expect_equal(worker.created.thread_id, info.thread_id, "thread id of the client id, and of the routine's thread")
    expect_equal(worker.created.process_id, c.run(GetVersion()).process_id, "process id of the client id")


@check("W11", "each worker has a thread id of its own")
def different_threads(c: ConformanceDriver) -> None:
    """All alive at once."""
    rig = Rig(c)
    ids = [rig.worker(1).created.thread_id for _ in range(4)]
    expect_equal(len(set(ids)), len(ids), f"different thread ids among {ids}")


@check("W12", "closing the handle stops nothing: the worker goes on")
def closed_handle(c: ConformanceDriver) -> None:
    """Before its first iteration, and the referenced object still tells the end."""
    rig = Rig(c)
    rig.behave(return_limit=1, later_value=0)
    worker = rig.worker(1)
    worker.close_handle()
    expect_status(worker.try_join(), TIMEOUT, "waiting for a living thread whose handle was closed")
    worker.events[0].set()
    worker.wait_for(1)
    worker.events[0].set()
    worker.join()
    expect_equal(worker.info().iterations, 2, "iterations")


@check("W12", "the thread object is not signalled while the worker lives, and is when it has ended")
def thread_object(c: ConformanceDriver) -> None:
    """With the handle open."""
    rig = Rig(c)
    rig.behave(return_value=0)
    worker = rig.worker(1)
    expect_status(worker.try_join(), TIMEOUT, "waiting for the thread before its routine ran")
    worker.events[0].set()
    worker.join()
    expect_status(worker.try_join(), SUCCESS, "waiting for the thread once more")
    expect_equal(
        c.run(QueryCounters()).proxy_threads, 0, "worker threads that the runtime counts, after the end was seen"
    )


@check("W14", "a NULL extension is refused (our choice)", on=("compat",))
def null_extension(c: ConformanceDriver) -> None:
    """Undocumented; also with a wrapper that is a good one of another extension."""
    rig = Rig(c)
    rig.expect_refused("a NULL extension", extension=NONE)
    expect_status(rig.delete(), SUCCESS, "deleting the extension whose wrapper was used")
