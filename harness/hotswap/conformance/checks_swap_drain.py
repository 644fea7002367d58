"""Checks of the drain: its limit, and what is counted (R12, R28)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Callback, Condition
from hotswap.conformance.requests import Behave, GetVersion
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
    UNSUCCESSFUL,
    Extension,
    Steps,
    expect_held,
    expect_phases,
    expect_status,
    expect_under_way,
    held,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_LIMIT_MS = 50
_DEFAULT_MS = 5000
_TICK_MS = 16
"""What a limit may be cut short by: one clock tick."""
_MOST_INSIDE = 15


def milliseconds(c: ConformanceDriver, ticks: int) -> float:
    """Ticks of the guest's clock as milliseconds."""
    return ticks * 1000 / c.run(GetVersion()).tick_frequency


# R12


@check("R12", "a call that stays inside beyond the limit: STATUS_UNSUCCESSFUL, and no change", on=COMPAT, each=(0, 1))
def drain_limit(c: ConformanceDriver, id_: int) -> None:
    """Id 0 would be replaced, id 1 not. New ids stay unknown; ProxyStalled is not called; afterwards all works."""
    extension = Extension(c, 2, drain_timeout_ms=_LIMIT_MS)
    c.run(Behave(1, id_, gate_after=0))
    inside = extension.begin_inside(id_, lane=2)
    before = held(c)
    reply = extension.try_swap(2, (0, 2), Callback())
    expect_status(reply.status, UNSUCCESSFUL, "a swap that cannot drain")
    expect_phases(reply, (0,), "the swap that could not drain")
    expect_held(c, before, "after the drain limit")
    expect(not inside.done, "the call that was inside ended before its gate opened")
    c.open_gate(0)
    ran_in(inside.result(), 1, "the call that was inside")
    extension.expect_version(1, range(2), "after the drain limit")
    extension.expect_unknown((2,), "its registration did not drain")
    extension.swap(2, (0, 2))
    extension.expect_versions({0: 2, 1: 1, 2: 2}, "after a swap that drained")


@check("R12", "calls that a swap held in vain go on, in the old version", on=COMPAT)
@check("R20", "calls that were held when the drain limit came run in the old version", on=COMPAT)
def held_in_vain(c: ConformanceDriver) -> None:
    """While the call that stays inside is still there."""
    extension = Extension(c, 2, drain_timeout_ms=_LIMIT_MS, verbose=True)
    c.run(Behave(1, 0, gate_after=0))
    inside = extension.begin_inside(lane=2)
    extension.wrapper(1)
    (swap,) = begin_stopped(c, (extension, 2, range(2)))
    pending = begin_held(c, extension, (1, 1, 1), lane=3)
    c.clear_pauses()
    expect_status(swap.result().status, UNSUCCESSFUL, "a swap that cannot drain")
    for call in pending:
        ran_in(call.result(), 1, "a call that was held in vain")
    expect(not inside.done, "the call that was inside ended before its gate opened")
    c.open_gate(0)
    ran_in(inside.result(), 1, "the call that was inside")


@check("R12", "the limit is the one that was set, and no shorter", on=COMPAT, each=(20, 60, 180))
def limit_as_set(c: ConformanceDriver, limit: int) -> None:
    """There is no bound above on a loaded machine."""
    extension = Extension(c, drain_timeout_ms=limit)
    c.run(Behave(1, 0, gate_after=0))
    extension.begin_inside(lane=2)
    reply = extension.try_swap(2)
    expect_status(reply.status, UNSUCCESSFUL, "a swap that cannot drain")
    took = milliseconds(c, reply.ticks)
    expect(took >= limit - _TICK_MS, f"the swap gave up after {took:.1f} ms of {limit}")


@check("R12", "the default limit is 5 s", on=COMPAT)
def default_limit(c: ConformanceDriver) -> None:
    """Nothing is set; a limit of 0 is the default too, and so does the first check of the worker's drain rest on it."""
    extension = Extension(c)
    c.run(Behave(1, 0, gate_after=0))
    extension.begin_inside(lane=2)
    reply = extension.try_swap(2)
    expect_status(reply.status, UNSUCCESSFUL, "a swap that cannot drain")
    took = milliseconds(c, reply.ticks)
    expect(took >= _DEFAULT_MS - _TICK_MS, f"the swap gave up after {took:.0f} ms")


@check("R12", "a call that leaves before the limit lets the swap succeed", on=COMPAT)
def leaves_in_time(c: ConformanceDriver) -> None:
    """And the limit counts anew for each swap."""
    extension = Extension(c, drain_timeout_ms=3000, probe=True)
    for version in (1, 2, 3):
        c.run(Behave(version, 0, gate_after=version))
        inside = extension.begin_inside(version=version, lane=2)
        swap = extension.begin_swap(version + 1, (0, PROBE))
        held_call = begin_until_held(c, extension)
        c.open_gate(version)
        ran_in(inside.result(), version, "the call that was inside")
        succeeded(swap, "the swap")
        expect_held_call(held_call, version + 1)


@check("R12", "limit after limit: nothing is used up", on=COMPAT)
def limit_after_limit(c: ConformanceDriver) -> None:
    """Eight in a row, under load, then one that succeeds."""
    extension = Extension(c, 2, drain_timeout_ms=10)
    c.run(Behave(1, 0, gate_after=0))
    c.run(Behave(version=0, endpoint=1, compute=True, compute_count=2, quiet=True))
    pending = begin_repeated(c, extension, (3, 4), (1,))
    inside = extension.begin_inside(lane=2)
    for _ in range(8):
        expect_status(extension.try_swap(2, range(2)).status, UNSUCCESSFUL, "a swap that cannot drain")
    c.open_gate(0)
    ran_in(inside.result(), 1, "the call that was inside")
    for called in end_repeated(c, pending):
        expect_equal(
            (called.wrong, called.version_calls[1]), (0, called.calls), "wrong results, and calls of version 1"
        )
    extension.set_options(drain_timeout_ms=5000)
    extension.swap(2, range(2))
    extension.expect_version(2, range(2))


@check("R12", "the drain limit is told as a rollback, with the old version in force", on=COMPAT)
def steps_of_the_limit(c: ConformanceDriver) -> None:
    """One stall, one drain, one release."""
    extension = Extension(c, drain_timeout_ms=_LIMIT_MS)
    c.run(Behave(1, 0, gate_after=0))
    extension.begin_inside(lane=2)
    told = Steps(c)
    extension.try_swap(2, callback=Callback())
    expect_equal(told.told(), ["PreProcess", "Stalled", "Drained", "RolledBack", "Released"], "steps of the swap")


@check("R12", "a swap begun from inside a call of its own extension ends with the limit, and does not hang", on=COMPAT)
def swap_from_inside(c: ConformanceDriver) -> None:
    """It waits for the call that it is in."""
    from hotswap.conformance.objects import Action

    extension = Extension(c, drain_timeout_ms=_LIMIT_MS)
    again = c.prepare(extension.request(2))
    c.run(Behave(1, 0, action=Action.PREPARED, prepared=again.number))
    ran_in(extension.call(), 1, "the call that begins a swap")
    refused = c.prepared(again)[1]
    expect(refused is not None, "the swap from inside was not made")
    if refused is not None:
        expect_status(refused.status, UNSUCCESSFUL, "a swap from inside a call of its own extension")
    c.run(Behave(1, 0))
    extension.expect_version(1, why="after the swap that could not drain")
    extension.swap(2)
    extension.expect_version(2)


# R28


@check("R28", "a call is counted while it is inside, and no longer", on=COMPAT, each=(1, 2, _MOST_INSIDE))
def counted_in_and_out(c: ConformanceDriver, calls: int) -> None:
    """So many threads, which leave one by one."""
    extension = Extension(c)
    c.run(Behave(1, 0, gate_after=0))
    pending = [extension.begin_inside(lane=1 + at) for at in range(calls)]
    expect_equal(c.counters().active_calls, calls, "active calls with all inside")
    for left in reversed(range(calls)):
        c.pass_gate(0)
        c.wait(Condition.endpoint_inside(1, 0, left))
        c.wait(Condition.active(left))
    for call in pending:
        ran_in(call.result(), 1, "a call that was inside")


@check("R28", "a nested call counts again", on=COMPAT, each=(2, 3, 8))
def nested_counts_each(c: ConformanceDriver, depth: int) -> None:
    """A chain through so many endpoints, each inside the one before, on one thread."""
    extension = Extension(c, depth)
    for id_ in range(depth - 1):
        nest(c, extension, id_, id_ + 1)
    c.run(Behave(1, depth - 1, gate_before=0))
    pending = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    expect_equal(c.counters().active_calls, depth, f"active calls with {depth} nested")
    c.open_gate(0)
    ran_in(pending.result(), 1, "the outermost call")
    c.wait(Condition.active(0))


@check("R28", "an endpoint that calls itself counts each time", on=COMPAT, each=(2, 5, 20))
def recursion_counts_each(c: ConformanceDriver, depth: int) -> None:
    """The innermost waits at the gate."""
    extension = Extension(c)
    nest(c, extension, 0, 0, gate_after=0, depth=depth - 1)
    pending = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    expect_equal(c.counters().active_calls, depth, f"active calls with {depth} nested")
    c.open_gate(0)
    ran_in(pending.result(), 1, "the outermost call")
    c.wait(Condition.active(0))


@check("R28", "drained means none at all: a swap waits for the outermost of nested calls")
def drained_means_zero(c: ConformanceDriver) -> None:
    """The inner ones have left before."""
    extension = Extension(c, 3)
    nest(c, extension, 0, 1, version=1, gate_after=2)
    nest(c, extension, 1, 2, version=1, gate_after=1)
    c.run(Behave(1, 2, gate_after=0))
    pending = extension.begin_call(lane=2)
    c.wait(Condition.at_gate(0))
    swap = extension.begin_swap(2, range(3), Callback())
    for gate in range(3):
        c.wait(Condition.at_gate(gate))
        expect_under_way(c, swap, f"{3 - gate} calls are inside")
        c.open_gate(gate)
    ran_in(pending.result(), 1, "the outermost call")
    expect_equal(succeeded(swap, "the swap").phases[1].inside, 0, "calls inside when ProxyStalled began")
    extension.expect_version(2, range(3))
