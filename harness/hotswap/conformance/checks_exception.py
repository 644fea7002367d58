"""Checks of exceptions that leave an endpoint through its wrapper, for a handler of the caller (R28, our choice)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import CheckFailed, check, expect_equal
from hotswap.conformance.objects import Action, CallKind, Condition
from hotswap.conformance.requests import Behave, Call
from hotswap.conformance.swap_calls import succeeded
from hotswap.conformance.swap_rig import (
    COMPAT,
    SUCCESS,
    Extension,
    expect_status,
    expect_under_way,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver
    from hotswap.conformance.replies import Called

ACCESS_VIOLATION = 0xC0000005


def caught(extension: Extension, id_: int = 0) -> Call:
    """A call of the wrapper of an id, by somebody who catches what it raises."""
    return Call(extension.wrapper(id_), range(12), CallKind.CAUGHT)


def expect_raised(called: Called, what: str) -> None:
    """CheckFailed unless this call reached version 1, and was ended by the exception."""
    ran_in(called, 1, what)
    expect_status(called.status, ACCESS_VIOLATION, what)


@check(
    "R28",
    "a call that an exception ends counts no longer: the next swap drains",
    on=COMPAT,
    each=("registers", "stack", "registers, told", "stack, told"),
)
def exception_ends_the_call(c: ConformanceDriver, how: str) -> None:
    """With and without arguments on the stack, by the fast path and, where all steps are told, by the other."""
    extension = Extension(c, parameters=12 if "stack" in how else 2, verbose="told" in how)
    c.run(Behave(1, 0, action=Action.RAISE))
    for at in range(3):
        expect_raised(c.run(caught(extension)), f"call {at}")
        expect_equal(c.counters().active_calls, 0, "active calls after the exception")
    extension.swap(2)
    extension.expect_version(2)
    expect_status(extension.delete(), SUCCESS, "deleting the extension")


@check("R28", "an exception of a nested call ends that one alone", on=COMPAT)
def exception_ends_the_nested_call(c: ConformanceDriver) -> None:
    """The call around it catches it, and is waited for."""
    extension = Extension(c, 2)
    inner = c.prepare(caught(extension, 1))
    c.run(Behave(1, 0, action=Action.PREPARED, prepared=inner.number, gate_after=0))
    c.run(Behave(1, 1, action=Action.RAISE))
    outer = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    expect_equal(c.counters().active_calls, 1, "active calls after the exception of the inner one")
    swap = extension.begin_swap(2, range(2))
    expect_under_way(c, swap, "the outer call is inside")
    c.open_gate(0)
    ran_in(outer.result(), 1, "the outer call")
    succeeded(swap, "the swap")
    called = c.prepared(inner)[1]
    if called is None:
        raise CheckFailed("the inner call was not made")
    expect_raised(called, "the inner call")


@check("R28", "a swap that waits for a call goes on when an exception ends it", on=COMPAT)
def exception_while_stalled(c: ConformanceDriver) -> None:
    """The call leaves while others are held."""
    extension = Extension(c)
    c.run(Behave(1, 0, gate_before=0, action=Action.RAISE))
    inside = c.begin(caught(extension), lane=2)
    c.wait(Condition.at_gate(0))
    swap = extension.begin_swap(2)
    expect_under_way(c, swap, "a call is inside")
    c.open_gate(0)
    expect_raised(inside.result(), "the call that was inside")
    succeeded(swap, "the swap")
    extension.expect_version(2)
