"""Orders of two workers and one swap, forced on the real drivers: a sample by a seed; `ci/soak schedules` takes all."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import pytest
from faulty import LetThrough

from hotswap.schedule.explore import Schedule, everything, explore, named, parse, replay, sample
from hotswap.schedule.guest import Diverged, Session
from hotswap.schedule.judge import judge
from hotswap.schedule.model import SCENARIOS, Scenario
from hotswap.testing import Driver, Trace, UsageError
from support.counts import SCHEDULES

COUNT = 500
SEED = int(os.environ.get("HOTSWAP_SCHEDULE_SEED", "1"))
PARTS = {"swap": 3, "signals": 1, "stall-refused": 1, "post-process-refused": 1}


@cache
def chosen() -> list[tuple[Scenario, Schedule]]:
    return sample(everything(), COUNT, SEED)


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, parts in PARTS.items() for part in range(parts)])
def test_the_driver_does_in_each_order_what_the_model_does(
    name: str, part: int, driver: Driver, trace: Trace, record_property: Callable[[str, object], None]
) -> None:
    scenario = SCENARIOS[name]
    schedules = [schedule for other, schedule in chosen() if other is scenario][part :: PARTS[name]]
    session = Session(driver, scenario)
    session.run_all(schedules)
    session.end()
    driver.stop()
    assert session.judge(trace) == []
    trace.assert_passed()
    record_property(SCHEDULES, f"{len(schedules)} {len(everything())} {SEED}")


def test_every_scenario_is_in_the_sample() -> None:
    assert {scenario.name for scenario, _ in chosen()} == set(SCENARIOS) == set(PARTS)
    assert len(set(chosen())) == COUNT < len(everything())


def test_a_driver_that_does_something_else_is_told_step_by_step(driver: Driver) -> None:
    """Held against a model that lets calls through."""
    scenario = SCENARIOS["swap"]
    schedule = next(
        schedule
        for schedule in explore(scenario, LetThrough)
        if "began an iteration while calls were held"
        in str(judge(scenario, replay(scenario, schedule, LetThrough).log))
    )
    session = Session(driver, scenario, make=LetThrough, hang_seconds=2)
    with pytest.raises(Diverged) as caught:
        session.run(schedule)
    told = str(caught.value)
    assert "the driver has" in told
    assert "at CallHeld" in told
    assert "and should have" in told
    assert f"schedule swap:{','.join(schedule)}" in told


def test_a_schedule_is_called_by_its_steps() -> None:
    scenario, schedule = everything()[0]
    assert parse(named(scenario, schedule)) == (scenario, schedule)
    for name, message in (
        ("swop:S", "there is no scenario 'swop'"),
        ("swap:S,X1", "step 2 of 'swap:S,X1': 'X1' stands at no point; G1, G2, S do"),
        ("swap:G1,G1", "step 2 of 'swap:G1,G1': 'G1' stands at no point"),
        ("swap:S,S", "is not all: "),
    ):
        with pytest.raises(UsageError) as caught:
            parse(name)
        assert message in str(caught.value)
