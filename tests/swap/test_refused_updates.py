"""An update that is refused is a pass when all is as it was, and a failure when anything is not (R9, R10, R23-R25)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from hotswap.swap.check_swap import refusals
from hotswap.swap.swap_trace import SwapTrace
from hotswap.swap.swaps import Outcome
from hotswap.trace.expect import Verdict, combine
from support.swap_trace import CONTROL, Event, Run, Simulation

REFUSED = (Outcome.ENDPOINTS, Outcome.PRE_PROCESS, Outcome.PROXY_STALLED, Outcome.POST_PROCESS)


def refused_run(outcome: Outcome, seed: int = 3) -> Run:
    """v1, a refused update to v2 as swap 2, a good one to v2 as swap 3, and back."""
    simulation = Simulation(seed)
    simulation.start()
    simulation.load(40)
    simulation.refused_swap(2, outcome)
    for version in (2, 1):
        simulation.load(40)
        simulation.swap(version)
    simulation.load(40)
    simulation.stop()
    return simulation.finish((1, 2, 1))


def failed(run: Run) -> dict[str, str]:
    return {item.id: item.message for item in run.evaluate().values() if item.verdict is Verdict.FAIL}


@pytest.mark.parametrize("outcome", REFUSED, ids=lambda outcome: outcome.name)
def test_an_update_refused_in_any_phase_passes_and_says_why(outcome: Outcome) -> None:
    run = refused_run(outcome)
    results = run.evaluate()
    assert {item.id: item.message for item in results.values() if item.verdict is not Verdict.PASS} == {}
    assert combine(results.values()) is Verdict.PASS
    status = "STATUS_INVALID_PARAMETER_3" if outcome is Outcome.ENDPOINTS else "STATUS_DEVICE_NOT_READY"
    sentence = f"swap 2 (1->2) was refused and version 1 stayed in force: {outcome} ({status})"
    assert refusals(SwapTrace(run.etl(), run.witnesses)) == [sentence]


def test_a_drain_that_timed_out_is_a_failure_though_it_was_rolled_back() -> None:
    run = refused_run(Outcome.NOT_DRAINED)
    assert set(failed(run)) == {"drained-in-time"}
    assert refusals(SwapTrace(run.etl(), run.witnesses)) == []


def test_a_good_run_has_no_refusals() -> None:
    run = refused_run(Outcome.PRE_PROCESS)
    run.events = [event for event in run.events if event.fields.get("Swap") != 2]
    assert refusals(SwapTrace(run.etl(), run.witnesses)) == []


Mutation = Callable[[Run], None]


def _copy(run: Run, name: str, after: str) -> None:
    event = run.first(after, Swap=2)
    run.events.append(Event(event.tick, 0, CONTROL, name, {**run.first("SwapBegin", Swap=2).fields, "Status": 0}))


def no_rollback(run: Run) -> None:
    run.remove(run.first("SwapRolledBack", Swap=2))


def no_release(run: Run) -> None:
    run.remove(run.find("SwapReleased", Swap=2)[-1])


def no_second_drain(run: Run) -> None:
    run.remove(run.find("SwapDrained", Swap=2)[-1])


def goes_on_after_the_refusal(run: Run) -> None:
    _copy(run, "SwapStalled", "SwapPreProcess")


def switches_after_the_refusal(run: Run) -> None:
    _copy(run, "SwapSwitched", "SwapProxyStalled")


def next_phase_called_after_the_refusal(run: Run) -> None:
    _copy(run, "SwapPostProcess", "SwapProxyStalled")


def says_success(run: Run) -> None:
    run.first("SwapEnd", Swap=2).fields["Status"] = 0


PHASES = [
    (Outcome.POST_PROCESS, no_rollback, "has no RolledBack; PostProcess answered STATUS_DEVICE_NOT_READY"),
    (Outcome.POST_PROCESS, no_release, "has Released 1 of 2 times"),
    (Outcome.POST_PROCESS, no_second_drain, "has Drained 1 of 2 times"),
    (Outcome.PROXY_STALLED, no_rollback, "has no RolledBack; ProxyStalled answered STATUS_DEVICE_NOT_READY"),
    (Outcome.PROXY_STALLED, no_release, "has no Released"),
    (Outcome.PROXY_STALLED, switches_after_the_refusal, "has Switched; ProxyStalled answered"),
    (Outcome.PROXY_STALLED, next_phase_called_after_the_refusal, "has PostProcess; ProxyStalled answered"),
    (Outcome.PRE_PROCESS, goes_on_after_the_refusal, "has Stalled; PreProcess answered STATUS_DEVICE_NOT_READY"),
    (Outcome.PRE_PROCESS, says_success, "ended with STATUS_SUCCESS though its PreProcess callback refused"),
]


@pytest.mark.parametrize(("outcome", "mutation", "text"), PHASES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_refusal_with_the_wrong_phases_is_a_failure(outcome: Outcome, mutation: Mutation, text: str) -> None:
    run = refused_run(outcome)
    mutation(run)
    assert text in failed(run)["swap-phases-in-order"]


def test_a_refused_image_that_stays_loaded_is_a_failure() -> None:
    run = refused_run(Outcome.PRE_PROCESS)
    run.remove(run.find("EndpointUnloaded", Version=2)[0], run.find("EndpointVerified", Version=2)[0])
    snapshots = list(run.witnesses.snapshots or ())
    snapshots[1] = dataclasses.replace(snapshots[1], maps=(snapshots[1].maps or frozenset()) | {"/x/hotswap_v2.sys"})
    run.witness(snapshots=tuple(snapshots))
    assert failed(run)["endpoint-unloaded"] == "version 2, refused, was not unloaded by swap 2"
    assert "after swap 1: hotswap_v2.sys is still in /proc/PID/maps" in failed(run)["old-image-gone"]


def test_an_iteration_of_the_new_version_after_its_rollback_is_a_failure() -> None:
    run = refused_run(Outcome.POST_PROCESS)
    back = run.first("SwapRolledBack", Swap=2).tick
    begin = next(event for event in run.find("IterationBegin") if event.tick > back + 200)
    for event in run.iteration(begin):
        event.fields["Version"] = 2
    message = failed(run)["no-old-version-after-switch"]
    assert "in version 2 while version 1 was in force" in message


def test_a_new_version_that_could_not_be_loaded_is_a_failure() -> None:
    run = refused_run(Outcome.ENDPOINTS)
    run.remove(run.first("SwapBegin", Swap=2), run.find("EndpointUnloaded", Version=2)[0])
    run.remove(run.find("EndpointVerified", Version=2)[0])
    message = failed(run)["updates-succeed-or-roll-back"]
    assert message.startswith("an update from version 1 failed before the swap began: STATUS_INVALID_PARAMETER_3")


def test_a_failed_update_that_took_the_old_version_off_is_a_failure() -> None:
    run = refused_run(Outcome.PRE_PROCESS)
    updates = list(run.witnesses.updates or ())
    updates[1] = dataclasses.replace(updates[1], to_version=0)
    run.witness(updates=tuple(updates))
    assert "left version 0 in force" in failed(run)["updates-succeed-or-roll-back"]


def test_a_refused_image_that_could_not_be_unloaded_is_a_failure() -> None:
    run = refused_run(Outcome.PRE_PROCESS)
    updates = list(run.witnesses.updates or ())
    updates[1] = dataclasses.replace(updates[1], unload_status=0xC0000001)
    run.witness(updates=tuple(updates))
    assert "unloading the refused image failed" in failed(run)["updates-succeed-or-roll-back"]
