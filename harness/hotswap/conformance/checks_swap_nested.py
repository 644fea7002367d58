"""Checks of calls nested in other calls while a swap stalls (R29)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import CheckFailed, check, expect, expect_equal
from hotswap.conformance.objects import Condition
from hotswap.conformance.replies import Called
from hotswap.conformance.requests import Behave
from hotswap.conformance.swap_calls import (
    begin_held,
    begin_repeated,
    begin_stopped,
    begin_until_held,
    end_repeated,
    expect_held_call,
    nest,
    succeeded,
)
from hotswap.conformance.swap_rig import (
    COMPAT,
    PROBE,
    SUCCESS,
    UNSUCCESSFUL,
    Extension,
    expect_status,
    expect_under_way,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver, Prepared


def expect_nested(c: ConformanceDriver, nested: Prepared[Called], version: int, what: str) -> None:
    """CheckFailed unless this nested call was made, and reached this version."""
    answer = c.prepared(nested)
    called = answer[1]
    if called is None:
        raise CheckFailed(f"{what} was not made: {answer[0].runs} runs, {answer[0].status}")
    expect_equal(called.seen_version, version, f"version of {what}")


@check("R29", "a call nested in one that is inside passes while the swap stalls", each=(1, 2, 8, 14))
def nested_call_passes(c: ConformanceDriver, depth: int) -> None:
    """So many deep, each through another endpoint; all of them in the old version, and the swap drains."""
    extension = Extension(c, depth + 1, probe=True)
    chain = [nest(c, extension, id_, id_ + 1, version=1, gate_before=0 if id_ == 0 else None) for id_ in range(depth)]
    outer = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    swap = extension.begin_swap(2, (*range(depth + 1), PROBE))
    outsider = begin_until_held(c, extension)
    c.open_gate(0)
    ran_in(outer.result(), 1, "the outer call")
    succeeded(swap, "the swap")
    for at, nested in enumerate(chain):
        expect_nested(c, nested, 1, f"the call at depth {at + 1}")
    expect_held_call(outsider, 2)


@check("R29", "an endpoint that calls itself passes while the swap stalls", each=(1, 31))
def recursion_passes(c: ConformanceDriver, depth: int) -> None:
    """So many times."""
    extension = Extension(c, probe=True)
    nest(c, extension, 0, 0, version=1, gate_before=0, depth=depth)
    outer = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    swap = extension.begin_swap(2, (0, PROBE))
    outsider = begin_until_held(c, extension)
    c.open_gate(0)
    ran_in(outer.result(), 1, "the outermost call")
    succeeded(swap, "the swap")
    expect_equal(c.endpoint(1, 0).calls, depth + 1, "calls of the old version")
    expect_held_call(outsider, 2)


@check("R29", "threads that nest while the swap stalls all pass, in any order", each=(2, 8, 12))
def nested_calls_of_threads(c: ConformanceDriver, threads: int) -> None:
    """Each inside one of two endpoints, then in another."""
    extension = Extension(c, 4, probe=True)
    for outer in range(2):
        nest(c, extension, outer, 2 + outer, version=1, gate_before=0)
    pending = [extension.begin_call(at % 2, lane=2 + at) for at in range(threads)]
    c.wait(Condition.at_gate(0, threads))
    swap = extension.begin_swap(2, (*range(4), PROBE))
    outsider = begin_until_held(c, extension)
    for passed in range(threads):
        expect(not swap.done, f"the swap ended while {threads - passed} calls were inside")
        c.pass_gate(0)
    for call in pending:
        ran_in(call.result(), 1, "an outer call")
    succeeded(swap, "the swap")
    expect_equal(c.endpoint(1, 2).calls + c.endpoint(1, 3).calls, threads, "nested calls, all in the old version")
    expect_held_call(outsider, 2)
    extension.expect_version(2, range(4))


@check("R29", "a call nested in a call of another extension is held, and goes on after the swap")
def nested_from_another_extension(c: ConformanceDriver) -> None:
    """It is nested in nothing that the swap waits for; the other extension can be swapped when it is back."""
    extension, other = Extension(c), Extension(c, number=1)
    nested = nest(c, other, 0, 0, version=3, inner_extension=extension)
    other.swap(3)
    swap = extension.begin_stalled(2, gate=0)
    (outer,) = begin_held(c, other, (0,), lane=2)
    expect_under_way(c, swap, "its ProxyStalled callback has not returned")
    c.open_gate(0)
    succeeded(swap, "the swap")
    ran_in(outer.result(), 3, "the call of the other extension")
    expect_nested(c, nested, 2, "the call that was nested in it")
    other.swap(4)
    other.expect_version(4)


@check("R29", "a call of another extension in between does not make it a stranger")
def nested_through_another_extension(c: ConformanceDriver) -> None:
    """From the first into the second and back into the first, while the first stalls."""
    extension, other = Extension(c, 2, probe=True), Extension(c, number=1)
    other.swap(3)
    there = nest(c, extension, 0, 0, version=1, gate_before=0, inner_extension=other)
    back = nest(c, other, 0, 1, version=3, inner_extension=extension)
    outer = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    swap = extension.begin_swap(2, (0, 1, PROBE))
    outsider = begin_until_held(c, extension)
    c.open_gate(0)
    ran_in(outer.result(), 1, "the outer call")
    succeeded(swap, "the swap")
    expect_nested(c, there, 3, "the call of the other extension")
    expect_nested(c, back, 1, "the call that came back")
    expect_held_call(outsider, 2)


@check("R29", "two extensions that stall with calls nested in each other end with the drain limit", on=COMPAT)
def nested_in_each_other(c: ConformanceDriver) -> None:
    """Nobody can drain: each waits for a call that the other holds. Nothing hangs, and afterwards all works."""
    one, other = (Extension(c, number=number, drain_timeout_ms=200, verbose=True) for number in (0, 1))
    other.swap(3)
    nest(c, one, 0, 0, version=1, gate_before=0, inner_extension=other)
    nest(c, other, 0, 0, version=3, gate_before=0, inner_extension=one)
    calls = [one.begin_call(lane=2), other.begin_call(lane=3)]
    c.wait(Condition.at_gate(0, 2))
    swaps = begin_stopped(c, (one, 2, (0,)), (other, 4, (0,)), lane=4)
    c.open_gate(0)
    c.wait(Condition.held(2))
    outsiders = begin_held(c, one, (0,), lane=6) + begin_held(c, other, (0,), lane=7)
    c.clear_pauses()
    statuses = [swap.result().status for swap in swaps]
    expect(set(statuses) <= {SUCCESS, UNSUCCESSFUL}, f"the swaps returned {statuses}")
    expect(UNSUCCESSFUL in statuses, "both swaps succeeded, though each waited for a call that the other held")
    for call in (*calls, *outsiders):
        expect_equal(call.result().seen_calls, 1, "endpoints that a call reached")
    c.run(Behave())
    one.swap(4)
    other.swap(1)
    one.expect_version(4)
    other.expect_version(1)


@check("R29", "a nested call after the outer one was told to wait in vain passes as well", on=COMPAT)
def nested_after_the_limit(c: ConformanceDriver) -> None:
    """The drain limit came while the outer call was inside; the next swap stalls, and then it nests."""
    extension = Extension(c, 2, drain_timeout_ms=30, probe=True)
    nested = nest(c, extension, 0, 1, version=1, gate_before=0)
    outer = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    for _ in range(3):
        expect_status(extension.try_swap(2, range(2)).status, UNSUCCESSFUL, "a swap that cannot drain")
    extension.set_options(drain_timeout_ms=5000)
    swap = extension.begin_swap(2, (0, 1, PROBE))
    outsider = begin_until_held(c, extension)
    c.open_gate(0)
    ran_in(outer.result(), 1, "the outer call")
    expect_nested(c, nested, 1, "the nested call")
    succeeded(swap, "the swap")
    expect_held_call(outsider, 2)


@check("R29", "under load threads that nest all the time let every swap through")
def nesting_under_load(c: ConformanceDriver) -> None:
    """Four threads through a chain of four endpoints, twenty-four swaps."""
    extension = Extension(c, 4)
    for id_ in range(3):
        nest(c, extension, id_, id_ + 1)
    pending = begin_repeated(c, extension, (2, 3, 4, 5), (0, 1, 2))
    for at in range(24):
        extension.swap((at + 1) % 4 + 1, range(4))
    for called in end_repeated(c, pending):
        expect_equal(called.calls, sum(called.version_calls[1:]), "calls that reached an endpoint")
    extension.expect_version(1, range(4), "after the last swap")
