"""Checks of swaps that a routine makes, that several workers share, and that fail (W58-W60)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Action, Callback, Condition, Phase
from hotswap.conformance.parts import UNSUCCESSFUL, expect_status, wait
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_REFUSED = 0xC0000022  # STATUS_ACCESS_DENIED: no runtime makes that up
_SHORT_DRAIN_MS = 60
_PHASES: Mapping[str, Callable[[Phase], Callback]] = {
    "pre-process": lambda phase: Callback(pre_process=phase),
    "proxy-stalled": lambda phase: Callback(proxy_stalled=phase),
    "post-process": lambda phase: Callback(post_process=phase),
}


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
    rig.set_options()
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
    swap = rig.begin_swap(2, Callback())
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
    woken.wait_for(1)  # what is signalled before it has been consumed is no second wake-up (W29)
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
