"""Checks of which pointers lead to a wrapper (R7, R16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import (
    OWN_DRIVER,
    Endpoint,
    Function,
    Phase,
)
from hotswap.conformance.requests import LookupAll, LookupPointer
from hotswap.conformance.swap_rig import (
    COMPAT,
    NOT_FOUND,
    SUCCESS,
    UNSUCCESSFUL,
    Extension,
    callback,
    expect_found,
    expect_refused,
    expect_status,
    in_phase,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver


@check("R16", "after a replacement the new pointer finds the wrapper and the old one does not (our choice)", on=COMPAT)
def pointer_in_force(c: ConformanceDriver) -> None:
    """Only what is in force is an endpoint."""
    extension = Extension(c, 2)
    for old, new in ((1, 2), (2, 3), (3, 1)):
        extension.swap(new, (0,))
        expect_found(c, extension, Function.echo(new, 0), 0, "which is in force")
        expect_found(c, extension, Function.echo(old, 0), None, "which was replaced")
        expect_found(c, extension, Function.echo(1, 1), 1, "which was not replaced")


@check("R16", "in ProxyStalled the old pointer finds the wrapper, in PostProcess the new one", on=COMPAT)
def pointer_in_phases(c: ConformanceDriver) -> None:
    """The pointers change in between."""
    extension = Extension(c)
    functions = [Function.echo(1, 0), Function.echo(2, 0)]
    looks = [c.prepare(LookupAll(0, functions=functions)) for _ in range(3)]
    extension.swap(2, callback=callback({at: Phase(prepared=look.number) for at, look in enumerate(looks)}))
    for look, wanted in zip(looks, ((0, NOT_FOUND), (0, NOT_FOUND), (NOT_FOUND, 0)), strict=True):
        found = c.prepared(look)[1]
        seen = None if found is None else tuple(one.status for one in found.by_pointer[:2])
        expect_equal(seen, wanted, f"old and new pointer in phase {look.number}")


@check(
    "R16",
    "after a rollback the old pointer finds the wrapper again and the new one does not",
    on=COMPAT,
    each=(1, 2),
)
def pointer_after_rollback(c: ConformanceDriver, phase: int) -> None:
    """Refused in ProxyStalled or PostProcess."""
    extension = Extension(c)
    expect_refused(extension.try_swap(2, callback=in_phase(phase, Phase(UNSUCCESSFUL))).status, "the refused swap")
    expect_found(c, extension, Function.echo(1, 0), 0, "which is in force again")
    expect_found(c, extension, Function.echo(2, 0), None, "which was rolled back")


@check(
    "R16",
    "a function of two ids leads to one of their wrappers, and to the other when that is replaced",
    on=COMPAT,
)
def function_of_two_ids(c: ConformanceDriver) -> None:
    """It is an endpoint as long as an id leads to it."""
    extension = Extension(c, 0, driver=OWN_DRIVER)
    shared = Function.echo(1, 0)
    expect_status(extension.register(Endpoint(1, shared), Endpoint(2, shared)).status, SUCCESS, "registering")
    both = extension.addresses((1, 2))
    first = c.run(LookupPointer(0, shared)).address
    expect(first in both, f"the function leads to {first:#x}, the ids to {both}")
    replaced, stays = (1, 2) if first == both[0] else (2, 1)
    expect_status(extension.register(Endpoint(replaced, Function.echo(2, 0))).status, SUCCESS, "replacing one")
    expect_found(c, extension, shared, stays, "which one id still leads to")
