"""Checks of what the callback must not do, and what then happens (R26)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotswap.conformance.check import check, expect
from hotswap.conformance.objects import Condition, Phase
from hotswap.conformance.requests import Behave, Call, Register
from hotswap.conformance.swap_calls import begin_held, succeeded
from hotswap.conformance.swap_rig import (
    COMPAT,
    POSSIBLE_DEADLOCK,
    SUCCESS,
    Extension,
    expect_status,
    in_phase,
    ran_in,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver


@check(
    "R26",
    "a registration from the callback does not hang: STATUS_POSSIBLE_DEADLOCK (our choice)",
    on=COMPAT,
    each=(0, 1, 2),
)
def register_from_callback(c: ConformanceDriver, phase: int) -> None:
    """And the swap that it is part of goes on."""
    extension = Extension(c, 2)
    again = c.prepare(extension.request(3, range(2)))
    extension.swap(2, range(2), in_phase(phase, Phase(prepared=again.number)))
    refused = c.prepared(again)[1]
    expect(refused is not None, "the registration from the callback was not made")
    if refused is not None:
        expect_status(refused.status, POSSIBLE_DEADLOCK, "a registration from the callback")
    extension.expect_version(2, range(2))


@check("R26", "a wrapper called from the callback does not hang the swap (our choice)", on=COMPAT, each=(0, 1, 2))
def call_from_callback(c: ConformanceDriver, phase: int) -> None:
    """It runs in the version in force."""
    extension = Extension(c, 2)
    call = c.prepare(Call(extension.wrapper()))
    extension.swap(2, range(2), in_phase(phase, Phase(prepared=call.number)))
    called = c.prepared(call)[1]
    expect(called is not None, "the call from the callback was not made")
    if called is not None:
        ran_in(called, 2 if phase == 2 else 1, "the call from the callback")
    extension.expect_version(2, range(2))


@check("R26", "the callback may register in another extension", on=COMPAT, each=(0, 1, 2))
def register_elsewhere(c: ConformanceDriver, phase: int) -> None:
    """It may not only in its own."""
    extension, other = Extension(c), Extension(c, number=1)
    there = c.prepare(Register(1, other.endpoints(4)))
    extension.swap(2, callback=in_phase(phase, Phase(prepared=there.number)))
    done = c.prepared(there)[1]
    expect(done is not None and done.status == SUCCESS, f"the registration in the other extension: {done}")
    extension.expect_version(2)
    other.expect_version(4)


@check("R26", "while the callback calls a wrapper, the calls of others are held as ever", on=COMPAT)
def others_stay_held(c: ConformanceDriver) -> None:
    """What is granted to the swapping thread is granted to nobody else."""
    extension = Extension(c)
    c.run(Behave(1, 0, gate_after=0))
    call = c.prepare(Call(extension.wrapper()))
    swap = extension.begin_swap(2, callback=in_phase(1, Phase(prepared=call.number)))
    c.wait(Condition.at_gate(0))
    (late,) = begin_held(c, extension, (0,), lane=3)
    c.open_gate(0)
    succeeded(swap, "the swap")
    ran_in(late.result(), 2, "the call that was held")
