"""The fixtures on the embedded guest: what a test can say of a driver, and what it is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import hotswap.testing
from hotswap.deadline import Deadline
from hotswap.driver.build import DriverBuild
from hotswap.errors import GuestFault, UsageError
from hotswap.run import RunFolder
from hotswap.testing import Agent, Device, Driver, Machine, Trace, event
from hotswap.testing.guest import GuestMachine


def test_a_wake_up_after_the_swap_runs_in_the_new_version(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker(events=2)
    worker.signal(0)
    worker.wait_for_iterations(1)
    swap = driver.swap("v2")
    assert swap.succeeded
    assert (swap.from_version, swap.to_version, driver.version) == (1, 2, 2)
    worker.signal(1)
    worker.wait_for_iterations(2)
    assert worker.versions == {1: 1, 2: 1}
    driver.stop()
    trace.assert_order("SignalEnd", event("IterationBegin", version=2), worker=worker.id)
    trace.assert_never("IterationBegin", between=("SwapDrained", "SwapReleased"))
    assert trace.verdict().passed


def test_a_worker_times_out_and_is_told_so(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker(timeout_ms=20)
    worker.wait_for_iterations(2)
    assert "STATUS_TIMEOUT" in str(worker.last_wait_status)
    driver.stop()
    trace.assert_count("IterationBegin", worker=worker.id, wait_status="STATUS_TIMEOUT", at_least=2)
    trace.assert_passed()


def test_a_wait_status_is_told_as_one_and_there_is_none_before_the_first_iteration(driver: Driver) -> None:
    driver.load("v1")
    worker = driver.create_worker(events=2)
    assert worker.last_wait_status is None
    for index in (0, 1):
        worker.signal(index)
        info = worker.wait_for_iterations(index + 1)
        assert str(worker.last_wait_status) == f"STATUS_WAIT_{index} (0x0000000{index})"
        assert (info.last_wait_status, info.last_wait_status.name) == (index, f"STATUS_WAIT_{index}")
    with pytest.raises(GuestFault, match=r"ran 2 of 3 iterations .* its last wait returned STATUS_WAIT_1"):
        worker.wait_for_iterations(3, seconds=0.05)
    assert driver.swap("v2").status.name == "STATUS_SUCCESS"


def test_an_absolute_time_in_the_past_expires_at_once(driver: Driver) -> None:
    driver.load("v1")
    worker = driver.create_worker(expires_at=driver.guest_time() - 10_000_000)
    worker.wait_for_iterations(5)
    assert "STATUS_TIMEOUT" in str(worker.last_wait_status)


def test_events_can_be_kept_signalled_cleared_and_read(driver: Driver) -> None:
    driver.load("v1")
    worker = driver.create_worker(events=3, wait="all", notification=[1], signalled=[2])
    assert [worker.is_signalled(index) for index in range(3)] == [False, False, True]
    worker.signal(1)
    assert worker.is_signalled(1)
    worker.clear(1)
    assert not worker.is_signalled(1)
    assert worker.iterations == 0
    # The stop signals what the worker waits for, and a notification event stays as it is.
    assert worker.stop().final_state_mask == 0b010
    assert worker.stop() is worker.stopped


def test_a_worker_that_does_not_run_is_the_guests_fault_and_says_how_it_stands(driver: Driver) -> None:
    driver.load("v1")
    worker = driver.create_worker()
    with pytest.raises(GuestFault, match=r"ran 0 of 1 iterations within 0\.1 s: it is waiting, and no wait of it"):
        worker.wait_for_iterations(1, seconds=0.1)


def test_a_refused_swap_is_an_answer(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    swap = driver.swap("refuse-proxy-stalled")
    assert swap.refused
    assert swap.rolled_back
    assert not swap.succeeded
    assert "STATUS_DEVICE_NOT_READY" in str(swap)
    assert driver.version == 1
    driver.stop()
    trace.assert_order("SwapBegin", "SwapRolledBack", "SwapEnd", swap=2)
    assert trace.verdict().passed, "a clean refusal is a pass"


def test_what_does_not_load_is_no_set_up(driver: Driver) -> None:
    with pytest.raises(GuestFault, match="loading refuse-pre-process failed: swap 0 -> refuse-pre-process: STATUS_"):
        driver.load("refuse-pre-process")


def test_a_swap_has_a_drain_limit_of_its_own(driver: Driver) -> None:
    driver.load("v1")
    worker = driver.create_worker(work_us=2_500_000)
    worker.signal()
    worker.wait_until_running()
    swap = driver.swap("v2", drain_timeout_ms=20)
    assert swap.refused
    assert swap.status.name == "STATUS_UNSUCCESSFUL"
    drain = swap.phase_us("drain")
    assert drain is not None
    assert 20_000 <= drain < 2_000_000, "it gave up at its limit, long before the iteration ended"


def test_the_version_in_force_can_be_swapped_for_itself(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    again = driver.swap("v1")
    assert (again.succeeded, again.from_version, again.to_version) == (True, 1, 1)
    driver.stop()
    assert trace.verdict().passed


def test_a_swap_has_the_number_of_its_events_however_many_were_asked_for_at_once(driver: Driver, trace: Trace) -> None:
    swaps = [driver.load("v1"), driver.swap("refuse-pre-process")]
    pending = [driver.begin_swap(name) for name in ("v3", "refuse-post-process", "v2")]
    swaps += [swap.result() for swap in reversed(pending)]
    with pytest.raises(UsageError):
        driver.swap("v9")
    swaps.append(driver.swap("v1"))
    driver.stop()
    assert sorted(swap.number for swap in swaps) == [1, 2, 3, 4, 5, 6]
    assert [swap.number for swap in pending] == [3, 4, 5]
    for swap in swaps:
        (end,) = trace.events("SwapEnd", swap=swap.number)
        assert (end.from_version, end.to_version, end.status) == (swap.from_version, swap.to_version, swap.status)
    driven = {swap.driver: swap.number for swap in swaps[2:5]}
    assert driven == {"v3": 3, "refuse-post-process": 4, "v2": 5}


def test_a_swap_goes_on_while_the_test_does_something_else(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker(work_us=300_000)
    worker.signal()
    worker.wait_until_running()
    pending = driver.begin_swap("v2")
    other = driver.create_worker()
    other.signal()
    assert pending.result().succeeded
    other.wait_for_iterations(1)
    driver.stop()
    trace.assert_passed()


def test_a_test_can_wait_until_a_swap_holds_calls(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    worker = driver.create_worker(timeout_ms=5)
    pending = driver.begin_swap("v3")
    pending.wait_until_held()
    assert not pending.done
    seen = worker.iterations
    swap = pending.result()
    assert (swap.held_calls, swap.hold_us and swap.hold_us > 1000) == (1, True)
    assert seen == worker.versions[1]
    idle = driver.begin_swap("v3")
    worker.stop()
    with pytest.raises(GuestFault, match="the swap to v3 ended before a held call was seen"):
        idle.wait_until_held()


def test_load_runs_and_tells_what_it_did(driver: Driver, trace: Trace) -> None:
    driver.load("v1")
    workers = [driver.create_worker(events=2), driver.create_worker(events=2, wait="all")]
    load = driver.start_load(rate=1000)
    driver.let_run(0.2)
    assert driver.swap("v2").succeeded
    driver.let_run(0.2)
    stopped = load.stop()
    assert stopped.signals > 100
    final = driver.stop()
    assert final is not None
    assert final.signals >= stopped.signals
    assert final.workers == 0
    assert {worker.id for worker in workers} == set(trace.events("IterationBegin").column("Worker").tolist())
    assert trace.verdict().passed


def test_a_lost_wake_up_is_found_as_one(driver: Driver, trace: Trace) -> None:
    driver.load("lose-wakeup")
    worker = driver.create_worker(events=2, work_us=500)
    driver.start_load()
    worker.wait_for_iterations(100)
    driver.stop()
    (lost,) = trace.expect_failure("signals-accounted")
    assert "lost wake-up" in lost.message


def test_a_drivers_own_file_is_swapped_in_by_its_path(driver: Driver, build: DriverBuild, tmp_path: Path) -> None:
    mine = tmp_path / "my driver.sys"
    mine.write_bytes(build.driver("hotswap_v2").path.read_bytes() + b"\0" * 8)
    driver.load("v1")
    with pytest.raises(UsageError, match=r"preflight of my driver\.sys"):
        driver.swap(mine)
    mine.write_bytes(build.driver("hotswap_v2").path.read_bytes())
    assert driver.swap(mine).to_version == 2


def test_the_trace_is_read_after_the_stop_and_the_driver_used_before(driver: Driver, trace: Trace) -> None:
    with pytest.raises(UsageError, match=r"complete after driver\.stop\(\)"):
        trace.events("HostStart")
    driver.stop()
    assert trace.count("HostStart") == 1
    with pytest.raises(UsageError, match="the driver was stopped"):
        driver.create_worker()
    assert driver.stop() is driver.final


def test_a_test_without_workers_or_swaps_has_a_verdict_too(driver: Driver, trace: Trace) -> None:
    driver.stop()
    verdict = trace.verdict()
    assert verdict.passed
    assert {"driver-host-alive", "evidence-complete", "old-image-gone"} <= {item.id for item in verdict.results}
    assert verdict.result("signals-accounted") is None


def test_the_agent_and_the_machine_can_be_used_without_a_driver(agent: Agent, machine: Machine) -> None:
    deadline = Deadline.after(30)
    agent.put(b"text", r"C:\hotswap\file.txt", deadline=deadline)
    assert agent.get(r"C:\hotswap\file.txt", deadline=deadline) == b"text"
    agent.remove(r"C:\hotswap\file.txt", deadline=deadline)
    assert machine.agent is agent
    assert machine.current.alive() is None


def test_the_device_is_the_drivers_own_and_typed(device: Device, driver: Driver) -> None:
    assert device is driver.device
    assert device.query_counters().workers == 0
    assert device.get_version().contract_version == 1


def test_bad_arguments_are_told_before_anything_is_sent(driver: Driver) -> None:
    driver.load("v1")
    for arguments, message in (
        ({"timeout_ms": 1.0, "expires_at": 1}, "a worker has either timeout_ms or expires_at"),
        ({"timeout_ms": -1.0}, "timeout_ms is -1; it is a number of milliseconds from 0 to"),
        ({"timeout_ms": float("inf")}, "timeout_ms is inf; it is"),
        ({"timeout_ms": 1e300}, r"timeout_ms is 1e\+300; it is"),
        ({"wait": "each"}, "wait is 'each'; it is 'any' or 'all'"),
        ({"events": 65}, "events is 65; a worker waits for 1 to 64 events"),
        ({"events": 0}, "events is 0; a worker waits for 1 to 64 events"),
        ({"events": 2, "notification": [0, 2]}, "notification has event 2; the events are 0 to 1"),
        ({"signalled": [-1]}, "signalled has event -1; the only event is 0"),
    ):
        with pytest.raises(UsageError, match=f"^{message}[^\n]*$"):
            driver.create_worker(**arguments)  # type: ignore[arg-type]
    worker = driver.create_worker(events=2)
    for call in (worker.signal, worker.clear, worker.is_signalled):
        for index in (2, -1):
            with pytest.raises(UsageError, match=f"^worker 1 has no event {index}; its events are 0 to 1$"):
                call(index)
    with pytest.raises(UsageError, match="unknown update 'v9'"):
        driver.swap("v9")
    with pytest.raises(UsageError, match=r"driver\.configure\(host_fault='old-call'\)"):
        driver.swap("host-old-call")
    counted = driver.counters()
    assert (counted.workers, counted.signals) == (1, 0)


def test_a_worker_without_an_endpoint_driver_is_a_load_that_was_forgotten(driver: Driver) -> None:
    with pytest.raises(UsageError, match=r'^no endpoint driver is loaded: driver\.load\("v1"\), say, .*'):
        driver.create_worker()
    assert driver.swap("refuse-pre-process").refused
    with pytest.raises(UsageError, match="no endpoint driver is loaded"):
        driver.create_worker()
    pending = driver.begin_swap("v1")
    driver.create_worker()
    assert pending.result().succeeded


def test_a_worker_of_a_driver_that_was_loaded_by_its_ioctl_is_fine(driver: Driver, machine: Machine) -> None:
    service = machine.deploy("v1").service
    assert service is not None
    assert driver.device.update(service_name=service).status.succeeded
    driver.create_worker()


def test_a_dead_driver_host_is_told_in_the_call_that_meets_it_and_a_test_may_expect_it(
    driver: Driver, trace: Trace
) -> None:
    driver.load("v1")
    worker = driver.create_worker()
    assert driver._lab.host is not None
    os.kill(driver._lab.host.process.pid, signal.SIGKILL)
    assert driver._lab.host.ended_within(5)
    with pytest.raises(GuestFault, match=r"worker 1: the driver host died: process \d+ ended before it was asked to$"):
        worker.signal()
    driver.stop()
    trace.expect_failure("driver-host-alive")


@pytest.fixture
def dead_guest(machine: GuestMachine, tmp_path: Path) -> object:
    """A guest in which the driver host was killed, as in the test above."""
    with machine.driver(RunFolder.create(tmp_path)) as lab:
        assert lab.host is not None
        os.kill(lab.host.process.pid, signal.SIGKILL)
        assert lab.host.ended_within(5)
    return lab.machine


def test_after_a_death_the_next_test_has_a_new_guest(
    dead_guest: object, driver: Driver, agent: Agent, machine: Machine
) -> None:
    assert machine.spent
    assert machine.current is not dead_guest
    assert driver.agent is agent is machine.agent
    assert driver._lab.machine is machine.current
    assert driver.version == 0


def test_completion_offers_what_is_for_tests(driver: Driver, trace: Trace) -> None:
    assert {name for name in dir(driver) if name[0] != "_"} == {
        *(
            "load",
            "swap",
            "begin_swap",
            "swaps",
            "version",
            "create_worker",
            "workers",
            "start_load",
            "loads",
            "let_run",
        ),
        *("configure", "runtime", "counters", "hold_budget_ms", "guest_time", "device", "agent", "run"),
        *("stop", "stopped", "final", "at"),
    }
    assert {name for name in dir(trace) if name[0] != "_"} == {
        *("events", "count", "assert_order", "assert_count", "assert_never", "assert_passed", "verdict", "holds"),
        *("expect_failure", "etl", "table"),
    }
    assert dir(hotswap.testing) == sorted(hotswap.testing.__all__)
