"""The exploration, on models: each order once, the same for the same seed, and each defect found."""

from __future__ import annotations

from itertools import pairwise

import pytest
from faulty import FAULTY

from hotswap.schedule.explore import Schedule, explore, independent, replay, sample
from hotswap.schedule.judge import judge
from hotswap.schedule.model import SCENARIOS, Model, Scenario

COUNTS = {"swap": 5776, "signals": 1678, "stall-refused": 136, "post-process-refused": 1191}


def _found(make: type[Model], scenario: Scenario) -> tuple[Schedule, list[str]] | None:
    """The first schedule in which something does not hold, as explored on the defect itself."""
    for schedule in explore(scenario, make):
        model = replay(scenario, schedule, make)
        problems = judge(scenario, model.log)
        if model.stuck:
            problems.append(f"waiting for ever: {model.stuck}")
        if problems:
            return schedule, problems
    return None


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_model_without_a_defect_keeps_everything_in_every_order(name: str) -> None:
    scenario = SCENARIOS[name]
    schedules = list(explore(scenario))
    assert len(schedules) == len(set(schedules)) == COUNTS[name]
    for schedule in sample(schedules, 400, seed=1):
        model = replay(scenario, schedule)
        assert not model.stuck, schedule
        assert judge(scenario, model.log) == [], schedule


@pytest.mark.parametrize("make", FAULTY, ids=lambda make: make.__name__)
def test_each_defect_is_found_for_what_it_is(make: type[Model]) -> None:
    scenario, said = FAULTY[make]
    found = _found(make, SCENARIOS[scenario])
    assert found is not None, make.__doc__
    assert any(said in problem for problem in found[1]), found


def test_no_order_is_explored_twice_and_none_is_missed() -> None:
    """Against the plain search without pruning, on a scenario that is small enough for it."""
    scenario = Scenario("small", (1, 1))
    pruned = {_class_of(schedule) for schedule in explore(scenario)}
    assert len(pruned) == COUNTS["swap"], "two schedules of one class"
    for schedule in _walk(scenario, 300):
        assert _class_of(schedule) in pruned, schedule


def _class_of(schedule: Schedule) -> tuple[tuple[str, ...], ...]:
    """Equal for schedules that differ in the order of independent steps only: the steps of each dependent pair."""
    names = sorted(set(schedule))
    return tuple(
        tuple(step for step in schedule if step in pair)
        for pair in ((one, other) for at, one in enumerate(names) for other in names[at:])
        if not independent(*pair) or pair[0] == pair[1]
    )


def _walk(scenario: Scenario, count: int) -> list[Schedule]:
    """Random walks."""
    import random

    walks = []
    for seed in range(count):
        generator = random.Random(seed)
        model, steps = Model(scenario), []
        while enabled := sorted(model.paused):
            steps.append(generator.choice(enabled))
            model.step(steps[-1])
        walks.append(tuple(steps))
    return walks


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    schedules = list(explore(SCENARIOS["post-process-refused"]))
    assert sample(schedules, 50, 7) == sample(schedules, 50, 7)
    assert sample(schedules, 50, 7) != sample(schedules, 50, 8)
    assert len(set(sample(schedules, 50, 7))) == 50
    assert sample(schedules, 5000, 7) == schedules


def test_what_is_said_is_what_is_stepped_to() -> None:
    """A step ends at a point, or where the thread waits or ends, and so do those whom it wakes."""
    model = Model(SCENARIOS["swap"])
    assert model.paused == {"S": "SwapStalled", "G1": "SignalBegin", "G2": "SignalBegin"}
    model.step("S")
    model.step("G1")
    assert model.paused == {"S": "StallSet", "W1": "Woken", "G2": "SignalBegin"}
    model.step("W1")
    model.step("W1")
    assert model.waiting == ("W1", "W2")
    model.step("S")
    model.step("S")
    assert model.paused == {"S": "ReleaseDone", "W1": "CallResumed", "G2": "SignalBegin"}
    events = [entry.event for entry in model.log if entry.thread == "S"]
    assert all(one != other for one, other in pairwise(events))
