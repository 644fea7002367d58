"""Checks of signals that come while calls are stalled, or in swap after swap (W30, W55)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Callback, Condition, Phase
from hotswap.conformance.parts import MS, TIMEOUT, WAIT_ALL, WAIT_ANY, Worker, come, wait
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_REFUSED = 0xC0000022  # STATUS_ACCESS_DENIED: no runtime makes that up


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


@check("W55", "a time-out that expires while calls are stalled runs in the new version", each=(WAIT_ALL, WAIT_ANY))
def timed_out_in_stall(c: ConformanceDriver, wait_type: int) -> None:
    """With its status; and once."""
    rig = Rig(c)
    gate = rig.gate()
    swap = rig.begin_swap(2, Callback(proxy_stalled=Phase(gate=gate.number)))
    gate.wait_for()
    rig.return_true(0)
    worker = rig.worker(2, wait_type=wait_type, timeout=-5 * MS)
    wait(c, "a held call", Condition.held())
    worker.expect_only(0, "calls are stalled")
    gate.open()
    swap.succeeds()
    worker.join()
    info = worker.info()
    expect_equal((info.iterations, info.last_version, info.last_status[0]), (1, 2, TIMEOUT), "what the time-out gave")


@check("W30", "two workers that wake each other never stop")
@check("W55", "two workers that wake each other never stop, while swap follows swap")
def chain_under_swaps(c: ConformanceDriver) -> None:
    """One wake-up is under way at any time: one that is lost ends the chain, one that is doubled breaks the count."""
    rig = Rig(c, endpoints=2)
    events = rig.events(2)
    for endpoint in (0, 1):
        rig.behave(endpoint=endpoint, set_event=events[1 - endpoint].number)
    workers = [rig.worker([events[at]], routine=rig.wrapper(at)) for at in (0, 1)]
    events[0].set()
    for count in range(1, 26):
        rig.swap(count % 4 + 1)
        seen = workers[0].info().iterations
        workers[0].wait_for(seen + 5)
    rig.behave()
    first, second = _at_rest(workers)
    expect(first - second in (0, 1), f"iterations of the two: {first} and {second}, as if a wake-up were doubled")
    infos = [worker.info() for worker in workers]
    expect_equal([(info.overlaps, info.threads) for info in infos], [(0, 1)] * 2, "overlaps and threads")


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


def _at_rest(workers: Sequence[Worker]) -> tuple[int, ...]:
    """Iterations of the workers once none comes any more."""
    counts: tuple[int, ...] = ()
    while counts != (counts := tuple(worker.info().iterations for worker in workers)):
        wait(workers[0].c, "the end of the last call", Condition.active(0))
        come(workers[0].c, Condition.iterations(workers[0].number, counts[0] + 1))
    return counts
