"""The host driver by its IOCTLs, on the embedded guest: every member of the start context, and every bad request."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

import pytest

from hotswap.deadline import Deadline
from hotswap.driver.device import Device
from hotswap.errors import GuestFault
from hotswap.machine.wine import WineMachine
from hotswap.swap.lab import Lab
from hotswap.transport.agent import AgentError
from support.host_driver import WAIT_ALL, WAIT_ANY, iterations, load, trace_of

TIMEOUT = 0x102
STATUS_NOT_IMPLEMENTED = 0xC0000002


@pytest.mark.parametrize("count", [1, 3, 4, 63, 64])
def test_a_wait_any_worker_is_told_which_of_its_events_was_signalled(  # W24, W50
    lab: Lab, deadline: Deadline, count: int
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = lab.device.create_worker(wait_type=WAIT_ANY, event_count=count, deadline=deadline)
    assert worker.status == 0
    for turn, index in enumerate(sorted({0, count // 2, count - 1}), 1):
        lab.device.signal_event(worker_id=worker.worker_id, event_index=index, deadline=deadline)
        info = iterations(lab, worker.worker_id, turn, deadline)
        assert (info.iterations, info.last_wait_status) == (turn, index)
        assert info.thread_id == worker.thread_id


def test_a_wait_all_worker_runs_only_when_all_events_are_signalled(lab: Lab, deadline: Deadline) -> None:  # W31, W32
    worker = lab.device.create_worker(wait_type=WAIT_ALL, event_count=5, deadline=deadline).worker_id
    for index in (4, 0, 2, 1):
        lab.device.signal_event(worker_id=worker, event_index=index, deadline=deadline)
    assert lab.device.query_worker(worker_id=worker, deadline=deadline).iterations == 0
    assert lab.device.query_event(worker_id=worker, event_index=2, deadline=deadline).previous_state == 1
    lab.device.signal_event(worker_id=worker, event_index=3, deadline=deadline)
    info = iterations(lab, worker, 1, deadline)
    assert (info.iterations, info.last_wait_status) == (1, 0)
    for index in range(5):
        assert lab.device.query_event(worker_id=worker, event_index=index, deadline=deadline).previous_state == 0


def test_relative_time_outs_are_told_as_status_timeout_and_are_armed_again(  # W36, W39, W42
    lab: Lab, deadline: Deadline
) -> None:
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=2, has_timeout=True, timeout=-20 * 10_000, deadline=deadline
    ).worker_id
    info = iterations(lab, worker, 3, deadline)
    assert info.last_wait_status == TIMEOUT
    lab.device.stop_worker(worker_id=worker, deadline=deadline)
    begins = trace_of(lab).events.events("IterationBegin")
    by_timeout = begins.tick[begins["WaitStatus"] == TIMEOUT]
    assert len(by_timeout) >= 3
    # 20 ms less one clock tick of 15.625 ms (W43), in ticks of 100 ns.
    assert (by_timeout[1:] - by_timeout[:-1]).min() >= 43_750


def test_an_absolute_time_in_the_past_expires_at_once_and_a_signal_still_wins(  # W37, W40, W41
    lab: Lab, deadline: Deadline
) -> None:
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=1, has_timeout=True, timeout=1, initial_state_mask=1, deadline=deadline
    ).worker_id
    deadline.within(10).wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).iterations >= 20, "20 expiries"
    )
    lab.device.stop_worker(worker_id=worker, deadline=deadline)
    begins = trace_of(lab).events.events("IterationBegin")
    assert begins["WaitStatus"][0] == 0, "the event signalled at creation"
    assert (begins["WaitStatus"][1:20] == TIMEOUT).all()


def test_a_time_out_is_ignored_without_has_timeout(lab: Lab, deadline: Deadline) -> None:  # W35
    worker = lab.device.create_worker(wait_type=WAIT_ANY, event_count=1, timeout=-1, deadline=deadline).worker_id
    lab.device.signal_event(worker_id=worker, event_index=0, deadline=deadline)
    info = iterations(lab, worker, 1, deadline)
    assert (info.iterations, info.last_wait_status) == (1, 0)


def test_a_notification_event_stays_signalled_until_it_is_cleared(lab: Lab, deadline: Deadline) -> None:  # W27
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=2, notification_mask=0b10, deadline=deadline
    ).worker_id
    assert lab.device.signal_event(worker_id=worker, event_index=1, deadline=deadline).notification == 1
    deadline.within(10).wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).iterations >= 10, "the spin"
    )
    assert lab.device.clear_event(worker_id=worker, event_index=1, deadline=deadline).previous_state == 1
    assert lab.device.query_event(worker_id=worker, event_index=1, deadline=deadline).previous_state == 0


def test_every_member_of_the_start_context_reaches_the_worker(lab: Lab, deadline: Deadline) -> None:
    asked = {
        "wait_type": WAIT_ANY,
        "wait_reason": 6,
        "wait_mode": 1,
        "altertable": 1,
        "has_timeout": 1,
        "event_count": 7,
        "timeout": -50_000_000,
        "notification_mask": 0b0101000,
        "initial_state_mask": 0b0000001,
    }
    worker = lab.device.create_worker(**asked, deadline=deadline)
    iterations(lab, worker.worker_id, 1, deadline)
    lab.device.stop_worker(worker_id=worker.worker_id, deadline=deadline)
    created = trace_of(lab).events.events("WorkerCreate")
    told = {name: int(created["".join(part.capitalize() for part in name.split("_"))][0]) for name in asked}
    assert told == asked
    assert created["WorkerThreadId"][0] == worker.thread_id


def test_alerting_is_answered_as_not_implemented_on_wine(lab: Lab, deadline: Deadline) -> None:
    worker = lab.device.create_worker(wait_type=WAIT_ANY, event_count=1, altertable=1, deadline=deadline).worker_id
    assert lab.device.alert_worker(worker_id=worker, deadline=deadline).status == STATUS_NOT_IMPLEMENTED


def test_calls_with_stack_arguments_go_through_the_wrapper_to_the_version_in_force(  # R8, R33
    lab: Lab, deadline: Deadline
) -> None:
    big = 1 << 40

    def compute() -> tuple[int, int]:
        reply = lab.device.call_endpoint(
            endpoint_id=3, argument_count=6, arguments=[1, 2, 3, 4, 5 * big, 6 * big], deadline=deadline
        )
        return reply.version, reply.result

    load(lab, "hotswap_v1", deadline)
    assert compute() == (1, 1 + 2 + 3 + 4 + 11 * big)
    load(lab, "hotswap_v2", deadline)
    assert compute() == (2, 1 + 4 + 9 + 16 + (25 + 36) * big)
    load(lab, "hotswap_v1", deadline)
    assert compute() == (1, 1 + 2 + 3 + 4 + 11 * big)


def test_an_update_tells_the_ticks_of_its_phases_in_order(lab: Lab, deadline: Deadline) -> None:  # R17
    load(lab, "hotswap_v1", deadline)
    reply = load(lab, "hotswap_v2", deadline)
    assert (reply.status, reply.from_version, reply.to_version, reply.unload_status) == (0, 1, 2, 0)
    names = ("begin", "loaded", "pre_process", "stalled", "drained", "switched", "released", "post_process")
    ticks = [getattr(reply, name) for name in (*names, "unloaded", "end")]
    assert ticks == sorted(ticks)
    assert ticks[0] > 0
    assert (reply.first_held, reply.held_calls) == (0, 0), "nobody called"


def test_an_update_to_nothing_takes_the_endpoint_driver_off(lab: Lab, deadline: Deadline) -> None:
    load(lab, "hotswap_v1", deadline)
    assert load(lab, "", deadline).to_version == 0
    assert lab.device.query_counters(deadline=deadline).endpoint_drivers == 0


@pytest.mark.parametrize(
    ("service", "status"),
    [
        # Windows says STATUS_OBJECT_NAME_NOT_FOUND, Wine STATUS_UNSUCCESSFUL.
        ("no_such_service", "(0xC0000"),
        (r"..\Tcpip", "STATUS_OBJECT_NAME_INVALID"),
        ("a b", "STATUS_OBJECT_NAME_INVALID"),
    ],
)
def test_an_update_to_a_service_that_is_none_leaves_the_old_version_in_force(
    lab: Lab, deadline: Deadline, service: str, status: str
) -> None:
    load(lab, "hotswap_v1", deadline)
    reply = load(lab, service, deadline)
    assert status in str(reply.status)
    assert (reply.from_version, reply.to_version) == (1, 1)
    assert lab.device.query_counters(deadline=deadline).endpoint_drivers == 1


def test_counters_show_what_is_held_and_are_zero_after_the_shutdown(lab: Lab, deadline: Deadline) -> None:  # W61
    load(lab, "hotswap_v1", deadline)
    for _ in range(3):
        lab.device.create_worker(wait_type=WAIT_ANY, event_count=5, deadline=deadline)
    held = lab.device.query_counters(deadline=deadline)
    assert (held.workers, held.threads, held.events, held.references) == (3, 3, 15, 3)
    assert (held.endpoint_drivers, held.proxy_extensions, held.proxy_wrappers, held.proxy_threads) == (1, 1, 3, 3)
    assert held.allocations == 3
    assert held.proxy_allocations == 1 + 3 * 2
    left = lab.shutdown(deadline=deadline)
    assert (left.workers, left.threads, left.events, left.references, left.allocations) == (0, 0, 0, 0, 0)
    assert (left.endpoint_drivers, left.proxy_extensions, left.proxy_wrappers) == (0, 0, 0)
    assert (left.proxy_threads, left.proxy_allocations, left.allocation_bytes) == (0, 0, 0)


def test_a_host_driver_stopped_without_a_shutdown_joins_its_threads_and_says_what_stayed(
    lab: Lab, deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = lab.device.create_worker(wait_type=WAIT_ALL, event_count=3, deadline=deadline).worker_id
    lab.device.start_load(
        threads=1, rate_per_second=100, targets=[{"worker_id": worker, "event_index": 1}], deadline=deadline
    )
    assert lab.host is not None
    pid, threads = lab.host.process.pid, lab.threads()
    lab.device.close()
    lab.agent.trace_stop(deadline=deadline)
    lab.agent.service_stop("hotswap", deadline=deadline)
    maps = lab.snapshot("after", 0, host_loaded=False, deadline=deadline).maps
    assert maps is not None
    assert "hotswap.sys" not in maps
    assert isinstance(lab.machine, WineMachine)
    assert threads is not None
    assert len(lab.machine.task_ids(pid)) <= threads - 4, "worker, load and both lanes' threads have ended"
    # The driver host may end with its last driver; the fixture starts the driver again for the next test.
    lab.agent.service_start("hotswap", deadline=deadline)
    lab.host.close()
    lab.host = None


def test_a_host_driver_does_not_leave_while_an_iteration_outlasts_the_wait_for_its_thread(  # W61
    lab: Lab, deadline: Deadline
) -> None:
    lab.device.configure(join_timeout_ms=1000, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    seconds = 2.5  # longer than a request waits for a thread
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=1, work_microseconds=int(seconds * 1e6), deadline=deadline
    ).worker_id
    begun = monotonic()
    lab.device.signal_event(worker_id=worker, event_index=0, deadline=deadline)
    lab.device.close()
    lab.agent.trace_stop(deadline=deadline)
    with suppress(AgentError):  # the service manager may give up as well; the stop goes on
        lab.agent.service_stop("hotswap", deadline=deadline)
    machine, host = lab.machine, lab.host
    assert isinstance(machine, WineMachine)
    assert host is not None
    deadline.wait_for(
        lambda: "hotswap.sys" not in {path.name for path in machine.mapped_images(host.process.pid)},
        "the driver to leave",
    )
    assert monotonic() - begun > seconds, "the driver left, or its host died, while its code ran"
    # Wine's service manager gave up on the stop: closing the lab finds that, and the guest is spent.
    host.close()
    lab.host = None


def test_a_load_signals_by_its_seed_and_stops_by_its_limit(lab: Lab, deadline: Deadline) -> None:
    def order(seed: int) -> list[int]:
        worker = lab.device.create_worker(wait_type=WAIT_ANY, event_count=8, deadline=deadline).worker_id
        before = [lab.device.query_event(worker_id=worker, event_index=i, deadline=deadline).signals for i in range(8)]
        assert before == [0] * 8
        load_id = lab.device.start_load(
            threads=1,
            rate_per_second=0,
            seed=seed,
            signal_limit=64,
            targets=[{"worker_id": worker, "event_index": i} for i in range(8)],
            deadline=deadline,
        ).load_id

        def counts() -> list[int]:
            return [
                lab.device.query_event(worker_id=worker, event_index=i, deadline=deadline).signals for i in range(8)
            ]

        result = deadline.within(10).wait_for(lambda: got if sum(got := counts()) >= 64 else None, "64 signals")
        stopped = lab.device.stop_load(load_id=load_id, deadline=deadline)
        assert (stopped.signals, sum(counts())) == (64, 64)
        lab.device.stop_worker(worker_id=worker, deadline=deadline)
        return result

    assert order(7) == order(7) != order(8)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"event_count": 0}, "no event"),
        ({"event_count": 65}, "more than MAXIMUM_WAIT_OBJECTS"),
        ({"event_count": 1, "wait_type": 2}, "WaitNotification"),
        ({"event_count": 1, "wait_mode": 2}, "no processor mode"),
        ({"event_count": 1, "wait_reason": 1000}, "no wait reason"),
        ({"event_count": 1, "altertable": 2}, "no BOOLEAN of ours"),
        ({"event_count": 2, "initial_state_mask": 0b100}, "state of an event that is not there"),
        ({"event_count": 2, "notification_mask": 1 << 63}, "type of an event that is not there"),
    ],
)
def test_a_bad_start_context_is_refused_and_leaves_nothing(
    lab: Lab, deadline: Deadline, fields: dict[str, int], why: str
) -> None:
    with pytest.raises(GuestFault, match=r"ERROR_INVALID_PARAMETER|STATUS_INVALID_PARAMETER"):
        lab.device.create_worker(**{"wait_type": WAIT_ANY, **fields}, deadline=deadline)
    held = lab.device.query_counters(deadline=deadline)
    assert (held.workers, held.threads, held.events, held.allocations) == (0, 0, 0, 0), why


def test_a_full_worker_table_is_refused(lab: Lab, deadline: Deadline) -> None:
    for _ in range(64):
        assert lab.device.create_worker(wait_type=WAIT_ANY, event_count=1, deadline=deadline).status == 0
    with pytest.raises(GuestFault, match="STATUS_QUOTA_EXCEEDED"):
        lab.device.create_worker(wait_type=WAIT_ANY, event_count=1, deadline=deadline)


def test_requests_on_workers_and_events_that_are_not_there_are_refused(lab: Lab, deadline: Deadline) -> None:
    worker = lab.device.create_worker(wait_type=WAIT_ANY, event_count=2, deadline=deadline).worker_id
    for request in (
        lambda: lab.device.query_worker(worker_id=99, deadline=deadline),
        lambda: lab.device.stop_worker(worker_id=99, deadline=deadline),
        lambda: lab.device.signal_event(worker_id=99, event_index=0, deadline=deadline),
        lambda: lab.device.signal_event(worker_id=worker, event_index=2, deadline=deadline),
        lambda: lab.device.query_event(worker_id=worker, event_index=0xFFFFFFFF, deadline=deadline),
        lambda: lab.device.stop_load(load_id=5, deadline=deadline),
        lambda: lab.device.start_load(threads=0, targets=[{"worker_id": worker}], deadline=deadline),
        lambda: lab.device.start_load(threads=1, targets=[{"worker_id": 99}], deadline=deadline),
        lambda: lab.device.start_load(threads=1, targets=[{"worker_id": worker, "event_index": 9}], deadline=deadline),
        lambda: lab.device.call_endpoint(endpoint_id=9, argument_count=6, deadline=deadline),
    ):
        with pytest.raises(GuestFault):
            request()
    assert lab.device.query_counters(deadline=deadline).workers == 1


@pytest.mark.parametrize("size", [0, 1, -1, +1, 4096])
def test_inputs_of_a_wrong_length_are_refused(lab: Lab, deadline: Deadline, size: int) -> None:
    handle = lab.agent.open(lab.device.link, deadline=deadline)
    for name, ioctl in lab.build.ioctl.ioctls.items():
        right = ioctl.input.size if ioctl.input else 0
        wrong = right + size if size in (-1, 1) else size
        if name == "drain_trace" or wrong == right or wrong < 0:
            continue
        with pytest.raises(GuestFault, match=r"BAD_LENGTH|INFO_LENGTH_MISMATCH|\b24\b"):
            lab.agent.ioctl(handle, ioctl.code, bytes(wrong), 4096, deadline=deadline)
    lab.agent.close(handle, deadline=deadline)


def test_outputs_that_are_too_small_are_refused(lab: Lab, deadline: Deadline) -> None:
    handle = lab.agent.open(lab.device.link, deadline=deadline)
    for ioctl in lab.build.ioctl.ioctls.values():
        right = ioctl.input.size if ioctl.input else 0
        with pytest.raises(GuestFault, match=r"INSUFFICIENT_BUFFER|BUFFER_TOO_SMALL"):
            lab.agent.ioctl(handle, ioctl.code, bytes(right), ioctl.output_size - 1, deadline=deadline)
    lab.agent.close(handle, deadline=deadline)


def test_unknown_requests_are_refused(lab: Lab, deadline: Deadline) -> None:
    handle = lab.agent.open(lab.device.link, deadline=deadline)
    with pytest.raises(GuestFault, match="ERROR_INVALID_FUNCTION"):
        lab.agent.ioctl(handle, 0x22E3FC, b"", 64, deadline=deadline)
    lab.agent.close(handle, deadline=deadline)


def test_a_queued_request_can_be_cancelled_and_the_running_one_goes_on(lab: Lab, deadline: Deadline) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=1, work_microseconds=700_000, deadline=deadline
    ).worker_id
    lab.device.signal_event(worker_id=worker, event_index=0, deadline=deadline)
    deadline.within(5).wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).state == 1, "the long iteration"
    )
    running = lab.device.begin("update", service_name="hotswap_v2", deadline=deadline)
    queued = lab.device.begin("update", service_name="hotswap_v1", deadline=deadline)
    queued.cancel()
    with pytest.raises(GuestFault, match="ERROR_OPERATION_ABORTED"):
        queued.result(deadline)
    assert running.result(deadline).to_version == 2
    assert lab.device.get_version(deadline=deadline).current_version == 2


def test_closing_a_handle_cancels_what_it_has_queued(lab: Lab, deadline: Deadline) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=1, work_microseconds=500_000, deadline=deadline
    ).worker_id
    lab.device.signal_event(worker_id=worker, event_index=0, deadline=deadline)
    with Device(lab.agent, lab.build.ioctl, deadline=deadline) as other:
        running = lab.device.begin("update", service_name="hotswap_v2", deadline=deadline)
        queued = other.begin("update", service_name="hotswap_v1", deadline=deadline)
    with pytest.raises(GuestFault):
        queued.result(deadline)
    assert running.result(deadline).to_version == 2


def test_an_iteration_that_outlasts_the_drain_limit_fails_the_update_and_v1_goes_on(  # R12, W54, W60
    lab: Lab, deadline: Deadline
) -> None:
    lab.device.configure(drain_timeout_ms=100, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=1, work_microseconds=900_000, deadline=deadline
    ).worker_id
    lab.device.signal_event(worker_id=worker, event_index=0, deadline=deadline)
    deadline.within(5).wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).state == 1, "the long iteration"
    )
    reply = load(lab, "hotswap_v2", deadline)
    assert "STATUS_UNSUCCESSFUL" in str(reply.status)
    assert (reply.rolled_back, reply.to_version, reply.switched, reply.unload_status) == (1, 1, 0, 0)
    info = iterations(lab, worker, 1, deadline)
    assert [(item.version, item.iterations) for item in info.versions] == [(1, 1)]
    assert lab.device.query_counters(deadline=deadline).endpoint_drivers == 1


def test_the_drain_limit_of_one_update_is_not_that_of_the_next(lab: Lab, deadline: Deadline) -> None:  # R12
    load(lab, "hotswap_v1", deadline)
    worker = lab.device.create_worker(
        wait_type=WAIT_ANY, event_count=1, work_microseconds=400_000, deadline=deadline
    ).worker_id

    def update_in_mid_iteration(**limit: int) -> str:
        lab.device.signal_event(worker_id=worker, event_index=0, deadline=deadline)
        deadline.within(5).wait_for(
            lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).state == 1, "the long iteration"
        )
        return str(lab.device.update(service_name="hotswap_v2", **limit, deadline=deadline).status)

    assert "STATUS_UNSUCCESSFUL" in update_in_mid_iteration(drain_timeout_ms=50)
    iterations(lab, worker, 1, deadline)
    assert "STATUS_SUCCESS" in update_in_mid_iteration()


def test_a_device_is_configured_only_before_it_is_used(lab: Lab, deadline: Deadline) -> None:
    assert lab.device.configure(ring_slots=100, deadline=deadline).ring_slots == 128
    load(lab, "hotswap_v1", deadline)
    with pytest.raises(GuestFault):
        lab.device.configure(ring_slots=1000, deadline=deadline)


def test_a_refused_configuration_changes_nothing(lab: Lab, deadline: Deadline) -> None:
    with pytest.raises(GuestFault, match="INVALID_PARAMETER"):
        lab.device.configure(runtime="plain", ring_slots=1 << 30, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    assert lab.device.get_version(deadline=deadline).runtime == 2, "compat, as without a word"


def test_requests_after_the_shutdown_are_refused(lab: Lab, deadline: Deadline) -> None:
    load(lab, "hotswap_v1", deadline)
    lab.shutdown(deadline=deadline)
    with pytest.raises(GuestFault):
        lab.device.create_worker(wait_type=WAIT_ANY, event_count=1, deadline=deadline)
