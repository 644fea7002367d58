"""Checks of what happens when memory is short: each allocation in turn fails (2.2 and 2.3 of the reference).

Creating a worker is checked so as W5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from hotswap.conformance.check import CheckFailed, check, expect, expect_equal
from hotswap.conformance.objects import (
    NO_DRIVER,
    OWN_DRIVER,
    Callback,
    DriverObject,
    Endpoint,
    Function,
    helper_driver,
)
from hotswap.conformance.replies import Registered, WithResult
from hotswap.conformance.requests import Behave, CreateExtension, FromDriver, LoadHelper, Register, UnloadHelper
from hotswap.conformance.swap_calls import begin_repeated, end_repeated
from hotswap.conformance.swap_rig import (
    COMPAT,
    INSUFFICIENT_RESOURCES,
    SUCCESS,
    Extension,
    expect_held,
    expect_phases,
    expect_status,
    held,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

R = TypeVar("R", bound=WithResult)

_MOST = 64
"""More allocations than one call may ever make."""
_OWNERS: Mapping[str, DriverObject] = {"none": NO_DRIVER, "own": OWN_DRIVER, "helper": helper_driver(0)}
_REGISTRATIONS: Mapping[str, tuple[int, Sequence[int]]] = {
    "first": (0, (0, 1, 2)),
    "replace": (3, (0, 1, 2)),
    "mixed": (2, (0, 3, 1, 4)),
    "32-new": (0, range(32)),
}
"""How many ids are registered before, and the ids of the registration."""


def fail_each(c: ConformanceDriver, call: Callable[[int], R], refused: Callable[[R], None]) -> R:
    """Make the call with its first allocation failing, then its second, ... until none is left: the reply of that.

    CheckFailed unless there is one at least, and each failure is STATUS_INSUFFICIENT_RESOURCES, passes `refused`, and
    leaves the runtime with what it held.
    """
    before = held(c)
    for nth in range(1, _MOST):
        reply = call(nth)
        if reply.status == SUCCESS:
            expect(nth > 1, "no allocation could fail")
            expect_equal(reply.result.attempts, nth - 1, "allocations of the call that succeeded")
            return reply
        expect_status(reply.status, INSUFFICIENT_RESOURCES, f"the call whose allocation {nth} failed")
        refused(reply)
        expect_held(c, before, f"after allocation {nth} failed")
    raise CheckFailed(f"the call makes more than {_MOST} allocations")


@check("R2", "no memory for an extension: no owner is taken, and the next try works", on=COMPAT, each=tuple(_OWNERS))
def no_memory_for_extension(c: ConformanceDriver, name: str) -> None:
    """STATUS_INSUFFICIENT_RESOURCES and NULL, at every allocation."""
    owner = _OWNERS[name]
    if name == "helper":
        expect_status(c.run(LoadHelper(0)).status, SUCCESS, "loading the owner")

    def create(nth: int) -> WithResult:
        reply = c.run(CreateExtension(0, owner, fail_allocation=nth))
        if reply.status != SUCCESS:
            expect_equal(reply.pointer, 0, f"the extension's pointer when allocation {nth} failed")
            expect_equal(c.run(FromDriver(owner)).pointer, 0, f"what the owner leads to when allocation {nth} failed")
        return reply

    fail_each(c, create, lambda _reply: None)
    array = [Endpoint(0, Function.echo(1, 0))]
    expect_status(c.run(Register(0, array)).status, SUCCESS, "registering in the extension that was made at last")
    if name == "helper":
        expect_status(c.run(UnloadHelper(0)).status, SUCCESS, "unloading the owner")


@check("R10", "no memory for a registration: none of it, and no phase", on=COMPAT, each=tuple(_REGISTRATIONS))
def no_memory_for_registration(c: ConformanceDriver, name: str) -> None:
    """STATUS_INSUFFICIENT_RESOURCES at every allocation, with a callback and without; then it succeeds."""
    known, ids = _REGISTRATIONS[name]
    new = [id_ for id_ in ids if id_ >= known][:16]
    for number, callback in enumerate((None, Callback())):
        extension = Extension(c, known, number=number)
        array = extension.endpoints(2, ids)

        def register(
            nth: int, number: int = number, array: Sequence[Endpoint] = array, callback: Callback | None = callback
        ) -> Registered:
            return c.run(Register(number, array, callback, fail_allocation=nth))

        def refused(reply: Registered, extension: Extension = extension) -> None:
            expect_phases(reply, (), "a registration without memory")
            extension.expect_version(1, range(known), "after a registration without memory")
            extension.expect_unknown(new, "there was no memory for their registration")

        done = fail_each(c, register, refused)
        expect_phases(done, (0, 1, 2) if callback else (), "the registration that succeeded")
        extension.expect_version(2, ids, "after the registration that succeeded")


@check("R10", "registrations without memory disturb no call", on=COMPAT)
def no_memory_under_load(c: ConformanceDriver) -> None:
    """Four threads call; every second swap fails."""
    extension = Extension(c, 2)
    c.run(Behave(compute=True, compute_count=2, quiet=True))
    pending = begin_repeated(c, extension, (2, 3, 4, 5), (0, 1))
    for at in range(12):
        array = extension.endpoints(at % 4 + 1, (0, 1))
        failed = c.run(Register(0, array, fail_allocation=1))
        expect_status(failed.status, INSUFFICIENT_RESOURCES, "a swap without memory")
        expect_status(c.run(Register(0, array)).status, SUCCESS, "a swap with memory")
    for called in end_repeated(c, pending):
        expect_equal((called.wrong, sum(called.version_calls[1:])), (0, called.calls), "wrong results, and calls made")
