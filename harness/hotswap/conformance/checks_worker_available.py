"""Checks of worker threads where DriverProxy is not available (W4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect_equal
from hotswap.conformance.objects import NONE, OWN_DRIVER, UNTOUCHED, Function
from hotswap.conformance.parts import NOT_SUPPORTED, expect_status
from hotswap.conformance.requests import QueryCounters, SetAvailability
from hotswap.conformance.rig import Rig

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver


@check("W4", "where DriverProxy is not available: STATUS_NOT_SUPPORTED, and no thread", on=("compat",))
def not_available(c: ConformanceDriver) -> None:
    """Also with an extension from before; once it is available again, the same creation succeeds."""
    rig = Rig(c)
    event, routine = rig.event(), rig.wrapper()
    c.run(SetAvailability(False))
    reply = rig.try_worker([event], routine=routine)
    expect_status(reply.status, NOT_SUPPORTED, "creating a worker where DriverProxy is not available")
    expect_equal((reply.handle, c.run(QueryCounters()).proxy_threads), (UNTOUCHED, 0), "handle, and threads")
    c.run(SetAvailability(True))
    event.set()
    rig.worker([event], routine=routine).wait_for(1)


@check("W4", "a driver that is excluded gets STATUS_NOT_SUPPORTED, others do not notice (our choice)", on=("compat",))
def excluded(c: ConformanceDriver) -> None:
    """By the owner of the extension."""
    own, other = Rig(c, owner=OWN_DRIVER), Rig(c, number=1)
    c.run(SetAvailability(True, OWN_DRIVER))
    reply = own.try_worker(1)
    expect_status(reply.status, NOT_SUPPORTED, "creating a worker for a driver that is excluded")
    worker = other.worker(1)
    worker.events[0].set()
    worker.wait_for(1)


@check("W4", "not available comes before all other faults of the call (our choice)", on=("compat",))
def not_available_first(c: ConformanceDriver) -> None:
    """A NULL routine, too many events, no extension."""
    rig = Rig(c)
    events, routine = rig.events(63), rig.wrapper()
    c.run(SetAvailability(False))
    for what, reply in (
        ("a NULL routine", rig.try_worker(1, routine=Function.null())),
        ("65 events", rig.try_worker(events, routine=routine, count=65)),
        ("no extension", rig.try_worker(events, routine=routine, extension=NONE)),
    ):
        expect_status(reply.status, NOT_SUPPORTED, f"creating a worker with {what} where nothing is available")
