"""Calls for checks of swaps: nested ones, held ones, and calls that go on beside swaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hotswap.conformance.check import expect_equal
from hotswap.conformance.objects import Action, Callback, Condition
from hotswap.conformance.replies import Called, Registered
from hotswap.conformance.requests import Behave, Call
from hotswap.conformance.swap_rig import PROBE, SUCCESS, Extension, expect_status

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver, Pending, Prepared

STOP = 31
"""The gate that ends repeated calls."""
VERSIONS = (1, 2, 3, 4)
MASK = (1 << 64) - 1


def nest(
    c: ConformanceDriver,
    extension: Extension,
    outer: int,
    inner: int,
    *,
    version: int = 0,
    gate_before: int | None = None,
    gate_after: int | None = None,
    depth: int = 0,
    inner_extension: Extension | None = None,
) -> Prepared[Called]:
    """Let endpoint `outer` of a version (0: all) call the wrapper of id `inner`, here or in another extension.

    It waits at `gate_before`, calls, and waits at `gate_after`. `depth`: up to so many calls of it on one thread.
    """
    call = c.prepare(Call((inner_extension or extension).wrapper(inner)))
    c.run(
        Behave(
            version,
            outer,
            gate_before=gate_before,
            gate_after=gate_after,
            action=Action.PREPARED,
            prepared=call.number,
            action_depth=depth,
        )
    )
    return call


def run_beside(
    c: ConformanceDriver,
    extension: Extension,
    *,
    lanes: Sequence[int],
    swaps: int,
    ids: Sequence[int] = (0,),
    callback: Callback | None = None,
) -> list[Called]:
    """Make swaps through all versions while each of these lanes calls an id, in turn, again and again.

    CheckFailed unless every swap succeeds. Returns what became of the calls, by lane.
    """
    calls = begin_repeated(c, extension, lanes, ids)
    for at in range(swaps):
        extension.swap(VERSIONS[(at + 1) % len(VERSIONS)], ids, callback)
    return end_repeated(c, calls)


def begin_repeated(
    c: ConformanceDriver, extension: Extension, lanes: Sequence[int], ids: Sequence[int] = (0,)
) -> list[Pending[Called]]:
    """Let each lane call one of the ids again and again, until `end_repeated`; returns once all of them do.

    With two arguments, those of its own: `Behave(compute=True, compute_count=2)` has each result checked.
    """
    c.close_gate(STOP)
    before = c.counters().calls
    pending = [
        c.begin(Call(extension.wrapper(ids[at % len(ids)]), (at, ~at & MASK), stop_gate=STOP), lane=lane)
        for at, lane in enumerate(lanes)
    ]
    for id_ in {ids[at % len(ids)] for at in range(len(lanes))}:
        version = extension.call(id_).seen_version
        done = c.endpoint(version, id_ % 16).calls
        c.wait(Condition.endpoint_calls(version, id_ % 16, done + 1))
    expect_equal(c.counters().calls > before, True, "calls are made")
    return pending


def begin_counted(
    c: ConformanceDriver, extension: Extension, lanes: Sequence[int], ids: Sequence[int], *, calls: int = 150
) -> list[Pending[Called]]:
    """Let each lane make so many calls that take 200 us each, so that the trace can hold them all."""
    for id_ in ids:
        c.run(Behave(0, id_, spin_microseconds=200))
    return [
        c.begin(Call(extension.wrapper(ids[at % len(ids)]), repeat=calls), lane=lane) for at, lane in enumerate(lanes)
    ]


def end_repeated(c: ConformanceDriver, pending: Sequence[Pending[Called]]) -> list[Called]:
    """Stop them and return what became of them, by lane."""
    c.open_gate(STOP)
    return [one.result() for one in pending]


def begin_stopped(
    c: ConformanceDriver, *swaps: tuple[Extension, int, Sequence[int]], lane: int = 1
) -> list[Pending[Registered]]:
    """Begin swaps (extension, version, ids), each on a lane of its own, and stop them where their stall has begun.

    The drain limit does not run yet: `c.clear_pauses()` lets them go on. The extensions have to be verbose.
    """
    arrived = c.paused().arrivals
    c.pause_at("ProxyStallSet")
    pending = [extension.begin_swap(version, ids, lane=lane + at) for at, (extension, version, ids) in enumerate(swaps)]
    for at in range(len(pending)):
        c.paused(after=arrived + at)
    return pending


def begin_until_held(c: ConformanceDriver, extension: Extension, *, lane: int = 14) -> Pending[Called]:
    """Call PROBE again and again until a stall holds the call; returns then. The call that is held is the last one.

    For a stall that begins some time soon. One that has begun serves `begin_held`.
    """
    wrapper = extension.wrapper(PROBE)
    c.close_gate(STOP)
    held = c.counters().held_calls
    pending = c.begin(Call(wrapper, stop_gate=STOP), lane=lane)
    c.wait(Condition.held(held + 1))
    c.open_gate(STOP)
    return pending


def expect_held_call(pending: Pending[Called], version: int) -> None:
    """CheckFailed unless the call that `begin_until_held` left held went on in this version."""
    expect_equal(pending.result().seen_version, version, "version of the call that was held")


def begin_held(
    c: ConformanceDriver, extension: Extension, ids: Sequence[int], *, lane: int = 2
) -> list[Pending[Called]]:
    """While calls are stalled, begin one of each id, on lanes from `lane` on; returns when all of them are held."""
    held = c.counters().held_calls
    for id_ in ids:
        extension.wrapper(id_)
    pending = [extension.begin_call(id_, lane=lane + at) for at, id_ in enumerate(ids)]
    c.wait(Condition.held(held + len(pending)))
    return pending


def succeeded(pending: Pending[Registered], what: str) -> Registered:
    """Its reply; CheckFailed unless it succeeded."""
    reply = pending.result()
    expect_status(reply.status, SUCCESS, what)
    return reply
