"""Checks of how a worker ends, and of what it leaves (W61)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.parts import MS, SUCCESS, expect_status
from hotswap.conformance.requests import QueryCounters
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver


@check("W61", "signal, wait for the thread object, then free: nothing of the worker is left")
def orderly_end(c: ConformanceDriver) -> None:
    """Event 1 is the terminate event; the extension can go then."""
    rig = Rig(c)
    before = c.run(QueryCounters())
    worker = rig.worker(2)
    worker.events[0].set()
    worker.wait_for(1)
    rig.behave(return_value=0)
    worker.events[1].set()
    worker.join()
    expect_equal(worker.statuses(2), [0, 1], "wait statuses")
    worker.release()
    after = c.run(QueryCounters())
    for name in ("proxy_threads", "proxy_allocations", "threads"):
        expect_equal(getattr(after, name), getattr(before, name), f"{name} after the worker has ended")


@check("W61", "while a worker lives its extension is not freed", on=("compat",))
def extension_of_a_living_worker(c: ConformanceDriver) -> None:
    """STATUS_DEVICE_BUSY, and the worker goes on; afterwards it is freed."""
    rig = Rig(c)
    worker = rig.worker(1)
    expect(not rig.delete().succeeded, "the extension was freed though its worker lives")
    worker.events[0].set()
    worker.wait_for(1)
    rig.behave(return_value=0)
    worker.events[0].set()
    worker.join()
    expect_status(rig.delete(), SUCCESS, "freeing the extension after the worker's end")


@check("W61", "a worker whose thread object is signalled uses neither extension nor events any more", on=("compat",))
def nothing_used_after_the_end(c: ConformanceDriver) -> None:
    """Freed at once after the join, many times: what came late would be seen as a crash or as memory that stays."""
    for _ in range(20):
        rig = Rig(c)
        rig.behave(return_value=0)
        worker = rig.worker(4, timeout=-1000 * MS)
        worker.events[3].set()
        worker.join()
        expect_status(rig.delete(), SUCCESS, "freeing the extension right after the join")
        worker.release()


@check("W61", "closing every handle ends no worker")
def handles_closed(c: ConformanceDriver) -> None:
    """Nothing but the routine does."""
    rig = Rig(c)
    workers = [rig.worker(1) for _ in range(3)]
    for worker in workers:
        worker.close_handle()
    for worker in workers:
        worker.expect_alive("only its routine ends it")
        worker.events[0].set()
        worker.wait_for(1)


@check("W61", "many workers end at once and nothing is left")
def many_end(c: ConformanceDriver) -> None:
    """All by one notification event."""
    rig = Rig(c)
    rig.behave(return_value=0)
    stop = rig.event(notification=True)
    workers = [rig.worker([rig.event(), stop]) for _ in range(12)]
    stop.set()
    for worker in workers:
        worker.join()
        expect_equal(worker.statuses(1), [1], "wait statuses")
    expect_equal(c.run(QueryCounters()).proxy_threads, 0, "worker threads that the runtime counts")
