"""Checks of swaps while a worker waits and while its routine runs (W53, W54, W56, W57)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hotswap.conformance.check import Inconclusive, check, expect, expect_equal
from hotswap.conformance.objects import Callback
from hotswap.conformance.parts import MS, TIMEOUT, UNSUCCESSFUL, WAIT_ALL, WAIT_ANY, Gate, Worker, expect_status
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_SHORT_DRAIN_MS = 60
_POINTS: Mapping[str, tuple[str, bool, int]] = {
    "after-its-wait": ("ProxyWoken", False, 2),
    "before-it-counts": ("ProxyCallEntering", False, 2),
    "as-it-counts": ("ProxyCallInside", True, 1),
    "after-the-routine": ("ProxyCallReturned", True, 1),
    "behind-its-wrapper": ("ProxyCallLeft", False, 1),
}
"""Trace event, whether a swap waits for the thread that stands there, and the version that its call runs in."""


@check(
    "W53",
    "a swap goes through while workers wait, and the next wake-up calls the new version",
    each=(WAIT_ALL, WAIT_ANY),
)
def swap_while_waiting(c: ConformanceDriver, wait_type: int) -> None:
    """Several workers and swaps; the wait itself is not disturbed, so nothing runs without a signal."""
    rig = Rig(c)
    workers = [rig.worker(2, wait_type=wait_type) for _ in range(3)]
    for count, version in enumerate((2, 3, 4, 1), 1):
        rig.swap(version)
        for worker in workers:
            worker.expect_only(count - 1, "nothing was signalled since")
            for event in worker.events if wait_type == WAIT_ALL else worker.events[:1]:
                event.set()
            info = worker.wait_for(count)
            expect_equal((info.last_version, info.last_status[0]), (version, 0), "version and status after the swap")


@check("W53", "the wrapper that the worker was created with leads to the new version")
def same_wrapper(c: ConformanceDriver) -> None:
    """Its address is the same before and after."""
    rig = Rig(c)
    before = rig.look_up().address
    rig.swap(2)
    expect_equal(rig.look_up().address, before, "address of the wrapper after the swap")


@check("W53", "a time-out goes on over a swap")
def timeout_over_swap(c: ConformanceDriver) -> None:
    """It ends its wait, in the new version. Where a loaded host swaps later than that: again, with a longer one."""
    rig = Rig(c)
    rig.behave(return_value=0)
    for version, milliseconds in ((2, 150), (3, 600), (4, 2400)):
        worker = rig.worker(1, timeout=-milliseconds * MS)
        swapped = rig.swap(version).result.end
        worker.join()
        info = worker.info()
        expect_equal((info.iterations, info.last_status[0]), (1, TIMEOUT), "iterations and status")
        if info.first_tick > swapped:
            expect_equal(info.last_version, version, "version that the time-out ran in")
            return
    raise Inconclusive("every time-out came before the swap had ended")


@check("W54", "a swap waits for the return of a routine that is running")
def swap_while_running(c: ConformanceDriver) -> None:
    """Until then nothing is switched; the iteration ends in the version it began in."""
    rig = Rig(c)
    worker, gate = _running_worker(rig)
    swap = rig.begin_swap(2, Callback())
    swap.expect_under_way("a call is inside the old version")
    gate.open()
    reply = swap.succeeds()
    expect_equal([phase.inside for phase in reply.phases[1:2]], [0], "calls inside at ProxyStalled")
    expect_equal(worker.info().version_iterations[1:3], (1, 0), "iterations by version")
    worker.events[0].set()
    expect_equal(worker.wait_for(2).last_version, 2, "version after the swap")


@check("W54", "a routine that does not return fails the swap by the drain limit", on=("compat",))
def drain_limit(c: ConformanceDriver) -> None:
    """Not before the limit; the old version stays, and the next swap goes through once the routine has returned."""
    rig = Rig(c, drain_timeout_ms=_SHORT_DRAIN_MS)
    worker, gate = _running_worker(rig)
    reply = rig.try_swap(2, Callback())
    expect_status(reply.status, UNSUCCESSFUL, "the swap while a routine does not return")
    expect_equal([phase.phase for phase in reply.phases], [0], "phases that were told")
    gate.open()
    worker.events[0].set()
    expect_equal(worker.wait_for(2).version_iterations[1:3], (2, 0), "iterations by version after the failed swap")
    rig.set_options()
    rig.swap(2)
    worker.events[0].set()
    expect_equal(worker.wait_for(3).last_version, 2, "version after the swap that went through")


@check(
    "W54",
    "only a call that is counted holds a swap up: a thread before its wrapper or behind it does not",
    on=("compat",),
    each=_POINTS,
)
def thread_stopped_at(c: ConformanceDriver, point: str) -> None:
    """Stopped between wait and wrapper, in it before and after it is counted, and on its way back to the wait."""
    rig = Rig(c, verbose=1)
    worker = rig.worker(1)
    event, held_up, version = _POINTS[point]
    arrived = c.paused().arrivals
    c.pause_at(event, nth=1)
    worker.events[0].set()
    c.paused(after=arrived)
    swap = rig.begin_swap(2)
    if held_up:
        swap.expect_under_way(f"a counted call stands {point}")
        c.let_go()
    swap.succeeds()
    c.let_go()
    info = worker.wait_for(1)
    expect_equal((info.iterations, info.last_version), (1, version), f"iterations, version of a call stopped {point}")
    worker.events[0].set()
    expect_equal(worker.wait_for(2).last_version, 2, "version of the next iteration")


@check("W56", "thread, handle and client id are the same before and after swaps")
def same_thread(c: ConformanceDriver) -> None:
    """The routine sees one thread, and the referenced object is that of a thread that lives."""
    rig = Rig(c)
    worker = rig.worker(1)
    for count, version in enumerate((1, 2, 3), 1):
        if version != 1:
            rig.swap(version)
        worker.events[0].set()
        info = worker.wait_for(count)
        expect_equal((info.last_version, info.threads), (version, 1), "version, and threads that were seen")
        expect_equal(info.thread_id, worker.created.thread_id, "thread id in the routine and in the client id")
    worker.expect_alive("a swap does not end it")
    rig.behave(return_value=0)
    worker.events[0].set()
    worker.join()


@check("W56", "RecreateThread: after a swap another thread goes on, and nothing else changes", on=("compat",))
def another_thread(c: ConformanceDriver) -> None:
    """The switch's other position (reference, 4.9 b): the thread that the client id names ends."""
    rig = Rig(c, recreate_thread=1)
    worker = rig.worker(3, context=0xABCD)
    worker.events[1].set()
    expect_equal(worker.wait_for(1).threads, 1, "threads before the swap")
    rig.swap(2)
    worker.events[2].set()
    info = worker.wait_for(2)
    expect_equal((info.last_version, info.last_status[0]), (2, 2), "version and wait status")
    expect_equal(info.threads, 2, "threads that the routine was called on")
    expect(info.thread_id != worker.created.thread_id, "the routine is called on the old thread after the swap")
    expect_equal(info.other_context, 0, "iterations with another context")
    worker.join()


@check("W56", "RecreateThread: no wake-up is lost over the change of threads", on=("compat",))
def another_thread_loses_nothing(c: ConformanceDriver) -> None:
    """Signalled right before each of twenty swaps."""
    rig = Rig(c, recreate_thread=1)
    worker = rig.worker(1)
    for count in range(1, 21):
        worker.events[0].set()
        rig.swap(count % 4 + 1)
        info = worker.wait_for(count)
        expect_equal((info.iterations, info.overlaps), (count, 0), f"iterations and overlaps after {count} signals")


@check("W57", "the new version gets the pointer that the old one gave", each=(0, 0xFFFF_8000_DEAD_BEE0, (1 << 64) - 1))
def context_over_swap(c: ConformanceDriver, context: int) -> None:
    """Unchanged, and not followed."""
    rig = Rig(c)
    worker = rig.worker(1, context=context)
    for count, version in enumerate((2, 3), 1):
        rig.swap(version)
        worker.events[0].set()
        info = worker.wait_for(count)
        expect_equal((info.last_version, info.last_context), (version, context), "version and WorkerContext")
    expect_equal(worker.info().other_context, 0, "iterations with another context")


def _running_worker(rig: Rig) -> tuple[Worker, Gate]:
    """A worker whose first iteration stands at a gate in version 1."""
    gate = rig.gate()
    rig.behave(version=1, gate_before=gate.number)
    worker = rig.worker(1)
    worker.events[0].set()
    gate.wait_for()
    return worker, gate
