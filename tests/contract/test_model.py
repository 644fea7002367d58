"""The model by itself, and the state machine on a device made of Python, into which defects are put."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from contract.simulated_device import DEFECTS, SimulatedDevice
from hotswap.conformance import model
from hotswap.conformance.campaign import run_campaign
from hotswap.conformance.machine import search
from hotswap.conformance.model import Model, Unmodelled, rest
from hotswap.conformance.model_records import Status, View
from hotswap.conformance.model_world import World
from hotswap.conformance.script import (
    Behave,
    Call,
    Clear,
    CloseGate,
    CreateExtension,
    CreateWorker,
    Entry,
    InitEvent,
    OpenGate,
    Phase,
    Register,
    Script,
    SetOptions,
    Signal,
    Step,
)
from hotswap.conformance.session import Session, replay
from hotswap.errors import UsageError

SCRIPTS = Path(__file__).parent / "scripts"
ROUTINE, ECHO = 0, 2


def after(*steps: Step) -> list[View]:
    """All views that may be seen after the last step."""
    model = Model()
    views: list[View] = []
    for step in steps:
        views = list(model.predict(step))
        model.worlds, model._next = model._next or (), None
    return views


def registered(version: int = 1, **more: object) -> Register:
    entries = (Entry(ROUTINE, version, ROUTINE, 2), Entry(ECHO, version, ECHO, 1))
    return Register(0, 0, entries, **more)  # type: ignore[arg-type]


START = (CreateExtension(0), registered())
INSIDE = (*START, CloseGate(0), Behave(1, ECHO, gate=0), Call(1, 0, ECHO))
"""A call is inside version 1."""


def status_on_lane(view: View, lane: int = 0) -> int:
    state = view["lane", lane]
    assert state[0] == "idle"
    status: int = state[2][0]
    return status


# What the model says


def test_two_sets_of_a_waited_event_may_be_one_iteration_or_two() -> None:  # W26, W29
    views = after(*START, CreateWorker(0, 0, events=(1,)), Signal((1, 1)))
    assert {view["worker", 0][1] for view in views} == {1, 2}
    assert all(not view["event", 1] for view in views)


def test_either_of_two_events_may_be_taken_last(  # W25
) -> None:
    views = after(*START, InitEvent(1, signalled=True), InitEvent(2, signalled=True), CreateWorker(0, 0, events=(1, 2)))
    assert {view["worker", 0][2] for view in views} == {0, 1}
    assert {view["worker", 0][1] for view in views} == {2}


def test_wait_all_takes_nothing_before_it_can_take_all() -> None:  # W31, W32
    worker = CreateWorker(0, 0, wait=0, events=(1, 2))
    (partly,) = after(*START, worker, Signal((1,)))
    assert partly["worker", 0][1] == 0
    assert partly["event", 1]
    (both,) = after(*START, worker, Signal((1,)), Signal((2,)))
    assert both["worker", 0][1:3] == (1, Status.SUCCESS)
    assert not both["event", 1]


def test_a_wake_up_in_a_stall_is_held_and_runs_in_the_new_version() -> None:  # W55, R19
    held = (*INSIDE, CreateWorker(0, 0, events=(1,)), registered(2), Signal((1,)))
    (view,) = after(*held)
    assert view["held calls",] == 1
    assert view["worker", 0][1] == 0
    (view,) = after(*held, OpenGate(0))
    assert view["worker", 0][3] == (0, 1, 0, 0)
    assert view["lane", 1] == ("idle", 1, (1, 1, ECHO))


def test_a_wake_up_just_as_calls_are_stalled_may_run_in_either_version() -> None:  # W53, W55
    waits_before = tuple(Phase(gate=0 if at == 0 else -1) for at in range(3))
    inside = (CloseGate(0), Behave(1, ROUTINE, gate=0), CreateWorker(0, 0, events=(1, 2)), Signal((1,)), Signal((2,)))
    views = after(*START, *inside, registered(2, callback=waits_before), OpenGate(0))
    assert {view["worker", 0][3] for view in views} == {(2, 0, 0, 0), (1, 1, 0, 0)}


def test_an_event_that_is_set_and_cleared_at_once_may_have_woken_who_waits_for_it() -> None:
    """As the first soak of 100,000 steps found, in which the model knew only one outcome."""
    workers = (CreateWorker(0, 0, ROUTINE, events=(1,)), CreateWorker(1, 0, 1, events=(2,)))
    other = Register(0, 0, (Entry(1, 1, 1, 2),))
    views = after(*START, other, Behave(1, ROUTINE, sets=2, clears=2), *workers, Signal((1,)))
    assert {(view["worker", 1][1], view["event", 2]) for view in views} == {(0, False), (1, False)}


def test_a_drain_that_runs_out_changes_nothing() -> None:  # R12, R10
    (view,) = after(*INSIDE, SetOptions(0, short_drain=True), registered(2))
    assert status_on_lane(view) == Status.UNSUCCESSFUL
    assert view["wrapper of function", 0, (1, ECHO)] == {(0, ECHO)}


@pytest.mark.parametrize("phase", range(3))
def test_a_refused_phase_leaves_the_old_version_and_ends_the_phases(phase: int) -> None:  # R23, R24, R25
    phases = tuple(Phase(0xC0000022 if at == phase else 0) for at in range(3))
    (view,) = after(*START, registered(2, callback=phases))
    assert view["lane", 0][2] == (0xC0000022, tuple((at, phases[at].status) for at in range(phase + 1)))
    assert view["wrapper of function", 0, (1, ECHO)] == {(0, ECHO)}


def test_a_bad_element_leaves_the_good_one_unchanged() -> None:  # R9, R10
    (view,) = after(*START, Register(0, 0, (Entry(ROUTINE, 2, ROUTINE, 2), Entry(ECHO, 2, ECHO, 9))))
    assert status_on_lane(view) == Status.INVALID_PARAMETER_3
    assert view["wrapper of function", 0, (1, ROUTINE)] == {(0, ROUTINE)}


def test_a_nested_call_goes_on_in_a_stall() -> None:  # R29
    nested = Register(0, 0, (Entry(3, 1, 3, 1),))
    steps = (*START, nested, Behave(1, ECHO, gate=0, nested=(0, 3)), CloseGate(0), Call(1, 0, ECHO), registered(2))
    (view,) = after(*steps)
    assert view["lane", 0][0] == "busy"
    (view,) = after(*steps, OpenGate(0))
    assert view["calls of", (1, 3)] == 1
    assert status_on_lane(view) == Status.SUCCESS


def test_a_boolean_is_one_byte() -> None:  # W22
    behave = Behave(1, ROUTINE, value=0x100)
    (view,) = after(*START, behave, CreateWorker(0, 0, events=(1,)), Signal((1,)))
    assert view["worker", 0][0] == "ended"


def test_a_worker_that_would_never_rest_is_not_modelled() -> None:  # W27, W38
    with pytest.raises(Unmodelled, match="never rests"):
        after(*START, CreateWorker(0, 0, events=(1,), timeout="zero"))
    with pytest.raises(Unmodelled, match="never rests"):
        after(*START, InitEvent(1, notification=True, signalled=True), CreateWorker(0, 0, events=(1,)))


def test_a_failing_allocation_must_fail_the_call() -> None:  # W5
    views = after(*START, CreateWorker(0, 0, events=(1,), fail=1))
    results = {view["result",] for view in views}
    assert results == {(0, "reached no failing allocation"), (0xC000009A, "an allocation failed")}
    assert {view["threads",] for view in views if len(view["result",]) == 2 and view["result",][0]} == {0}


# What the machine finds


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_has_a_short_script_that_shows_it(defect: str) -> None:
    """The scripts were found and shrunk by the machine, on the device with that defect."""
    script = Script.load(SCRIPTS / f"{defect.replace(' ', '-')}.json")
    assert len(script.steps) < 10
    shown = [replay(SimulatedDevice(seed, defect), script) for seed in range(8)]
    assert any(shown)
    assert not any(replay(SimulatedDevice(seed), script) for seed in range(8))


@pytest.mark.parametrize(
    ("defect", "steps"),
    [
        ("a switch forgets the last endpoint", 2),
        ("two extensions for one owner", 2),
        ("another parameter count is accepted", 3),
    ],
)
def test_a_defect_is_found_and_shrunk_to_the_shortest_script(defect: str, steps: int, tmp_path: Path) -> None:
    found = search(Session(SimulatedDevice(0, defect)), seed=1, scripts=120, shrink_seconds=2)
    assert found is not None
    assert len(found.disagreement.script.steps) == steps
    kept = Script.load(found.save(tmp_path))
    assert kept == found.disagreement.script
    assert replay(SimulatedDevice(0, defect), kept) is not None


def test_a_failure_is_kept_with_the_command_that_repeats_it(tmp_path: Path) -> None:
    device = SimulatedDevice(0, "two extensions for one owner")
    campaign = run_campaign(device, first_seed=1, enough=lambda _steps, _seconds: False, shrink_seconds=2)
    said = campaign.failure(tmp_path)
    assert said is not None
    path = Path(said.rpartition("hotswap conformance --replay ")[2])
    assert path.parent == tmp_path
    again = replay(device, Script.load(path))
    assert again is not None
    assert said.startswith(str(again))


def test_a_good_device_agrees_and_everything_of_note_is_reached() -> None:
    session = Session(SimulatedDevice(7))
    for seed in range(4):
        assert search(session, seed=seed, scripts=50) is None
    assert session.coverage.missing() == []


def test_orders_that_are_left_out_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def both(worlds: Sequence[World], before: Sequence[World]) -> tuple[World, ...]:
        nonlocal compared
        few = rest([world.copy() for world in worlds], before)
        try:
            every = rest([world.copy() for world in worlds], before, every_order=True)
        except Unmodelled:
            return few
        compared += 1
        assert {world.key() for world in few} == {world.key() for world in every}
        return few

    monkeypatch.setattr(model, "rest", both)
    assert search(Session(SimulatedDevice(3)), seed=3, scripts=25) is None
    assert compared > 500


def test_the_same_seed_makes_the_same_steps() -> None:
    counted = []
    for _ in range(2):
        session = Session(SimulatedDevice(0))
        assert search(session, seed=5, scripts=10) is None
        counted.append(session.coverage.to_json())
    assert counted[0] == counted[1]


# Files


def test_a_script_survives_its_file(tmp_path: Path) -> None:
    script = Script.of([*INSIDE, Clear(3), registered(2)], seed=4, problem='step 5 (clear): "quoted"')
    assert Script.load(script.save(tmp_path / "folder" / "script.json")) == script


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2, "steps": []}', '{"schema": 1, "steps": [{"step": "jump"}]}'])
def test_what_is_no_script_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"script\.json"):
        Script.load(path)
