"""Checks of the phases of a swap (R17-R22, R27)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Callback, Condition, Phase
from hotswap.conformance.requests import Behave, LookupAll
from hotswap.conformance.swap_calls import (
    begin_counted,
    begin_held,
    begin_repeated,
    begin_until_held,
    end_repeated,
    expect_held_call,
    succeeded,
)
from hotswap.conformance.swap_rig import (
    COMPAT,
    PROBE,
    Extension,
    Steps,
    expect_phases,
    expect_under_way,
    in_phase,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

_SWAP = ["PreProcess", "Stalled", "Drained", "ProxyStalled", "Switched", "Released", "PostProcess"]


# R17


@check("R17", "PreProcess, ProxyStalled, PostProcess: each once, in this order", each=(0, 1, 8))
def phases_in_order(c: ConformanceDriver, calls: int) -> None:
    """Alone, and with so many threads that call all the time."""
    extension = Extension(c)
    pending = begin_repeated(c, extension, range(2, 2 + calls)) if calls else []
    for version in (2, 3, 4, 1):
        reply = extension.swap(version, callback=Callback())
        expect_phases(reply, (0, 1, 2), f"the swap to version {version}")
        ticks = [tick for call in reply.phases[:3] for tick in (call.begin, call.end)]
        within = [reply.result.begin, *ticks, reply.result.end]
        expect_equal(within, sorted(within), "ticks of call, phases and return")
    end_repeated(c, pending)


@check("R17", "stall, drain, switch and release come once each, at their places between the phases", on=COMPAT)
def steps_in_order(c: ConformanceDriver) -> None:
    """Alone, with a call inside at first, and with one that is held besides."""
    extension = Extension(c, traced=True, probe=True)
    for at in range(3):
        c.run(Behave(at + 1, 0, gate_after=at))
        told = Steps(c)
        pending = [extension.begin_inside(version=at + 1, lane=2)] if at else []
        swap = extension.begin_swap(at + 2, (0, PROBE), Callback())
        if at > 1:
            pending.append(begin_until_held(c, extension))
        c.open_gate(at)
        succeeded(swap, "the swap")
        for call in pending:
            call.result()
        expect_equal(told.told(), _SWAP, f"steps of a swap with {len(pending)} calls")


@check("R17", "every call before the switch is of the old version, every call after it of the new one", on=COMPAT)
def switched_at_once(c: ConformanceDriver) -> None:
    """Four threads, two endpoints, twelve swaps: by the order of the trace."""
    extension = Extension(c, 2, traced=True)
    told = Steps(c)
    pending = begin_counted(c, extension, (2, 3, 4, 5), range(2))
    for at in range(12):
        extension.swap((at + 1) % 4 + 1, range(2))
    end_repeated(c, pending)
    events = told.events()
    switches = calls = 0
    for event in events:
        if event.name == "ProxySwitched":
            switches += 1
        elif event.name == "CallEnter":
            calls += 1
            expect_equal(event["Version"], switches % 4 + 1, f"version of a call after {switches} switches")
    expect_equal((switches, calls), (12, 600), "switches and calls in the trace")


# R18


@check("R18", "in PreProcess calls flow, to the old version")
def calls_flow_in_pre_process(c: ConformanceDriver) -> None:
    """To what is to be replaced and what is not, and none is held."""
    extension = Extension(c, 2)
    swap = extension.begin_swap(2, (0,), in_phase(0, Phase(gate=0)))
    c.wait(Condition.at_gate(0))
    for _ in range(3):
        extension.expect_version(1, range(2), "in PreProcess")
    expect_equal(c.counters().held_calls, 0, "calls that are held in PreProcess")
    c.open_gate(0)
    succeeded(swap, "the swap")
    extension.expect_versions({0: 2, 1: 1}, "after the swap")


@check("R18", "PreProcess does not wait for calls that are inside")
def pre_process_does_not_drain(c: ConformanceDriver) -> None:
    """Its callback runs, and returns, beside one."""
    extension = Extension(c)
    c.run(Behave(1, 0, gate_after=0))
    inside = extension.begin_inside(lane=2)
    swap = extension.begin_swap(2, callback=in_phase(0, Phase(gate=1)))
    c.wait(Condition.at_gate(1))
    c.open_gate(1)
    expect_under_way(c, swap, "a call is inside the old version")
    c.open_gate(0)
    reply = succeeded(swap, "the swap")
    expect_equal(reply.phases[0].inside, 1, "calls inside when PreProcess began")
    ran_in(inside.result(), 1, "the call that was inside")


# R19


@check("R19", "ProxyStalled is not called while a call is inside any endpoint, replaced or not", each=(0, 1))
def proxy_stalled_after_the_last(c: ConformanceDriver, id_: int) -> None:
    """Id 0 is replaced, id 1 is not."""
    extension = Extension(c, 2)
    c.run(Behave(1, id_, gate_after=0))
    inside = [extension.begin_inside(id_, lane=lane) for lane in (2, 3)]
    swap = extension.begin_swap(2, (0,), in_phase(1, Phase(gate=1)))
    for _ in inside:
        expect_under_way(c, swap, "calls are inside")
        expect_equal(c.gate(1).waiting, 0, "ProxyStalled callbacks while calls are inside")
        c.pass_gate(0)
    c.wait(Condition.at_gate(1))
    for call in inside:
        ran_in(call.result(), 1, "a call that was inside")
    c.open_gate(1)
    expect_equal(succeeded(swap, "the swap").phases[1].inside, 0, "calls inside when ProxyStalled began")


@check("R19", "in ProxyStalled no call proceeds, to a replaced endpoint or another of the extension")
def no_call_in_proxy_stalled(c: ConformanceDriver) -> None:
    """Four are made meanwhile, from four threads; none has an effect before the callback returns."""
    extension = Extension(c, 4)
    for id_ in range(4):
        extension.wrapper(id_)
    swap = extension.begin_stalled(2, (0, 1), gate=0)
    calls = c.counters().calls
    pending = begin_held(c, extension, range(4))
    expect_under_way(c, swap, "its ProxyStalled callback has not returned")
    expect_equal(c.counters().calls, calls, "calls of endpoints in ProxyStalled")
    expect(not any(call.done for call in pending), "a call returned in ProxyStalled")
    c.open_gate(0)
    succeeded(swap, "the swap")
    for id_, call in enumerate(pending):
        ran_in(call.result(), 2 if id_ < 2 else 1, f"the held call of id {id_}")


@check("R19", "under load, whenever ProxyStalled is called, no call is inside, and none enters before it returns")
def stalled_under_load(c: ConformanceDriver) -> None:
    """Four threads that call without a pause, twelve swaps; the callback takes its time."""
    extension = Extension(c, 3, traced=True)
    told = Steps(c)
    pending = begin_counted(c, extension, (2, 3, 4, 5), range(3))
    for at in range(12):
        reply = extension.swap(at % 4 + 1, (0, 1), in_phase(1, Phase(spin_microseconds=300)))
        expect_equal(reply.phases[1].inside, 0, "calls inside when ProxyStalled began")
    end_repeated(c, pending)
    events = told.events()
    stalled = 0
    for event in events:
        if event.name == "PhaseEnter" and event["Phase"] == 1:
            stalled += 1
        elif event.name in ("CallEnter", "CallExit"):
            expect_equal(stalled % 2, 0, f"{event.name} of version {event['Version']} while ProxyStalled runs")
        elif event.name == "PhaseExit" and event["Phase"] == 1:
            stalled += 1
    expect_equal(stalled, 24, "begins and ends of ProxyStalled in the trace")


# R20


@check("R20", "held calls are delayed, not failed: each runs once, in the new version, with its arguments")
def held_calls_run(c: ConformanceDriver) -> None:
    """Eight, from eight threads."""
    extension = Extension(c, parameters=32)
    c.run(Behave(compute=True, compute_count=32))
    swap = extension.begin_stalled(2, gate=0)
    given = [[lane << 32 | at for at in range(32)] for lane in range(2, 10)]
    extension.wrapper()
    pending = [extension.begin_call(0, arguments, lane=2 + at) for at, arguments in enumerate(given)]
    c.wait(Condition.held(8))
    c.open_gate(0)
    succeeded(swap, "the swap")
    for arguments, call in zip(given, pending, strict=True):
        called = call.result()
        ran_in(called, 2, "a held call")
        expect_equal(list(called.seen), arguments, "arguments of a held call")
        expect_equal(called.wrong, 0, "wrong results")
    expect_equal(c.counters().held_calls, 0, "calls that are still held")


@check("R20", "a call that was inside when the swap began ends in the old version, and returns its result")
def inside_ends_in_the_old(c: ConformanceDriver) -> None:
    """Beside one that is held and runs in the new one."""
    extension = Extension(c, probe=True)
    c.run(Behave(1, 0, gate_after=0, return_value=0x1111))
    c.run(Behave(2, PROBE, return_value=0x2222, quiet=True))
    inside = extension.begin_inside(lane=2)
    swap = extension.begin_swap(2, (0, PROBE))
    late = begin_until_held(c, extension)
    c.open_gate(0)
    succeeded(swap, "the swap")
    early, later = inside.result(), late.result()
    ran_in(early, 1, "the call that was inside")
    expect_equal(later.seen_version, 2, "version of the call that was held")
    expect_equal((early.value, later.value), (0x1111, 0x2222), "results")


# R21


@check("R21", "in PostProcess calls flow, to the new version")
def calls_flow_in_post_process(c: ConformanceDriver) -> None:
    """To what was replaced; the rest is as it was. Calls that were held have run."""
    extension = Extension(c, 2)
    swap = extension.begin_swap(2, (0,), Callback(proxy_stalled=Phase(gate=0), post_process=Phase(gate=1)))
    c.wait(Condition.at_gate(0))
    held = begin_held(c, extension, (0, 1))
    c.open_gate(0)
    c.wait(Condition.at_gate(1))
    ran_in(held[0].result(), 2, "the held call of the replaced id")
    ran_in(held[1].result(), 1, "the held call of the other id")
    for _ in range(3):
        extension.expect_versions({0: 2, 1: 1}, "in PostProcess")
    expect_equal(c.counters().held_calls, 0, "calls that are held in PostProcess")
    c.open_gate(1)
    succeeded(swap, "the swap")
    extension.expect_versions({0: 2, 1: 1}, "after the swap")


# R22


@check("R22", "the callback gets phases 0 to 2 only, at PASSIVE_LEVEL, on the caller's thread, with the given context")
def what_the_callback_gets(c: ConformanceDriver) -> None:
    """NULL is passed as NULL, and no context is looked at."""
    extension = Extension(c)
    for at, context in enumerate((0, 1, 0xFFFF_F800_0000_0001, (1 << 64) - 1)):
        reply = extension.swap(at % 2 + 2, callback=Callback(context=context))
        expect_phases(reply, (0, 1, 2), "the swap")
        for call in reply.phases[:3]:
            seen = (call.irql, call.context, call.thread_id)
            expect_equal(seen, (0, context, reply.thread_id), f"IRQL, context and thread of phase {call.phase}")


# R27


@check("R27", "without a callback: the same swap", on=COMPAT)
def same_without_callback(c: ConformanceDriver) -> None:
    """It drains, holds, switches and releases; the steps are the same."""
    extension = Extension(c, traced=True, probe=True)
    c.run(Behave(1, 0, gate_after=0))
    told = Steps(c)
    inside = extension.begin_inside(lane=2)
    swap = extension.begin_swap(2, (0, PROBE))
    late = begin_until_held(c, extension)
    expect_under_way(c, swap, "a call is inside")
    c.open_gate(0)
    expect_phases(succeeded(swap, "the swap"), (), "the swap without a callback")
    ran_in(inside.result(), 1, "the call that was inside")
    expect_held_call(late, 2)
    expect_equal(told.told(), _SWAP, "steps of the swap")


# R30, as far as phases go


@check("R30", "lookups from the callback itself answer, in each phase", each=(0, 1, 2))
def lookup_in_callback(c: ConformanceDriver, phase: int) -> None:
    """By id; a call from there is another matter (R26)."""
    extension = Extension(c, 2)
    address = extension.address(1)
    look = c.prepare(LookupAll(0, ids=(0, 1, 2)))
    extension.swap(2, range(2), in_phase(phase, Phase(prepared=look.number)))
    found = c.prepared(look)[1]
    expect(found is not None and found.by_id[1].address == address, f"the lookup in the callback gave {found}")


@check("R22", "the callback may take long: the swap waits for it, and the drain limit is not for it", on=COMPAT)
def slow_callback(c: ConformanceDriver) -> None:
    """Three times as long as the limit."""
    extension = Extension(c, drain_timeout_ms=20)
    reply = extension.swap(2, callback=in_phase(1, Phase(spin_microseconds=60_000)))
    expect_phases(reply, (0, 1, 2), "the swap")
    extension.expect_version(2)
