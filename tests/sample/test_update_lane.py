"""Updates have a thread of their own: what else goes on while a swap is under way, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import numpy as np
import pytest

from hotswap.deadline import Deadline
from hotswap.driver.device import Device
from hotswap.errors import GuestFault
from hotswap.machine.wine import WineMachine
from hotswap.swap.lab import Lab
from hotswap.transport.agent import AgentError
from support.host_driver import held, held_once, iterations, load, signal, trace_of, turn, worker_of

STOPPING = 2
PLAIN = 3


def test_workers_are_created_and_stopped_while_calls_are_held(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    first, second = worker_of(lab, deadline), worker_of(lab, deadline)
    update = lab.device.begin("update", service_name=endpoint("slow-callback"), deadline=deadline)
    held_once(lab, first, deadline)
    new = worker_of(lab, deadline)
    signal(lab, new, deadline)
    held(lab, deadline, 2)
    stop = lab.device.begin("stop_worker", worker_id=second, deadline=deadline)
    held(lab, deadline, 3)
    assert (update.done, stop.done) == (False, False), "all that was to happen during the swap"
    assert update.result(deadline).to_version == 2
    assert stop.result(deadline).status == 0
    info = iterations(lab, new, 1, deadline)
    assert [(item.version, item.iterations) for item in info.versions] == [(2, 1)]
    events = trace_of(lab).events
    created = events.events("WorkerCreate")
    during = int(created.tick[created["Worker"] == new][0])
    stalled, released = (events.events(f"Swap{step}").tick[-2:] for step in ("Stalled", "Released"))
    assert stalled[0] < during < released[0]
    assert sorted(events.events("WorkerThreadStart")["Worker"].tolist()) == [first, second, new]


def test_a_worker_created_in_one_of_many_quick_swaps_runs_each_wakeup_in_the_version_in_force(
    lab: Lab, deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    for number in range(6):
        update = lab.device.begin("update", service_name=f"hotswap_v{2 - number % 2}", deadline=deadline)
        worker = worker_of(lab, deadline)
        turn(lab, worker, deadline, 3)
        assert lab.device.stop_worker(worker_id=worker, deadline=deadline).status == 0
        assert update.result(deadline).status == 0
    events = trace_of(lab).events
    begins, works, switches = (events.events(name) for name in ("IterationBegin", "EndpointWork", "SwapSwitched"))
    assert len(begins) == len(works) == 6 * 4, "three signals and the one that stops, each time"
    in_force = switches["ToVersion"][np.searchsorted(switches.tick, begins.tick, "right") - 1]
    assert begins["Version"].tolist() == in_force.tolist() == works["Version"].tolist()


def test_updates_pended_at_once_are_made_one_after_the_other(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    names = (endpoint("v3"), "hotswap_v2", "hotswap_v1")
    pending = [lab.device.begin("update", service_name=name, deadline=deadline) for name in names]
    replies = [update.result(deadline) for update in pending]
    assert [(reply.from_version, reply.to_version) for reply in replies] == [(1, 3), (3, 2), (2, 1)]
    events = trace_of(lab).events
    begins, ends = events.events("SwapBegin").tick, events.events("SwapEnd").tick
    assert len(begins) == len(ends) == 5, "and the first update, and that of the shutdown"
    assert (begins[1:] > ends[:-1]).all()


def test_a_shutdown_waits_for_the_update_under_way_and_refuses_those_behind_it(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    update = lab.device.begin("update", service_name=endpoint("slow-callback"), deadline=deadline)
    held_once(lab, worker, deadline)
    queued = lab.device.begin("update", service_name="hotswap_v1", deadline=deadline)
    left = lab.shutdown(deadline=deadline)
    assert update.done
    assert (update.result(deadline).status, update.result(deadline).to_version) == (0, 2)
    with pytest.raises(GuestFault, match="DELETE_PENDING"):
        queued.result(deadline)
    assert (left.workers, left.threads, left.endpoint_drivers, left.proxy_extensions, left.allocations) == (0,) * 5
    with pytest.raises(GuestFault, match="DELETE_PENDING"):
        lab.device.update(service_name="hotswap_v2", deadline=deadline)


def test_a_shutdown_takes_back_a_worker_that_an_update_waits_for(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, endpoint("never-returns"), deadline)
    worker = worker_of(lab, deadline)
    signal(lab, worker, deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).state == 1, "the iteration that stays"
    )
    waits = lab.device.begin("update", service_name="hotswap_v1", drain_timeout_ms=30_000, deadline=deadline)
    signal(lab, worker, deadline)
    assert not waits.done
    left = lab.shutdown(deadline=deadline.within(10))
    assert waits.result(deadline).to_version == 1
    assert (left.workers, left.threads, left.endpoint_drivers) == (0, 0, 0)


def test_a_shutdown_takes_back_a_worker_that_the_call_before_it_waits_for(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, endpoint("never-returns"), deadline)
    worker = worker_of(lab, deadline)
    signal(lab, worker, deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=worker, deadline=deadline).state == 1, "the iteration that stays"
    )
    waits = lab.device.begin("update", service_name="hotswap_v1", drain_timeout_ms=30_000, deadline=deadline)

    def begin_held() -> Any:
        """None: it ran, because the update did not hold calls yet."""
        call = lab.device.begin(
            "call_endpoint", endpoint_id=3, argument_count=6, arguments=[1, 2, 3, 4, 5, 6, 0, 0], deadline=deadline
        )
        counters = lab.device.query_counters
        deadline.wait_for(
            lambda: call.done or counters(deadline=deadline).proxy_held_calls > 0, "the call to run or to be held"
        )
        return None if call.done else call

    call = deadline.wait_for(begin_held, "the update to hold calls")
    left = lab.shutdown(deadline=deadline.within(15))
    assert (waits.result(deadline).status, waits.result(deadline).to_version) == (0, 1)
    assert (call.result(deadline).version, call.result(deadline).result) == (1, 21)
    assert (left.workers, left.threads, left.endpoint_drivers) == (0, 0, 0)


def test_a_device_closed_in_mid_update_cancels_what_is_queued_and_not_what_is_under_way(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    with Device(lab.agent, lab.build.ioctl, deadline=deadline) as other:
        update = other.begin("update", service_name=endpoint("slow-callback"), deadline=deadline)
        held_once(lab, worker, deadline)
        queued = other.begin("update", service_name="hotswap_v1", deadline=deadline)
    with pytest.raises(GuestFault, match="ABORTED"):
        queued.result(deadline)
    iterations(lab, worker, 1, deadline)
    with suppress(GuestFault):  # whether its answer still finds a reader is the guest's to say
        update.result(deadline)
    deadline.wait_for(lambda: lab.device.get_version(deadline=deadline).current_version == 2, "the update to go on")
    assert load(lab, "hotswap_v1", deadline).from_version == 2


def test_a_queued_update_can_be_cancelled_and_the_one_under_way_goes_on(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    update = lab.device.begin("update", service_name=endpoint("slow-callback"), deadline=deadline)
    held_once(lab, worker, deadline)
    queued = lab.device.begin("update", service_name="hotswap_v1", deadline=deadline)
    assert queued.cancel()
    with pytest.raises(GuestFault, match="ABORTED"):
        queued.result(deadline)
    assert not update.done
    assert update.result(deadline).to_version == 2


def test_a_call_held_by_a_swap_is_told_the_version_that_answered(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    update = lab.device.begin("update", service_name=endpoint("slow-callback"), deadline=deadline)
    held_once(lab, worker, deadline)
    call = lab.device.begin(
        "call_endpoint", endpoint_id=3, argument_count=6, arguments=[1, 2, 3, 4, 5, 6, 0, 0], deadline=deadline
    )
    held(lab, deadline, 2)
    assert (call.result(deadline).version, call.result(deadline).result) == (2, 21)
    assert update.result(deadline).status == 0


def test_a_restart_update_keeps_workers_from_being_created_until_threads_run_again(
    lab: Lab, deadline: Deadline
) -> None:
    lab.device.configure(runtime=PLAIN, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    busy, other = worker_of(lab, deadline, work_microseconds=700_000), worker_of(lab, deadline)
    signal(lab, busy, deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=busy, deadline=deadline).state == 1, "the long iteration"
    )
    update = lab.device.begin("update", service_name="hotswap_v2", deadline=deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=busy, deadline=deadline).state == STOPPING,
        "the restart to end threads",
        interval=0.002,
    )
    new = worker_of(lab, deadline)
    stopped = lab.device.stop_worker(worker_id=other, deadline=deadline)
    assert (stopped.status, update.result(deadline).status) == (0, 0)
    turn(lab, new, deadline)
    events = trace_of(lab).events
    created = events.events("WorkerCreate")
    released = events.events("SwapReleased")
    assert created.tick[created["Worker"] == new][0] > released.tick[released["Swap"] == 2][0]
    works = events.events("EndpointWork")
    assert works["Version"][works["Worker"] == new].tolist() == [2, 2]


def test_a_restart_that_is_given_up_leaves_every_worker_running_in_the_old_version(
    lab: Lab, deadline: Deadline
) -> None:
    lab.device.configure(runtime=PLAIN, join_timeout_ms=1000, deadline=deadline)
    load(lab, "hotswap_v1", deadline)
    seconds = 2.0  # longer than a request waits for a thread
    workers = [worker_of(lab, deadline, work_microseconds=work) for work in (0, int(seconds * 1e6), 0)]
    signal(lab, workers[1], deadline)
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=workers[1], deadline=deadline).state == 1, "the long iteration"
    )
    reply = load(lab, "hotswap_v2", deadline)
    assert "STATUS_IO_TIMEOUT" in str(reply.status)
    assert (reply.from_version, reply.to_version, reply.switched) == (1, 1, 0)
    lab.device.clear_event(worker_id=workers[1], event_index=0, deadline=deadline)  # what was to wake it for its end
    deadline.wait_for(
        lambda: lab.device.query_worker(worker_id=workers[1], deadline=deadline).state == 0, "it to wait again"
    )
    for worker in (workers[0], workers[2]):
        turn(lab, worker, deadline)
        info = lab.device.query_worker(worker_id=worker, deadline=deadline)
        assert [item.version for item in info.versions] == [1]
    events = trace_of(lab).events
    ends = events.events("IterationEnd")
    assert ends["Continue"][ends["Worker"] == workers[1]].tolist()[0] == 1, "the thread that had been asked to end"
    assert 2 not in events.events("SwapSwitched")["Swap"].tolist()


def test_a_host_driver_stopped_in_mid_update_waits_for_it_and_leaves(
    lab: Lab, endpoint: Callable[[str], str], deadline: Deadline
) -> None:
    load(lab, "hotswap_v1", deadline)
    worker = worker_of(lab, deadline)
    lab.device.begin("update", service_name=endpoint("slow-callback"), deadline=deadline)
    held_once(lab, worker, deadline)
    begun = monotonic()
    machine, host = lab.machine, lab.host
    assert isinstance(machine, WineMachine)
    assert host is not None
    lab.device.close()
    lab.agent.trace_stop(deadline=deadline)
    with suppress(AgentError):  # the service manager may give up before the driver does
        lab.agent.service_stop("hotswap", deadline=deadline)
    deadline.wait_for(
        lambda: "hotswap.sys" not in {path.name for path in machine.mapped_images(host.process.pid)},
        "the driver to leave",
    )
    assert monotonic() - begun > 1.0, "the driver left, or its host died, while the callback held calls for 1.5 s"
    # The driver host may end with its last driver; the fixture starts the driver again for the next test.
    lab.agent.service_start("hotswap", deadline=deadline)
    host.close()
    lab.host = None
