"""What a swap must keep, one behaviour a test, written as a user of the plugin would write it.

A worker that is held keeps its time-outs short and its iterations few, so that each trace can be read as a whole.
"""

from __future__ import annotations

from hotswap.testing import Driver, Trace, event


def test_a_wake_up_during_the_stall_is_held_and_runs_in_the_new_version(driver: Driver, trace: Trace) -> None:
    """W55, R20."""
    driver.load("v1")
    worker = driver.create_worker(events=2)
    driver.start_load([worker], while_stalled=True)
    swap = driver.swap("v3")
    assert swap.succeeded
    worker.wait_for_iterations(2)
    driver.stop()
    trace.assert_order("SwapDrained", "SignalEnd", "SwapSwitched", "SwapReleased", event("IterationBegin", version=3))
    trace.assert_never("IterationBegin", version=1)
    trace.assert_passed()


def test_a_swap_waits_for_the_iteration_that_is_running(driver: Driver, trace: Trace) -> None:
    """W54, R12, R19."""
    driver.load("v1")
    worker = driver.create_worker(work_us=300_000)
    worker.signal()
    worker.wait_until_running()
    assert driver.swap("v2").succeeded
    driver.stop()
    trace.assert_order(event("IterationBegin", version=1), "SwapStalled", "IterationEnd", "SwapDrained")
    trace.assert_never("IterationBegin", between=("SwapStalled", "SwapReleased"))
    trace.assert_passed()


def test_a_time_out_that_expires_while_calls_are_held_runs_in_the_new_version(driver: Driver, trace: Trace) -> None:
    """W36, W55: the stall of v3 lasts 50 ms, the time-out 10 ms."""
    driver.load("v1")
    worker = driver.create_worker(timeout_ms=10)
    worker.wait_for_iterations(2)
    assert driver.swap("v3").held_calls == 1
    driver.stop()
    trace.assert_order("SwapReleased", event("IterationBegin", version=3, wait_status="STATUS_TIMEOUT"))
    trace.assert_passed()


def test_a_set_that_is_half_signalled_before_the_swap_is_completed_after_it(driver: Driver, trace: Trace) -> None:
    """W31, W32, W53."""
    driver.load("v1")
    worker = driver.create_worker(events=2, wait="all")
    worker.signal(0)
    driver.swap("v2")
    assert worker.is_signalled(0), "the swap took nothing"
    assert worker.iterations == 0
    worker.signal(1)
    worker.wait_for_iterations(1)
    assert worker.versions == {2: 1}
    driver.stop()
    trace.assert_passed()


def test_a_worker_keeps_its_thread_over_many_swaps(driver: Driver, trace: Trace) -> None:
    """W56."""
    driver.load("v1")
    worker = driver.create_worker()
    for number, version in enumerate(("v2", "v1", "v3", "v2", "v1"), 1):
        assert driver.swap(version).succeeded
        worker.signal()
        worker.wait_for_iterations(number)
    driver.stop()
    trace.assert_count("WorkerThreadStart", 1)
    trace.assert_count("IterationBegin", at_least=5, tid=worker.thread_id)
    trace.assert_passed()


def test_an_update_to_the_same_version_is_a_swap_like_any_other(driver: Driver, trace: Trace) -> None:
    """R8: loaded beside itself, and the first copy leaves."""
    driver.load("v1")
    worker = driver.create_worker()
    swap = driver.swap("v1")
    assert (swap.succeeded, swap.from_version, swap.to_version) == (True, 1, 1)
    worker.signal()
    worker.wait_for_iterations(1)
    driver.stop()
    trace.assert_passed()


def test_a_refused_update_disturbs_nobody(driver: Driver, trace: Trace) -> None:
    """R24, R10, W60: ProxyStalled fails, calls go on in the old version, and the next update goes through."""
    driver.load("v1")
    worker = driver.create_worker()
    driver.start_load([worker], rate=500)
    swap = driver.swap("refuse-proxy-stalled")
    assert swap.refused
    assert swap.rolled_back
    assert swap.status.name == "STATUS_DEVICE_NOT_READY"
    seen = worker.iterations
    worker.wait_for_iterations(seen + 3)
    assert worker.versions.keys() == {1}
    assert driver.swap("v2").succeeded
    worker.wait_for_iterations(worker.iterations + 3)
    driver.stop()
    trace.assert_never("SwapSwitched", swap=2)
    trace.assert_passed()


def test_an_update_whose_endpoint_has_other_parameters_is_refused_before_anything_is_held(
    driver: Driver, trace: Trace
) -> None:
    """R9."""
    driver.load("v1")
    swap = driver.swap("wrong-parameters")
    assert swap.refused
    assert not swap.rolled_back
    assert swap.status.name == "STATUS_INVALID_PARAMETER_3"
    assert driver.version == 1
    driver.stop()
    trace.assert_never("SwapStalled", swap=2)


def test_a_version_that_failed_after_the_switch_is_taken_back_by_a_second_drain(driver: Driver, trace: Trace) -> None:
    """R25."""
    driver.load("v1")
    worker = driver.create_worker()
    driver.start_load([worker], rate=500)
    assert driver.swap("refuse-post-process").refused
    worker.wait_for_iterations(worker.iterations + 3)
    driver.stop()
    trace.assert_order(
        *("SwapSwitched", "SwapReleased", "SwapPostProcess", "SwapStalled", "SwapDrained", "SwapRolledBack"),
        event("IterationBegin", version=1),
        swap=2,
    )
    trace.assert_passed()


def test_updates_asked_for_at_once_are_taken_one_after_the_other(driver: Driver, trace: Trace) -> None:
    """R32."""
    driver.load("v1")
    driver.create_worker(timeout_ms=5)
    pending = [driver.begin_swap("v3"), driver.begin_swap("v2")]
    first, second = (swap.result() for swap in pending)
    assert (first.to_version, second.from_version, second.to_version) == (3, 3, 2)
    driver.stop()
    trace.assert_order(event("SwapEnd", swap=2), event("SwapBegin", swap=3))
    trace.assert_passed()


def test_workers_come_and_go_while_a_swap_holds_all_calls(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    leaving = driver.create_worker(timeout_ms=5)
    leaving.wait_for_iterations(1)
    pending = driver.begin_swap("v3")
    pending.wait_until_held()
    coming = driver.create_worker(timeout_ms=5)
    leaving.stop()
    assert pending.result().succeeded
    coming.wait_for_iterations(1)
    driver.stop()
    trace.assert_order(event("WorkerCreate", worker=coming.id), event("SwapEnd", swap=2))
    trace.assert_order(event("SwapBegin", swap=2), event("WorkerStop", worker=leaving.id))
    trace.assert_passed()


def test_an_update_that_loses_wake_ups_is_caught_by_the_accounts_of_its_signals(driver: Driver, trace: Trace) -> None:
    """W30."""
    driver.load("lose-wakeup")
    worker = driver.create_worker(events=2, work_us=300_000)
    worker.signal(0)
    worker.wait_until_running()
    worker.signal(1)
    driver.stop()
    trace.expect_failure("signals-accounted")


def test_an_image_that_stays_after_the_swap_is_caught_by_name(driver: Driver, trace: Trace) -> None:
    driver.configure(host_fault="keep-image")
    driver.load("v1")
    assert driver.swap("v2").succeeded, "the host says that all is well"
    driver.stop()
    gone, _, stopped = trace.expect_failure("old-image-gone", "endpoint-unloaded", "services-stopped")
    assert "hotswap_v1.sys is still in" in gone.message
    assert "hotswap_v1.sys is still in the list of services that run" in stopped.message
