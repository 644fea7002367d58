"""Checks of swaps that a phase refuses (R20, R23-R25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.objects import Condition, Phase
from hotswap.conformance.requests import Behave
from hotswap.conformance.swap_calls import begin_held, begin_repeated, begin_until_held, end_repeated, expect_held_call
from hotswap.conformance.swap_rig import (
    COMPAT,
    PHASES,
    PROBE,
    UNSUCCESSFUL,
    Extension,
    Steps,
    expect_held,
    expect_phases,
    expect_refused,
    expect_status,
    expect_under_way,
    held,
    in_phase,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver

STATUSES = {
    "unsuccessful": 0xC0000001,
    "no-memory": 0xC000009A,
    "callers-own": 0xE0001234,
    "minus-one": 0xFFFFFFFF,
    "warning": 0x80000005,
    "informational": 0x40000000,
    "pending": 0x00000103,
    "alerted": 0x00000101,
    "timeout": 0x00000102,
    "wait-1": 0x00000001,
}
"""Whatever is not STATUS_SUCCESS refuses: failures, warnings, and what NT_SUCCESS would take for a success."""


def refused_status(status: int) -> int:
    """What the compat runtime makes of a callback's status (our choice): itself, or what says failure."""
    return status if status >= 0x80000000 else UNSUCCESSFUL


def refuse(c: ConformanceDriver, phase: int, status: int) -> None:
    """Refuse a swap that replaces two ids and adds one; it fails, changes nothing, and a good one follows."""
    extension = Extension(c, 3)
    before = held(c)
    reply = extension.try_swap(2, (0, 1, 3), in_phase(phase, Phase(status)))
    expect_refused(reply.status, f"a swap that {PHASES[phase]} refuses with 0x{status:08X}")
    expect_phases(reply, range(phase + 1), "the refused swap")
    extension.expect_version(1, range(3), "after the refusal")
    extension.expect_unknown((3,), "its registration was refused")
    expect_held(c, before, "after the refusal")
    extension.swap(2, (0, 1, 3))
    extension.expect_versions({0: 2, 1: 2, 2: 1, 3: 2}, "after a good swap that followed")


# R23 to R25, all statuses


@check("R23", "whatever PreProcess returns but STATUS_SUCCESS refuses the swap", each=tuple(STATUSES))
def refused_in_pre_process(c: ConformanceDriver, name: str) -> None:
    """No later phase, nothing changed."""
    refuse(c, 0, STATUSES[name])


@check("R24", "whatever ProxyStalled returns but STATUS_SUCCESS refuses the swap", each=tuple(STATUSES))
def refused_in_proxy_stalled(c: ConformanceDriver, name: str) -> None:
    """No PostProcess, nothing changed."""
    refuse(c, 1, STATUSES[name])


@check("R25", "whatever PostProcess returns but STATUS_SUCCESS rolls the swap back", each=tuple(STATUSES))
def refused_in_post_process(c: ConformanceDriver, name: str) -> None:
    """All phases were called, once; the old functions are in force again."""
    refuse(c, 2, STATUSES[name])


@check("R23", "the callback's status is the call's; a success code is STATUS_UNSUCCESSFUL (our choice)", on=COMPAT)
@check("R24", "the callback's status is the call's; a success code is STATUS_UNSUCCESSFUL (our choice)", on=COMPAT)
@check("R25", "the callback's status is the call's; a success code is STATUS_UNSUCCESSFUL (our choice)", on=COMPAT)
def status_of_a_refusal(c: ConformanceDriver) -> None:
    """In each phase, each kind of status."""
    extension = Extension(c)
    for phase, name in enumerate(PHASES):
        for status in STATUSES.values():
            reply = extension.try_swap(2, callback=in_phase(phase, Phase(status)))
            expect_status(reply.status, refused_status(status), f"a swap that {name} refused with 0x{status:08X}")
    extension.expect_version(1, why="after all refusals")


# R23


@check("R23", "a refusal in PreProcess stalls nothing: it does not wait for a call that is inside")
def pre_process_stalls_nothing(c: ConformanceDriver) -> None:
    """That call goes on in the old version."""
    extension = Extension(c)
    c.run(Behave(1, 0, gate_after=0))
    inside = extension.begin_inside(lane=2)
    expect_refused(extension.try_swap(2, callback=in_phase(0, Phase(UNSUCCESSFUL))).status, "the refused swap")
    expect(not inside.done, "the call inside ended before its gate opened")
    c.open_gate(0)
    ran_in(inside.result(), 1, "the call that was inside")
    extension.expect_version(1, why="after the refusal")


@check("R23", "a refusal in PreProcess makes no step of a swap", on=COMPAT)
def pre_process_makes_no_step(c: ConformanceDriver) -> None:
    """Not even a rollback, for there is nothing to roll back."""
    extension = Extension(c, traced=True)
    told = Steps(c)
    extension.try_swap(2, callback=in_phase(0, Phase(UNSUCCESSFUL)))
    expect_equal(told.told(), ["PreProcess"], "steps of the refused swap")


# R24


@check("R24", "after a refusal in ProxyStalled held calls go on, in the old version")
@check("R20", "calls that were held while ProxyStalled refused run in the old version")
def held_calls_after_refusal(c: ConformanceDriver) -> None:
    """Four, each once."""
    extension = Extension(c, 2)
    for id_ in range(2):
        extension.wrapper(id_)
    swap = extension.begin_stalled(2, range(2), gate=0, status=UNSUCCESSFUL)
    pending = begin_held(c, extension, (0, 1, 0, 1))
    c.open_gate(0)
    expect_refused(swap.result().status, "the refused swap")
    for call in pending:
        ran_in(call.result(), 1, "a held call")
    extension.expect_version(1, range(2), "after the refusal")


@check("R24", "a refusal in ProxyStalled switches nothing, and the stall is released once", on=COMPAT)
def steps_of_proxy_stalled(c: ConformanceDriver) -> None:
    """No pointer was the new one for a moment."""
    extension = Extension(c, traced=True)
    told = Steps(c)
    extension.try_swap(2, callback=in_phase(1, Phase(UNSUCCESSFUL)))
    wanted = ["PreProcess", "Stalled", "Drained", "ProxyStalled", "RolledBack", "Released"]
    expect_equal(told.told(), wanted, "steps of the refused swap")


# R25


@check("R25", "the rollback waits for calls that are inside the new version; held ones run in the old", on=COMPAT)
@check("R20", "calls that were held by the second drain of a rollback run in the old version", on=COMPAT)
def rollback_drains(c: ConformanceDriver) -> None:
    """Calls flowed to the new version before PostProcess refused."""
    extension = Extension(c, probe=True)
    c.run(Behave(2, 0, gate_after=0))
    swap = extension.begin_swap(2, (0, PROBE), in_phase(2, Phase(UNSUCCESSFUL, gate=1)))
    c.wait(Condition.at_gate(1))
    inside = extension.begin_inside(version=2, lane=2)
    c.open_gate(1)
    late = begin_until_held(c, extension)
    expect_under_way(c, swap, "a call is inside the new version")
    c.open_gate(0)
    reply = swap.result()
    expect_status(reply.status, UNSUCCESSFUL, "the swap that PostProcess refused")
    expect_phases(reply, (0, 1, 2), "the swap that was rolled back")
    ran_in(inside.result(), 2, "the call that reached the new version")
    expect_held_call(late, 1)
    extension.expect_version(1, why="after the rollback")


@check("R25", "the rollback is a second stall and drain, and no phase is called again (our choice)", on=COMPAT)
def steps_of_rollback(c: ConformanceDriver) -> None:
    """Then the pointers change back, and calls are released."""
    extension = Extension(c, traced=True)
    told = Steps(c)
    reply = extension.try_swap(2, callback=in_phase(2, Phase(UNSUCCESSFUL)))
    expect_phases(reply, (0, 1, 2), "the swap that was rolled back")
    forward = ["PreProcess", "Stalled", "Drained", "ProxyStalled", "Switched", "Released", "PostProcess"]
    expect_equal(told.told(), [*forward, "Stalled", "Drained", "RolledBack", "Released"], "steps of the rollback")


@check("R25", "KeepAfterPostProcess: the refusal is reported, and the new version stays", on=COMPAT)
def kept_after_post_process(c: ConformanceDriver) -> None:
    """The other reading: new ids are found then, too. No second stall."""
    extension = Extension(c, 1, keep_after_post_process=True)
    for name, status in STATUSES.items():
        extension.swap(1, (0, 1))
        told = Steps(c)
        reply = extension.try_swap(2, (0, 1), in_phase(2, Phase(status)))
        expect_status(reply.status, refused_status(status), f"the swap that PostProcess refused with {name}")
        expect_equal(told.told().count("Stalled"), 1, "stalls")
        extension.expect_version(2, (0, 1), "though PostProcess refused")


@check("R25", "KeepAfterPostProcess: the earlier phases refuse as ever", on=COMPAT, each=(0, 1))
def kept_only_after_post_process(c: ConformanceDriver, phase: int) -> None:
    """The switch is for PostProcess alone."""
    extension = Extension(c, 1, keep_after_post_process=True)
    reply = extension.try_swap(2, (0, 1), in_phase(phase, Phase(UNSUCCESSFUL)))
    expect_status(reply.status, UNSUCCESSFUL, "the refused swap")
    extension.expect_version(1, why="after the refusal")
    extension.expect_unknown((1,), "its registration was refused")


@check("R25", "a rollback that cannot drain: STATUS_UNSUCCESSFUL, and the new version stays (our choice)", on=COMPAT)
def rollback_cannot_drain(c: ConformanceDriver) -> None:
    """Nobody may take the code from under a call. All is well again when it has left."""
    extension = Extension(c, drain_timeout_ms=50)
    c.run(Behave(2, 0, gate_after=0))
    swap = extension.begin_swap(2, callback=in_phase(2, Phase(STATUSES["no-memory"], gate=1)))
    c.wait(Condition.at_gate(1))
    inside = extension.begin_inside(version=2, lane=2)
    told = Steps(c)
    c.open_gate(1)
    expect_status(swap.result().status, UNSUCCESSFUL, "the swap whose rollback cannot drain")
    expect("RolledBack" not in told.told(), "a rollback was told of")
    c.open_gate(0)
    ran_in(inside.result(), 2, "the call that was inside")
    extension.expect_version(2, why="after the rollback that could not be")
    extension.swap(3)
    extension.expect_version(3)


@check("R25", "under load a swap that is rolled back loses no call", on=COMPAT, each=(0, 1, 2))
def refused_under_load(c: ConformanceDriver, phase: int) -> None:
    """Five threads, twenty refusals, and every result fits version and arguments."""
    extension = Extension(c, 2)
    c.run(Behave(compute=True, compute_count=2, quiet=True))
    pending = begin_repeated(c, extension, range(2, 7), range(2))
    for at in range(20):
        reply = extension.try_swap(at % 3 + 2, range(2), in_phase(phase, Phase(UNSUCCESSFUL)))
        expect_status(reply.status, UNSUCCESSFUL, "the refused swap")
    for called in end_repeated(c, pending):
        expect_equal(called.wrong, 0, "wrong results")
        expect_equal(sum(called.version_calls), called.calls, "calls that reached an endpoint")
        if phase < 2:
            expect_equal(called.version_calls[1], called.calls, "calls of the old version")
    extension.expect_version(1, range(2), "after the refusals")
