"""Faults and moments by name: what is meant, the same again by the same seed, and clear words for what is none."""

from __future__ import annotations

import pytest

from hotswap.errors import LabFault, UsageError
from hotswap.faults.injector import FaultPlan, Injector
from hotswap.faults.moment import AtEvent, AtPoint, parse_moment, seeded_moment
from hotswap.swap.plan import SwapPlan
from hotswap.swap.runner import run_swap


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("SwapStalled", AtEvent("SwapStalled")),
        ("IterationBegin:100", AtEvent("IterationBegin", 100)),
        ("load-running", AtPoint("load-running")),
        ("update-begun:2", AtPoint("update-begun", 2)),
        ("booting", AtPoint("booting")),
    ],
)
def test_a_moment_is_an_event_or_a_point(text: str, moment: AtEvent | AtPoint) -> None:
    assert parse_moment(text, 1.0) == moment


def test_the_same_seed_is_the_same_moment_and_seeds_spread() -> None:
    moments = [str(parse_moment(f"seed:{seed}", 1.0)) for seed in range(1, 200)]
    assert moments == [str(seeded_moment(seed, 1.0)) for seed in range(1, 200)]
    assert len(set(moments)) > 80
    assert any("ms later" in moment for moment in moments)
    assert any("Swap" in moment for moment in moments)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("unplug", "there is no fault 'unplug'; there are: power-cut"),
        ("panic@", "says no moment"),
        ("panic@SwapStaled", "did you mean"),
        ("panic@SwapStalled:0", "a number from 1 on"),
        ("panic@SwapStalled:x", "a number from 1 on"),
        ("panic@seed", "needs its number"),
        ("panic@ProxyWoken", "there is no moment"),
    ],
)
def test_what_is_none_is_one_clear_line(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        FaultPlan.parse(text, seconds=1.0, seed=1)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fault_that_the_machine_cannot_have_is_bad_input() -> None:
    with pytest.raises(UsageError, match="needs a stand-in guest"):
        run_swap(SwapPlan(seconds=0.1, fault="panic"))


def test_a_fault_that_was_not_made_says_what_came_before_it() -> None:
    injector = Injector(FaultPlan.parse("panic@SwapEnd:2", seconds=1.0, seed=1))
    injector.close()
    with pytest.raises(LabFault, match=r"panic at SwapEnd:2 was not made: the test did not come to it; no service"):
        injector.check(["no service"])
