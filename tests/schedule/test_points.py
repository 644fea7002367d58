"""Tests that say what happens while what: points named by trace events."""

from __future__ import annotations

import pytest

from hotswap.testing import Driver, GuestFault, Trace, UsageError, event


def test_a_swap_after_the_third_iteration_has_begun_and_before_it_ends(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    one, two = driver.create_worker(), driver.create_worker()
    third = driver.at(event("IterationBegin", worker=two.id), nth=3)
    driver.start_load(rate=500)
    with third:
        swap = driver.begin_swap("v2")
        swap.wait_until_held()
        assert not swap.done
    assert swap.result().succeeded
    one.wait_for_iterations(one.iterations + 2)
    driver.stop()
    of_two = {"worker": two.id, "iteration": 3, "version": 1}
    trace.assert_order(event("IterationBegin", **of_two), "SwapStalled", event("IterationEnd", **of_two), "SwapDrained")
    trace.assert_never("IterationBegin", between=("SwapDrained", "SwapReleased"))
    assert not trace.verdict().failed


def test_a_wake_up_between_the_switch_and_the_release_waits_for_the_release(driver: Driver, trace: Trace) -> None:
    """W55, R20."""
    driver.load("v1")
    worker = driver.create_worker()
    switched = driver.at("SwapSwitched")
    swap = driver.begin_swap("v2")
    with switched:
        worker.signal()
        swap.wait_until_held()
        assert worker.iterations == 0
    assert swap.result().held_calls == 1
    worker.wait_for_iterations(1)
    assert worker.versions == {2: 1}
    driver.stop()
    trace.assert_order("SwapSwitched", "SignalEnd", "SwapReleased", event("IterationBegin", version=2), swap=2)
    trace.assert_passed()


def test_fine_steps_of_the_runtime_are_points_when_they_are_asked_for(driver: Driver, trace: Trace) -> None:
    """W53, W55: a thread whose wait is over, and that has not yet come to its wrapper, does not keep a swap back."""
    driver.configure(verbose=True)
    driver.load("v1")
    worker = driver.create_worker()
    woken = driver.at(event("ProxyWoken", worker=worker.id))
    worker.signal()
    with woken:
        assert woken.thread == worker.thread_id
        assert driver.swap("v2").succeeded
        assert worker.iterations == 0
    worker.wait_for_iterations(1)
    driver.stop()
    trace.assert_order("ProxyWoken", event("SwapEnd", swap=2), event("IterationBegin", version=2))
    trace.assert_passed()


def test_a_point_that_nobody_comes_to_says_what_was_seen_last(driver: Driver) -> None:
    driver.load("v1")
    worker = driver.create_worker()
    worker.signal()
    worker.wait_for_iterations(1)
    point = driver.at(event("IterationBegin", worker=worker.id), nth=3)
    worker.signal()
    worker.wait_for_iterations(2)
    with pytest.raises(GuestFault) as caught:
        point.reached(seconds=0.3)
    told = str(caught.value)
    assert "nobody came to IterationBegin of worker 1 (number 3 from then on) within 0.3 s" in told
    assert "worker 1 is waiting and has begun 2 iterations, its last wait returned STATUS_WAIT_0" in told
    assert "nobody stands at another point" in told
    for turn in (3, 4):
        worker.signal()
        worker.wait_for_iterations(turn)


def test_a_driver_is_stopped_with_a_thread_at_a_point(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker()
    point = driver.at(event("IterationEnd", worker=worker.id))
    worker.signal()
    point.reached()
    driver.stop()
    trace.assert_count("IterationEnd", at_least=1)


@pytest.mark.parametrize(
    ("point", "nth", "message"),
    [
        (event("IterationBegins"), 1, "there is no event 'IterationBegins' (did you mean IterationBegin?)"),
        (event("IterationBegin", version=2), 1, "a thread stops at IterationBegin by its field Worker only"),
        (event("IterationBegin", wurker=2), 1, "IterationBegin has no field 'wurker' (did you mean Worker?)"),
        (event("IterationBegin", worker=0), 1, "worker is 0; it is a number from 1 on"),
        (event("IterationBegin"), 0, "nth is 0; it is a number from 1 on"),
    ],
)
def test_a_point_that_cannot_be_is_bad_usage(driver: Driver, point: object, nth: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        driver.at(point, nth=nth)  # type: ignore[arg-type]
    assert message in str(caught.value)
