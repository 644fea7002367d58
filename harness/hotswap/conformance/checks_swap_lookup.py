"""Checks of lookups during a stall and at a raised IRQL, and of calls at one (R30, R31)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import OWN_DRIVER, UNREADY_DRIVER, Condition, Function
from hotswap.conformance.requests import (
    Behave,
    Call,
    Features,
    FromDriver,
    LookupAll,
    LookupId,
    LookupPointer,
    Register,
)
from hotswap.conformance.swap_calls import begin_held, begin_repeated, end_repeated, succeeded
from hotswap.conformance.swap_rig import (
    COMPAT,
    NOT_FOUND,
    SUCCESS,
    Extension,
    expect_status,
    expect_under_way,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_IRQLS = {"passive": 0, "apc": 1, "dispatch": 2, "device": 5, "high": 15}


@check("R30", "lookups answer while calls are held, and do not wait for the swap", each=tuple(_IRQLS))
def lookup_during_stall(c: ConformanceDriver, name: str) -> None:
    """By id, by pointer, by driver object, and the features: at this IRQL, as far as the machine has one."""
    irql = _IRQLS[name]
    extension = Extension(c, 2)
    addresses = extension.addresses((0, 1))
    swap = extension.begin_stalled(2, (0,), gate=0)
    (late,) = begin_held(c, extension, (0,))
    for id_, address in enumerate((*addresses, 0)):
        expect_equal(c.run(LookupId(0, id_, irql), lane=3).address, address, f"the wrapper of id {id_} during a stall")
    reply = c.run(LookupPointer(0, Function.echo(1, 1), irql), lane=3)
    expect_equal((reply.status, reply.address), (SUCCESS, addresses[1]), "the wrapper of a function during a stall")
    unknown = c.run(LookupPointer(0, Function.echo(4, 1), irql), lane=3)
    expect_status(unknown.status, NOT_FOUND, "looking up an unknown function during a stall")
    expect_equal(c.run(FromDriver(OWN_DRIVER, irql), lane=3).pointer, 0, "the extension of a driver without one")
    expect_status(c.run(Features(irql=irql), lane=3).status, SUCCESS, "asking for the features during a stall")
    expect_under_way(c, swap, "its ProxyStalled callback has not returned")
    expect(not late.done, "the held call returned during the stall")
    c.open_gate(0)
    succeeded(swap, "the swap")
    ran_in(late.result(), 2, "the call that was held")


@check("R30", "a lookup by driver object answers during a stall of its extension", on=COMPAT)
def owner_during_stall(c: ConformanceDriver) -> None:
    """And a driver object that is not set up gives NULL."""
    extension = Extension(c, driver=OWN_DRIVER)
    swap = extension.begin_stalled(2, gate=0)
    for irql in _IRQLS.values():
        expect_equal(c.run(FromDriver(OWN_DRIVER, irql), lane=3).pointer, extension.pointer, "what the owner leads to")
        expect_equal(c.run(FromDriver(UNREADY_DRIVER, irql), lane=3).pointer, 0, "what an unready object leads to")
    c.open_gate(0)
    succeeded(swap, "the swap")


@check("R30", "lookups allocate nothing", on=COMPAT)
def lookup_without_memory(c: ConformanceDriver) -> None:
    """They answer where every allocation would fail, and try none."""
    extension = Extension(c, driver=OWN_DRIVER)
    address = extension.address()
    replies = (
        c.run(LookupId(0, 0, fail_allocation=1)),
        c.run(LookupPointer(0, Function.echo(1, 0), fail_allocation=1)),
        c.run(FromDriver(OWN_DRIVER, fail_allocation=1)),
        c.run(Features(fail_allocation=1)),
    )
    expect_equal([reply.result.attempts for reply in replies], [0] * 4, "allocations of the four lookups")
    expect_equal((replies[0].address, replies[1].address), (address, address), "wrappers without memory")
    expect_equal(replies[2].pointer, extension.pointer, "what the owner leads to, without memory")


@check("R30", "lookups under swaps give the same wrappers all along")
def lookup_under_load(c: ConformanceDriver) -> None:
    """While two threads call, and ids come and are replaced."""
    extension = Extension(c, 8)
    addresses = extension.addresses(range(8))
    pending = begin_repeated(c, extension, (2, 3), (0, 1))
    for at in range(24):
        request = Register(0, extension.endpoints(at % 4 + 1, range(8)))
        swap = c.begin(request, lane=4)
        found = c.run(LookupAll(0, ids=(*range(8), 99)), lane=5)
        expect_equal([one.address for one in found.by_id], [*addresses, 0], "wrappers during a swap")
        succeeded(swap, "the swap")
    end_repeated(c, pending)


# R31


@check("R31", "a wrapper can be called at a raised IRQL, and returns at it", each=("apc", "dispatch", "device"))
def called_at_irql(c: ConformanceDriver, name: str) -> None:
    """The endpoint runs at the caller's IRQL."""
    irql = _IRQLS[name]
    extension = Extension(c, parameters=8)
    called = c.run(Call(extension.wrapper(), range(8), irql=irql))
    seen = (called.seen_irql, called.result.irql, called.result.irql_after)
    expect_equal(seen, (irql, irql, irql), "IRQL in the endpoint, before and after the call")
    expect_equal(called.seen[:8], tuple(range(8)), "arguments")


@check(
    "R31",
    "a call that is held at DISPATCH_LEVEL or above spins, and runs in the new version",
    each=("dispatch", "device"),
)
def held_at_irql(c: ConformanceDriver, name: str) -> None:
    """The swap goes on, on another processor."""
    extension = Extension(c)
    wrapper = extension.wrapper()
    swap = extension.begin_stalled(2, gate=0)
    call = c.begin(Call(wrapper, irql=_IRQLS[name]), lane=2)
    expect_under_way(c, call, "calls are stalled")
    c.open_gate(0)
    succeeded(swap, "the swap")
    called = call.result()
    ran_in(called, 2, "the call that was held")
    expect_equal(called.seen_irql, _IRQLS[name], "IRQL in the endpoint")


@check("R31", "a call that leaves at a raised IRQL lets the swap drain", each=("dispatch", "device"))
def leaves_at_irql(c: ConformanceDriver, name: str) -> None:
    """Above DISPATCH_LEVEL it cannot signal an event."""
    extension = Extension(c)
    c.run(Behave(1, 0, spin_microseconds=20_000))
    call = c.begin(Call(extension.wrapper(), irql=_IRQLS[name]), lane=2)
    c.wait(Condition.endpoint_calls(1, 0, 1))
    extension.swap(2)
    ran_in(call.result(), 1, "the call at a raised IRQL")
    extension.expect_version(2)
