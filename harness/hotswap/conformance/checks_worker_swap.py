"""Checks of workers and swaps (W53-W60)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Action, Callback, Condition, Phase
from hotswap.conformance.rig import (
    MS,
    SUCCESS,
    TIMEOUT,
    UNSUCCESSFUL,
    WAIT_ALL,
    WAIT_ANY,
    Gate,
    Rig,
    Worker,
    expect_status,
    wait,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_REFUSED = 0xC0000022  # STATUS_ACCESS_DENIED: no runtime makes that up
_SHORT_DRAIN_MS = 60
_PHASES: Mapping[str, Callable[[Phase], Callback]] = {
    "pre-process": lambda phase: Callback(pre_process=phase),
    "proxy-stalled": lambda phase: Callback(proxy_stalled=phase),
    "post-process": lambda phase: Callback(post_process=phase),
}


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
    """It ends its wait, in the new version."""
    rig = Rig(c)
    rig.behave(return_value=0)
    worker = rig.worker(1, timeout=-150 * MS)
    rig.swap(2)
    worker.join()
    info = worker.info()
    expect_equal((info.iterations, info.last_status[0]), (1, TIMEOUT), "iterations and status")
    expect_equal(info.last_version, 2, "version that the time-out ran in")


@check("W54", "a swap waits for the return of a routine that is running")
def swap_while_running(c: ConformanceDriver) -> None:
    """Until then nothing is switched; the iteration ends in the version it began in."""
    rig = Rig(c)
    worker, gate = _running_worker(rig)
    swap = rig.begin_swap(2, _tell_all())
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
    reply = rig.try_swap(2, _tell_all())
    expect_status(reply.status, UNSUCCESSFUL, "the swap while a routine does not return")
    expect_equal([phase.phase for phase in reply.phases], [0], "phases that were told")
    gate.open()
    worker.events[0].set()
    expect_equal(worker.wait_for(2).version_iterations[1:3], (2, 0), "iterations by version after the failed swap")
    rig.swap(2)
    worker.events[0].set()
    expect_equal(worker.wait_for(3).last_version, 2, "version after the swap that went through")


@check("W55", "an event signalled while calls are stalled is not lost: its call reaches the new version", each=(1, 4))
def signalled_in_stall(c: ConformanceDriver, workers: int) -> None:
    """Held in the middle of the swap, each by another index; nothing runs before the end of the stall."""
    rig = Rig(c)
    made = [rig.worker(workers) for _ in range(workers)]
    gate = rig.gate()
    swap = rig.begin_swap(2, Callback(proxy_stalled=Phase(gate=gate.number)))
    gate.wait_for()
    for at, worker in enumerate(made):
        worker.events[at].set()
    wait(c, f"{workers} held calls", Condition.held(workers))
    for worker in made:
        worker.expect_only(0, "calls are stalled")
    gate.open()
    swap.succeeds()
    for at, worker in enumerate(made):
        info = worker.wait_for(1)
        seen = (info.last_version, info.last_status[0])
        expect_equal(seen, (2, at), "version and wait status of a call that was held")
        worker.expect_only(1, "one event was signalled")


@check("W55", "what is signalled again while its call is held is one further iteration")
def signalled_twice_in_stall(c: ConformanceDriver) -> None:
    """The first signal is consumed by the wait whose call is held; the second one waits in the event."""
    rig = Rig(c)
    worker = rig.worker(2)
    gate = rig.gate()
    swap = rig.begin_swap(2, Callback(proxy_stalled=Phase(gate=gate.number)))
    gate.wait_for()
    worker.events[1].set()
    wait(c, "a held call", Condition.held())
    worker.events[0].set()
    gate.open()
    swap.succeeds()
    expect_equal(worker.statuses(2), [1, 0], "wait statuses")
    expect_equal(worker.info().version_iterations[1:3], (0, 2), "iterations by version")


@check("W55", "rolled back: what was signalled meanwhile runs in the old version")
def signalled_and_rolled_back(c: ConformanceDriver) -> None:
    """ProxyStalled refuses."""
    rig = Rig(c)
    worker = rig.worker(1)
    gate = rig.gate()
    swap = rig.begin_swap(2, Callback(proxy_stalled=Phase(_REFUSED, gate.number)))
    gate.wait_for()
    worker.events[0].set()
    wait(c, "a held call", Condition.held())
    gate.open()
    expect(not swap.result().status.succeeded, "a swap that was refused succeeded")
    expect_equal(worker.wait_for(1).last_version, 1, "version of the call that was held")
    worker.expect_only(1, "one event was signalled")


@check("W55", "swap after swap under signals: no wake-up is lost or doubled, none runs in a version not in force")
def many_swaps(c: ConformanceDriver) -> None:
    """Each signal is followed by a swap at once, so that its call comes before, in and after the stall."""
    rig = Rig(c)
    workers = [rig.worker(1) for _ in range(4)]
    version = 1
    for count in range(1, 31):
        for worker in workers:
            worker.events[0].set()
        version = version % 4 + 1
        rig.swap(version)
        for worker in workers:
            info = worker.wait_for(count)
            expect_equal(info.iterations, count, f"iterations of worker {worker.number} after {count} signals")
            previous = (version - 2) % 4 + 1
            expect(info.last_version in (previous, version), f"version {info.last_version} ran, not in force any more")
            expect_equal((info.overlaps, info.other_context), (0, 0), "overlaps and foreign contexts")


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


@check("W58", "a swap that the routine itself starts ends, without effect, and the worker goes on", on=("compat",))
def swap_from_inside(c: ConformanceDriver) -> None:
    """It would have to wait for the call that it is made in."""
    rig = Rig(c, drain_timeout_ms=_SHORT_DRAIN_MS)
    prepared = c.prepare(rig.registration(2))
    rig.behave(version=1, action=Action.PREPARED, prepared=prepared.number)
    worker = rig.worker(1)
    worker.events[0].set()
    worker.wait_for(1)
    wait(c, "the end of the routine", Condition.endpoint_inside(1, 0, 0))
    told = c.prepared(prepared)
    state, reply = told
    expect_equal(state.runs, 1, "registrations from inside the routine that have ended")
    expect(reply is not None and not reply.status.succeeded, "a swap succeeded while the routine that made it ran")
    rig.behave(version=1)
    worker.events[0].set()
    expect_equal(worker.wait_for(2).last_version, 1, "version in force")
    rig.swap(2)
    worker.events[0].set()
    expect_equal(worker.wait_for(3).last_version, 2, "version after a swap from outside")


@check(
    "W58",
    "a routine that ends its thread itself is never seen to return: swaps fail, and do not hang",
    on=("compat",),
    spends=True,
)
def terminates_itself(c: ConformanceDriver) -> None:
    """The extension is not deleted under a call that counts; the guest is given up afterwards."""
    rig = Rig(c, drain_timeout_ms=_SHORT_DRAIN_MS)
    rig.behave(version=1, action=Action.TERMINATE_THREAD)
    worker = rig.worker(1)
    worker.events[0].set()
    worker.join()
    expect_status(rig.try_swap(2).status, UNSUCCESSFUL, "a swap after a routine has ended its own thread")
    expect(not rig.delete().succeeded, "the extension was deleted though a call is still counted")


@check("W59", "workers may share a wrapper, and a swap drains them all", each=(2, 8))
def shared_wrapper(c: ConformanceDriver, workers: int) -> None:
    """It is under way until the last one has returned."""
    rig = Rig(c)
    gate = rig.gate()
    rig.behave(version=1, gate_before=gate.number)
    made = [rig.worker(1) for _ in range(workers)]
    for worker in made:
        worker.events[0].set()
    gate.wait_for(workers)
    swap = rig.begin_swap(2, _tell_all())
    for left in range(workers, 1, -1):
        gate.let_pass()
        wait(c, f"{left - 1} calls inside", Condition.endpoint_inside(1, 0, left - 1))
    swap.expect_under_way("one of the workers is still inside")
    gate.let_pass()
    expect_equal(swap.succeeds().phases[1].inside, 0, "calls inside at ProxyStalled")
    for worker in made:
        worker.events[0].set()
        expect_equal(worker.wait_for(2).version_iterations[1:3], (1, 1), "iterations by version")


@check("W59", "workers of different endpoints of one extension are drained by any swap of it")
def endpoints_drained(c: ConformanceDriver) -> None:
    """Only endpoint 0 is replaced; a routine of endpoint 1 is inside (R19)."""
    rig = Rig(c, endpoints=2)
    gate = rig.gate()
    rig.behave(version=1, endpoint=1, gate_before=gate.number)
    worker = rig.worker(1, routine=rig.wrapper(1))
    worker.events[0].set()
    gate.wait_for()
    swap = rig.begin_swap(2, ids=[0])
    swap.expect_under_way("a routine of another endpoint is inside")
    gate.open()
    swap.succeeds()
    worker.events[0].set()
    expect_equal(worker.wait_for(2).last_version, 1, "version of the endpoint that was not replaced")


@check(
    "W60",
    "a swap that is refused: the thread goes on with the old version",
    each=_PHASES,
)
def refused_swap(c: ConformanceDriver, phase: str) -> None:
    """In each phase; with a worker that waits and one that is woken meanwhile."""
    rig = Rig(c)
    waiting, woken = rig.worker(1), rig.worker(1)
    gate = rig.gate()
    refusal = Phase(_REFUSED, gate.number)
    swap = rig.begin_swap(2, _PHASES[phase](refusal))
    gate.wait_for()
    woken.events[0].set()
    if phase == "post-process":
        # Calls flow in the new version already: that one is not undone.
        expect_equal(woken.wait_for(1).last_version, 2, "version in PostProcess")
    gate.open()
    expect_status(swap.result().status, _REFUSED, f"a swap refused in {phase}")
    for worker, count in ((woken, 2), (waiting, 1)):
        worker.events[0].set()
        expect_equal(worker.wait_for(count).last_version, 1, f"version after a swap refused in {phase}")
    for worker in (waiting, woken):
        worker.expect_alive("a failed swap does not end it")
        expect_equal(worker.info().threads, 1, "threads that the routine was called on")


@check("W60", "KeepAfterPostProcess: the new version stays, and the thread goes on with it", on=("compat",))
def kept_after_post_process(c: ConformanceDriver) -> None:
    """The switch's other position (R25)."""
    rig = Rig(c, keep_after_post_process=1)
    worker = rig.worker(1)
    status = rig.try_swap(2, Callback(post_process=Phase(_REFUSED))).status
    expect_status(status, _REFUSED, "a swap refused in PostProcess")
    worker.events[0].set()
    expect_equal(worker.wait_for(1).last_version, 2, "version after a PostProcess that was only reported")


def _running_worker(rig: Rig) -> tuple[Worker, Gate]:
    """A worker whose first iteration stands at a gate in version 1."""
    gate = rig.gate()
    rig.behave(version=1, gate_before=gate.number)
    worker = rig.worker(1)
    worker.events[0].set()
    gate.wait_for()
    return worker, gate


def _tell_all() -> Callback:
    """A callback that agrees to everything."""
    return Callback(pre_process=Phase(SUCCESS))
