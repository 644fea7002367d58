"""Checks of an extension that goes, or whose switches change, while threads call without a pause (R3, R4, R12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hotswap.conformance.check import check, expect, expect_equal
from hotswap.conformance.checks_owner import expect_leads_nowhere, owned
from hotswap.conformance.objects import Condition, Endpoint, Function, Phase
from hotswap.conformance.replies import Called
from hotswap.conformance.requests import Behave, CreateExtension, DeleteExtension, LookupAll, Register, UnloadHelper
from hotswap.conformance.swap_calls import begin_repeated, end_repeated, nest
from hotswap.conformance.swap_rig import (
    COMPAT,
    DEVICE_BUSY,
    SUCCESS,
    UNSUCCESSFUL,
    Extension,
    expect_held,
    expect_status,
    held,
    in_phase,
)

if TYPE_CHECKING:
    from hotswap.conformance.driver import ConformanceDriver, Pending

_IDS = range(4)
_TRIES = 200


def expect_no_wrong_result(calls: Sequence[Called]) -> None:
    """CheckFailed when a result fits neither its version and arguments nor a wrapper that leads nowhere."""
    for called in calls:
        expect_equal(called.wrong, 0, "results that do not fit version and arguments")


@check("R4", "an owner unloads under load: calls go on and lead nowhere, and nothing is held", on=COMPAT)
def unload_under_load(c: ConformanceDriver) -> None:
    """Eight threads that call, and one that swaps, three times over."""
    before = held(c)
    for _ in range(3):
        extension = owned(c, len(_IDS))
        c.run(Behave(compute=True, compute_count=2, quiet=True))
        wrappers = [extension.wrapper(id_) for id_ in _IDS]
        calls = begin_repeated(c, extension, range(2, 10), _IDS)
        swap = extension.begin_swap(2, _IDS, in_phase(0, Phase(gate=0)), lane=11)
        c.wait(Condition.at_gate(0))
        unload = c.begin(UnloadHelper(0), lane=12)
        c.open_gate(0)
        expect_status(swap.result().status, SUCCESS, "the swap that was under way")
        expect_status(unload.result().status, SUCCESS, "unloading the owner")
        for wrapper in wrappers:
            expect_leads_nowhere(c, wrapper, "after its owner was unloaded")
        expect_no_wrong_result(end_repeated(c, calls))
        expect_held(c, before, "after the owner's unload")
        c.close_gate(0)


@check("R4", "under load an extension is deleted when nobody is inside, and then leads nowhere", on=COMPAT)
def delete_under_load(c: ConformanceDriver) -> None:
    """Six threads that call; STATUS_DEVICE_BUSY as long as one is inside or held."""
    extension = Extension(c, len(_IDS))
    c.run(Behave(compute=True, compute_count=2, quiet=True))
    wrappers = [extension.wrapper(id_) for id_ in _IDS]
    calls = begin_repeated(c, extension, range(2, 8), _IDS)
    status = DEVICE_BUSY
    for _ in range(_TRIES):
        status = extension.delete()
        if status == SUCCESS:
            break
        expect_status(status, DEVICE_BUSY, "deleting an extension that is called")
    expect_no_wrong_result(end_repeated(c, calls))
    if status != SUCCESS:
        expect_status(extension.delete(), SUCCESS, "deleting an extension that is called no more")
    for wrapper in wrappers:
        expect_leads_nowhere(c, wrapper, "after its extension was deleted")


@check("R12", "switches, drain limits and refusals in any order lose no call", on=COMPAT)
def switches_under_load(c: ConformanceDriver) -> None:
    """Eight threads, half of whose calls nest; twenty-four swaps, with limits of 1 to 5 ms, traced or not."""
    extension = Extension(c, len(_IDS))
    for outer in (0, 1):
        nest(c, extension, outer, outer + 2)
        c.run(Behave(0, outer + 2, compute=True, compute_count=2, quiet=True))
    calls = begin_repeated(c, extension, range(2, 10), _IDS)
    for at in range(24):
        extension.set_options(
            drain_timeout_ms=(1, 2, 5, 0)[at % 4],
            verbose=at % 3 == 1,
            no_notify=at % 5 == 2,
            keep_after_post_process=at % 7 == 3,
        )
        refusal = in_phase(at % 3, Phase(UNSUCCESSFUL if at % 4 == 3 else SUCCESS))
        status = extension.try_swap(at % 4 + 1, _IDS, refusal).status
        expect(status in (SUCCESS, UNSUCCESSFUL), f"a swap under load returned {status!r}")
    for called in (done := end_repeated(c, calls)):
        expect_equal(sum(called.version_calls[1:]), called.calls, "calls that reached an endpoint")
    expect_no_wrong_result(done)
    expect_equal((c.counters().active_calls, c.counters().held_calls), (0, 0), "active and held calls in the end")
    c.run(Behave())
    extension.set_options()
    extension.swap(3, _IDS)
    extension.expect_version(3, _IDS)


@check("R3", "extensions come and go at once on many threads, and nothing stays", on=COMPAT)
def come_and_go(c: ConformanceDriver) -> None:
    """Eleven threads: made, registered, looked up, replaced and deleted, three times each."""
    before = held(c)
    pending: list[Pending[Any]] = []
    for lane in range(1, 12):
        arrays = [[Endpoint(id_, Function.echo(version, id_)) for id_ in range(16)] for version in (lane % 4 + 1, 1)]
        for _ in range(3):
            pending += [
                c.begin(CreateExtension(lane), lane=lane),
                c.begin(Register(lane, arrays[0]), lane=lane),
                c.begin(LookupAll(lane, ids=range(16), functions=[Function.echo(1, 0)]), lane=lane),
                c.begin(Register(lane, arrays[1]), lane=lane),
                c.begin(DeleteExtension(lane), lane=lane),
            ]
    for one in pending:
        expect_status(one.result().status, SUCCESS, "one of many")
    expect_held(c, before, "after all of them had gone")
